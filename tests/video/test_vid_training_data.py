"""The published training of video detectors: its data from ImageNet's folders, its references, its schedule."""

from __future__ import annotations

import shutil
from dataclasses import replace

import fiddle as fdl
import pytest

import vidperc
from vidperc.data.readers.pascal import IMAGENET_VID
from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.data.writers import write_imagenet_vid
from vidperc.engine.video_detection import find_vid
from vidperc.evaluation import VIDEvaluator

REFERENCES = {"dff": 1, "fgfa": 2, "selsa": 2, "faster_rcnn": 0}


@pytest.fixture(scope="module")
def ilsvrc(tmp_path_factory):
    """ImageNet's layout: one snippet of 40 frames to train on, one of 3 to test on, one still image."""
    root = tmp_path_factory.mktemp("ILSVRC")
    names = tuple(list(IMAGENET_VID)[: len(CLASSES)])
    for split, length in (("train", 40), ("val", 3)):
        records = synthetic_videos("train", 1, length, (96, 160), "vid")
        write_imagenet_vid([replace(record, classes=names) for record in records], root, split)
    for kind, ending in (("Annotations", "xml"), ("Data", "JPEG")):
        (root / kind / "DET" / "train").mkdir(parents=True)
        source = root / kind / "VID" / "train" / "train-000000" / f"000000.{ending}"
        shutil.copy(source, root / kind / "DET" / "train" / f"still.{ending}")
    (root / "ImageSets" / "DET").mkdir(parents=True)
    (root / "ImageSets" / "DET" / "train_1.txt").write_text("still 1\n")
    return root


@pytest.mark.parametrize("method", REFERENCES)
def test_clips_of_the_published_mix(method, ilsvrc):
    config = vidperc.get_config(
        "faster_rcnn_r50_dc5_1x_imagenetvid"
        if method == "faster_rcnn"
        else f"{method}_faster_rcnn_r50_dc5_1x_imagenetvid"
    )
    config.train_data.root = str(ilsvrc)
    dataset = fdl.build(config.train_data).dataset
    assert len(dataset) == 1 + 15  # the still image and the snippet's key frames
    still = dataset[0, 0]
    assert [frame.index for frame in still.frames] == [0] * (1 + REFERENCES[method])
    for number in range(1, 16):
        clip = dataset[number, number]
        key, others = clip[clip.key].index, [frame.index for frame in clip.frames[1:]]
        assert len(others) == REFERENCES[method]
        assert all(abs(other - key) <= 9 for other in others)
        assert method == "dff" or key not in others or key in (0, 39)
        assert clip[0].size == (600, 1000)
        assert len(clip[0].instances)
    if method in ("fgfa", "selsa"):
        middle = next(clip for clip in (dataset[n, 0] for n in range(1, 16)) if 9 < clip[0].index < 30)
        assert middle[1].index < middle[0].index < middle[2].index


def test_schedule():
    schedule = fdl.build(vidperc.get_config("fgfa_faster_rcnn_r50_dc5_1x_imagenetvid").schedule)
    assert schedule.batch_size * 1000 * 7 == 8 * schedule.length(per_epoch=1000)
    factors = [schedule.factor(int(epoch * 1000), per_epoch=1000) for epoch in (1.9, 2, 4.9, 5)]
    assert factors == pytest.approx([1, 0.1, 0.1, 0.01])
    assert schedule.factor(0, 1000) == pytest.approx(1 / 3)
    assert schedule.optimizer.lr == 0.01


def test_test_data_of_the_configs_and_of_a_folder(ilsvrc):
    config = vidperc.get_config("dff_faster_rcnn_r50_dc5_1x_imagenetvid")
    config.test_data.root = str(ilsvrc)
    data = fdl.build(config.test_data)
    assert isinstance(data.evaluator(), VIDEvaluator)
    assert len(data.records[0].instances) == 3
    found = find_vid(ilsvrc, config.classes)
    assert found.records[0].classes == config.classes
    assert [record.name for record in found.records] == [record.name for record in data.records]


def test_a_detectors_checkpoint_loads_from_a_video_detectors_names():
    from vidperc.checkpoint import rename_keys

    config = vidperc.get_config("faster_rcnn_r50_dc5_1x_imagenetvid")
    names = ["detector.backbone.conv1.weight", "detector.roi_head.bbox_head.fc_cls.bias", "rpn_head.rpn_conv.bias"]
    renamed = list(rename_keys(names, config.published_keys).values())
    assert renamed == ["backbone.conv1.weight", "roi_head.box_head.fc_cls.bias", "rpn.predictor.conv.bias"]


def test_first_weights_of_the_parts(tmp_path):
    """A classifier's file and a FlowNet-S's, under published names, end up in the model; without flow, one warning."""
    import torch

    from vidperc.checkpoint import CheckpointError
    from vidperc.checkpoint.initial import InitialWeights

    config = vidperc.get_config("tiny_dff")
    torch.manual_seed(1)
    source, model = fdl.build(config.model), fdl.build(config.model)
    classifier = source.detector.backbone.state_dict() | {"fc.weight": torch.zeros(3, 3)}
    flow = {name.replace(".0.", ".0.conv."): value for name, value in source.flow.state_dict().items()}
    torch.save(classifier, tmp_path / "resnet.pth")
    torch.save({"state_dict": {f"motion.{name}": value for name, value in flow.items()}}, tmp_path / "flow.pth")
    InitialWeights(backbone=tmp_path / "resnet.pth", flow=tmp_path / "flow.pth").load(model)
    for part in ("detector.backbone", "flow"):
        for name, value in source.get_submodule(part).state_dict().items():
            torch.testing.assert_close(model.get_submodule(part).state_dict()[name], value)
    with pytest.warns(UserWarning, match="initial.flow=FILE"):
        InitialWeights(backbone=tmp_path / "resnet.pth").load(model)
    with pytest.raises(ValueError, match="has no flow network"):
        InitialWeights(flow=tmp_path / "flow.pth").load(source.detector)
    with pytest.raises(CheckpointError, match="missing"):
        InitialWeights(flow=tmp_path / "resnet.pth").load(model)
    with pytest.raises(FileNotFoundError):
        InitialWeights(backbone=tmp_path / "none.pth", flow=tmp_path / "flow.pth").load(model)


def test_the_tiny_trainings_begin_with_shipped_weights(recwarn):
    """Those of a detector, in a model whose flow network then is new, and nobody is warned."""
    from vidperc.checkpoint import read_checkpoint
    from vidperc.checkpoint.sources import local_file

    config = vidperc.get_config("tiny_dff")
    model = fdl.build(config.model)
    (report,) = fdl.build(config.initial).load(model, config.published_keys)
    assert any(name.startswith("detector.backbone.") for name in report.matched)
    weight = read_checkpoint(local_file("shipped://tiny_det.pt"))["state_dict"]["backbone.conv1.weight"]
    assert model.detector.backbone.conv1.weight.equal(weight.float())
    assert not recwarn.list
    assert vidperc.get_config("tiny_selsa").initial.model == "shipped://tiny_det.pt"


def test_published_trainings_begin_with_a_classifier():
    from vidperc.models import override

    for name, depth in (("dff_faster_rcnn_r50_dc5_1x_imagenetvid", 50), ("selsa_faster_rcnn_r101_dc5_window", 101)):
        config = vidperc.get_config(name)
        assert config.initial.backbone == f"torchvision://resnet{depth}"
        override(config, "initial.flow", "flownet.pth")
        assert fdl.build(config.initial).flow == "flownet.pth"
