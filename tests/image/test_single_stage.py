"""One-stage detectors at tiny widths: they learn, batches equal single images, edge cases."""

from __future__ import annotations

import inspect
from dataclasses import replace

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch import nn

from vidperc import Instances
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.matching import match, match_everywhere
from vidperc.image.preprocess import Preprocessor
from vidperc.image.priors import AnchorGenerator
from vidperc.models import get_config
from vidperc.structures import ImageList

WIDTH = 32  # the least that group normalisation in 32 groups allows


NARROW = {"channels": WIDTH, "blocks": 2, "stages": 2}  # of necks that say how many


def shrink_head(config: fdl.Config, **changes) -> None:
    """The arguments among `changes` that the part has."""
    known = inspect.signature(fdl.get_callable(config)).parameters
    wide = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for key, value in changes.items():
        if key in known or wide:
            setattr(config, key, value)


def on_pyramid(name: str) -> fdl.Config:
    """A published config on a ResNet-18 of an eighth of the width, with towers of two narrow convolutions."""
    model = get_config(name).model
    shrink_head(model.backbone, depth=18, base_channels=8, frozen_stages=-1, norm="bn", norm_eval=False)
    model.backbone.conv_stages = None
    pyramid, *more = (model.neck[0], model.neck[1]) if fdl.get_callable(model.neck) is nn.Sequential else (model.neck,)
    pyramid.in_channels, pyramid.out_channels = (8, 16, 32, 64), WIDTH
    for part in (pyramid, *more):
        known = inspect.signature(fdl.get_callable(part)).parameters
        shrink_head(part, **{key: value for key, value in NARROW.items() if key in known})
    shrink_head(model.head.predictor, in_channels=WIDTH, channels=WIDTH, convs=2, classes=3)
    return model


def ssd(name: str = "ssd300_coco") -> fdl.Config:
    model = get_config(name).model
    model.backbone.base_channels = 4
    model.neck.in_channels, model.neck.out_channels = (32, 64), (32, 16, 16, 16)
    model.head.predictor.in_channels, model.head.predictor.classes = (32, 64, 32, 16, 16, 16), 3
    return model


def yolov3() -> fdl.Config:
    model = get_config("yolov3_d53_320_273e_coco").model
    shrink_head(model.backbone, base_channels=4, norm_eval=False)
    model.neck.in_channels, model.neck.out_channels = (32, 64, 128), (16, 32, 64)
    model.head.predictor.in_channels, model.head.predictor.classes = (16, 32, 64), 3
    return model


def nas_fcos() -> fdl.Config:
    model = on_pyramid("nas_fcos_nashead_r50_caffe_fpn_gn-head_4x4_1x_coco")
    del model.head.predictor.convs  # they are those that were found
    return model


def yolof() -> fdl.Config:
    model = get_config("yolof_r50_c5_8x8_1x_coco").model
    shrink_head(model.backbone, depth=18, base_channels=8, frozen_stages=-1, norm="bn", norm_eval=False)
    shrink_head(model.neck, in_channels=64, out_channels=WIDTH, inner_channels=16)
    shrink_head(model.head.predictor, in_channels=WIDTH, classes=3)
    return model


def ld() -> fdl.Config:
    model = on_pyramid("ld_r18_gflv1_r101_fpn_coco_1x")
    model.head.criterion.teacher.load = lambda: fdl.build(on_pyramid("gfl_r50_fpn_1x_coco"))
    return model


MODELS = {
    "retinanet": lambda: on_pyramid("retinanet_r50_fpn_1x_coco"),
    "retinanet_v1": lambda: on_pyramid("retinanet_r50_fpn_1x_coco_v1"),
    "retinanet_level_norm": lambda: on_pyramid("retinanet_r50_fpn_crop640_50e_coco"),
    "ghm": lambda: on_pyramid("retinanet_ghm_r50_fpn_1x_coco"),
    "free_anchor": lambda: on_pyramid("retinanet_free_anchor_r50_fpn_1x_coco"),
    "autoassign": lambda: on_pyramid("autoassign_r50_fpn_8x2_1x_coco"),
    "fcos": lambda: on_pyramid("fcos_r50_caffe_fpn_gn-head_1x_coco"),
    "fcos_tricks": lambda: on_pyramid("fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco"),
    "atss": lambda: on_pyramid("atss_r50_fpn_1x_coco"),
    "gfl": lambda: on_pyramid("gfl_r50_fpn_1x_coco"),
    "ld": ld,
    "nas_fcos": nas_fcos,
    "paa": lambda: on_pyramid("paa_r50_fpn_1x_coco"),
    "reppoints": lambda: on_pyramid("reppoints_moment_r50_fpn_1x_coco"),
    "reppoints_partial": lambda: on_pyramid("reppoints_partial_minmax_r50_fpn_gn-neck+head_1x_coco"),
    "reppoints_grid": lambda: on_pyramid("bbox_r50_grid_fpn_gn-neck+head_1x_coco"),
    "fsaf": lambda: on_pyramid("fsaf_r50_fpn_1x_coco"),
    "fovea": lambda: on_pyramid("fovea_r50_fpn_4x4_1x_coco"),
    "fovea_align": lambda: on_pyramid("fovea_align_r50_fpn_gn-head_4x4_2x_coco"),
    "sabl": lambda: on_pyramid("sabl_retinanet_r50_fpn_gn_1x_coco"),
    "vfnet": lambda: on_pyramid("vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"),
    "libra": lambda: on_pyramid("libra_retinanet_r50_fpn_1x_coco"),
    "dyhead": lambda: on_pyramid("atss_r50_fpn_dyhead_1x_det_bdd100k"),
    "fpg": lambda: on_pyramid("retinanet_r50_fpg_crop640_50e_coco"),
    "nas_fpn": lambda: on_pyramid("retinanet_r50_nasfpn_crop640_50e_coco"),
    "guided": lambda: on_pyramid("ga_retinanet_r50_caffe_fpn_1x_coco"),
    "pisa": lambda: on_pyramid("pisa_retinanet_r50_fpn_1x_coco"),
    "pisa_ssd": lambda: ssd("pisa_ssd300_coco"),
    "ssd": ssd,
    "yolof": yolof,
    "yolov3": yolov3,
}
SIZES = {"ssd": (300, 300), "pisa_ssd": (300, 300), "nas_fcos": (32, 64), "nas_fpn": (128, 128)}


def batch(size: tuple[int, int]) -> tuple[ImageList, list[Instances]]:
    """Two noisy images with three bright objects each, in pixels of the batch."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(2, 3, *size, generator=generator)
    boxes = torch.tensor([[4.0, 5, 36, 42], [42, 12, 84, 60], [18, 36, 54, 62]])
    boxes = boxes * (min(size) / 64)
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        pictures[:, i, y1:y2, x1:x2] += 3
    targets = [Instances(boxes=boxes, labels=torch.tensor([0, 1, 2])) for _ in range(2)]
    return ImageList(pictures, [size] * 2, [size] * 2, [(1.0, 1.0)] * 2), targets


@pytest.mark.parametrize("name", MODELS)
def test_thirty_steps_halve_the_loss_and_reach_every_parameter(name):
    model = fdl.build(MODELS[name]()).train()
    images, targets = batch(SIZES.get(name, (64, 96)))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        parts = model.loss(model.extract_features(images), images, targets)
        assert all(bool(torch.isfinite(value)) for value in parts.values()), parts
        total = sum(parts.values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


@pytest.mark.parametrize("name", MODELS)
def test_images_without_objects_train(name):
    model = fdl.build(MODELS[name]()).train()
    images, targets = batch(SIZES.get(name, (64, 96)))
    for given in ([targets[0], Instances.empty()], [Instances.empty(), Instances.empty()]):
        parts = model.loss(model.extract_features(images), images, given)
        total = sum(parts.values())
        total.backward()
        assert bool(torch.isfinite(total))


def talkative(name: str, **changes):
    """A model whose untrained scores are spread over the thresholds."""
    config = MODELS[name]()
    shrink_head(config.head.postprocessor, **changes)
    if name not in ("ssd", "pisa_ssd"):
        config.preprocessor.test_scale = (160, 128)
    model = fdl.build(config).eval()
    generator = torch.Generator().manual_seed(3)
    for key, parameter in model.head.predictor.named_parameters():
        if parameter.ndim == 4 and ("cls" in key or "pred" in key):
            std = (2 / parameter[0].numel()) ** 0.5 * (0.1 if name == "yolov3" else 1)  # whose boxes have no bound
            torch.nn.init.normal_(parameter, std=std, generator=generator)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_batches_equal_single_images(name):
    model = talkative(name)
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 80, 3), np.uint8) for i in range(2)]
    together = model.predict(pictures)
    assert any(len(result) for result in together)
    for picture, result in zip(pictures, together):
        alone = model.predict([picture])[0]
        assert len(alone) == len(result)
        torch.testing.assert_close(alone.scores, result.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.boxes.sort(0).values, result.boxes.sort(0).values, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_above_the_threshold_is_no_detection(name):
    result = talkative(name, score_threshold=1.0).predict([np.zeros((48, 64, 3), np.uint8)])[0]
    assert result.boxes.shape == (0, 4)
    assert result.labels.dtype == torch.int64
    assert len(result.scores) == 0


@pytest.mark.parametrize("name", ["retinanet", "fcos", "paa"])
def test_boxes_are_within_images_of_different_sizes(name):
    sizes = [(64, 200), (180, 60)]
    results = talkative(name).predict([np.random.default_rng(0).integers(0, 256, (*s, 3), np.uint8) for s in sizes])
    for (height, width), result in zip(sizes, results):
        assert len(result)
        assert float(result.boxes.min()) >= 0
        assert float(result.boxes[:, 2].max()) <= width + 1e-3
        assert float(result.boxes[:, 3].max()) <= height + 1e-3


def test_padding_teaches_nothing():
    """Priors in the padding of a batch do not add to the loss of what lies in the image."""
    model = fdl.build(MODELS["retinanet"]()).eval()
    _, targets = batch((64, 64))
    losses = []
    for size in ((64, 64), (192, 128)):
        images = ImageList(torch.zeros(1, 3, *size), [(64, 64)], [(64, 64)], [(1.0, 1.0)])
        outputs = model.head(model.extract_features(images))
        outputs.logits = torch.full_like(outputs.logits, -1.0)
        losses.append(model.head.criterion(outputs, images, [targets[0][:1]])["loss_class"])
    torch.testing.assert_close(losses[0], losses[1])


def test_own_padding_is_background():
    """What an image is padded by alone, up to whole cells, counts, as in published trainings; the batch's does not."""
    logits, images = torch.zeros(1, 12, 1), ImageList(torch.zeros(1, 3, 24, 32), [(10, 20)], [(10, 20)], [(1.0, 1.0)])
    priors = AnchorGenerator([8], [1.0], [1.0])([(3, 4)])[0]
    outputs = DenseOutputs(priors=priors, level_sizes=[12], logits=logits, codes=torch.zeros(1, 12, 4))
    nothing = [Instances(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))]

    def background(images: ImageList) -> list[int]:
        matches = match(lambda p, t, o: torch.full((len(p),), -1), outputs, images, nothing)
        return matches.background.nonzero()[:, 0].tolist()

    assert background(images) == [0, 1, 2, 4, 5, 6]
    assert background(replace(images, padded_alone=[(16, 32)])) == [0, 1, 2, 3, 4, 5, 6, 7]
    preprocessor = Preprocessor(pad_divisor=16)
    pictures = [np.zeros((10, 20, 3), np.uint8), np.zeros((24, 8, 3), np.uint8)]
    assert preprocessor.batch(pictures).padded_alone == [(16, 32), (32, 16)]
    everywhere = match_everywhere(lambda p, t, o: torch.full((len(p),), -1), outputs, nothing)
    assert everywhere.background.all()
