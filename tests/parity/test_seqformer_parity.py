"""SeqFormer against the outputs recorded from its Detectron2 version, and the evaluator against its API.

The reference differs from itself, under 1e-6 relative noise on the weights, by 3e-5 in scores and by 33 of 4.6
million mask pixels; losses by 1e-4 relative. The tolerances below are a little wider.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re

import numpy as np
import pytest
import torch
from kit import fill, find, frames

import vidperc
from vidperc.checkpoint.keys import rename_key
from vidperc.checkpoint.rename.seqformer import SEQFORMER
from vidperc.evaluation.youtube_vis import evaluate_youtube_vis
from vidperc.layers.attention import MultiheadAttention
from vidperc.structures import Clip, Frame, Instances, Video
from vidperc.video.clip_matching import ClipInstances, ClipTracks
from vidperc.video.seqformer_masks import best_class

SCORE, MASK_IOU, LOSS = 1e-3, 0.999, 5e-4


def golden(name):
    with np.load(find("seqformer/goldens", f"{name}.npz")) as content:
        values = {key: content[key] for key in content.files}
    return {**values, "meta": json.loads(str(values["meta"]))}


def unpack(packed, shape):
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(bool)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Filled checkpoints in Detectron2's layout, {spec: path}."""
    folder, paths = tmp_path_factory.mktemp("seqformer"), {}
    for name in ("seqformer_r50_ytvis", "seqformer_r50_train"):
        with gzip.open(find("seqformer/specs", f"{name}.json.gz"), "rt") as file:
            spec = json.load(file)
        paths[name] = folder / f"{name}.pth"
        torch.save({"model": {key: torch.from_numpy(value) for key, value in fill(spec).items()}}, paths[name])
    return paths


def load(path, **options):
    return vidperc.load("seqformer_r50_ytvis2019", checkpoint=path, test_scale=(1333, 200), **options)


def results(predictions):
    """{id: (label, score, masks (T, H, W))} of a video's frames."""
    length, size = len(predictions), predictions[0].masks.shape[1:]
    found = {}
    for t, objects in enumerate(predictions):
        for row in range(len(objects)):
            one = found.setdefault(int(objects.ids[row]), [0, 0.0, np.zeros((length, *size), bool)])
            one[0], one[1] = int(objects.labels[row]), float(objects.scores[row])
            one[2][t] = objects.masks[row].numpy()
    return list(found.values())


@pytest.mark.parametrize(
    ("name", "options", "length"),
    [
        ("whole", {}, 8),
        ("clip5_1", {"clip_length": 5, "clip_stride": 1}, 8),
        ("clip4_2", {"clip_length": 4, "clip_stride": 2}, 8),
        ("clip5_1_short3", {"clip_length": 5, "clip_stride": 1}, 3),
    ],
)
def test_inference(checkpoints, name, options, length):
    facts = golden(f"seqformer_r50_{name}")
    model = load(checkpoints["seqformer_r50_ytvis"], **options)
    found = results(list(model.segment(Video.from_frames(frames()[:length]))))
    assert len(found) == len(facts["labels"])
    masks = unpack(facts["masks_packed"], facts["masks_shape"])
    for label, score, row in zip(facts["labels"], facts["scores"], facts["mask_of_output"]):
        same = [one for one in found if one[0] == label and abs(one[1] - score) < SCORE]
        overlaps = [(one[2] & masks[row]).sum() / (one[2] | masks[row]).sum() for one in same]
        assert max(overlaps, default=0) > MASK_IOU, (label, score)


def test_one_class_per_object(checkpoints):
    facts = golden("seqformer_r50_whole")
    model = load(checkpoints["seqformer_r50_ytvis"], rows=best_class)
    found = results(list(model.segment(Video.from_frames(frames()))))
    assert sorted(label for label, *_ in found) == sorted(facts["single_labels"].tolist())
    np.testing.assert_allclose(sorted(s for _, s, _ in found), sorted(facts["single_scores"]), atol=SCORE)


def test_the_original_codes_layout_loads(checkpoints, tmp_path):
    """Torchvision's names in the backbone, no outer prefix."""
    state = torch.load(checkpoints["seqformer_r50_ytvis"])["model"]
    rules = [
        (r"^detr\.detr\.", "detr."), (r"^detr\.(controller|mask_head)\.", r"\1."),
        (r"backbone\.0\.backbone\.", "backbone.0.body."),
        (r"stem\.conv1\.norm", "bn1"), (r"stem\.conv1", "conv1"), (r"shortcut\.norm", "downsample.1"),
        (r"shortcut", "downsample.0"), (r"conv(\d)\.norm", r"bn\1"),
        *((rf"\.res{k}\.", f".layer{k - 1}.") for k in (2, 3, 4, 5)),
    ]  # fmt: skip
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    assert "detr.backbone.0.body.layer1.0.downsample.1.running_var" in renamed
    assert "controller.layers.0.weight" in renamed
    torch.save({"model": renamed, "epoch": 11, "args": argparse.Namespace(lr=2e-4)}, tmp_path / "original.pth")
    first, second = load(checkpoints["seqformer_r50_ytvis"]), load(tmp_path / "original.pth")
    for (name, a), (_, b) in zip(first.state_dict().items(), second.state_dict().items()):
        assert torch.equal(a, b), name


def clips_of(facts):
    for video in ("a", "b")[: facts["meta"]["videos"]]:
        images, boxes = torch.from_numpy(facts[f"{video}_images"]), torch.from_numpy(facts[f"{video}_boxes_xyxy"])
        masks = torch.from_numpy(unpack(facts[f"{video}_masks_packed"], facts[f"{video}_masks_shape"]))
        labels = torch.from_numpy(facts[f"{video}_labels"])
        yield Clip([Frame(images[t], t, instances=objects(boxes, labels, masks, t)) for t in range(len(images))])


def objects(boxes, labels, masks, t):
    return Instances(boxes[:, t].float(), labels, masks=masks[:, t], ids=torch.arange(len(labels)))


@pytest.mark.parametrize("name", ["one", "two"])
def test_training_step(checkpoints, name):
    facts = golden(f"seqformer_r50_train_{name}")
    meta = facts["meta"]
    model = load(checkpoints["seqformer_r50_train"], fuse=False).train()
    for module in model.modules():  # the goldens were made without dropout
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, MultiheadAttention):
            module.dropout = 0.0
    assignment, match = [], model.criterion.match

    def recorded(*arguments):
        assignment.append(match(*arguments))
        return assignment[-1]

    model.criterion.match = recorded
    losses = model(list(clips_of(facts)))
    for key, value in meta["weighted"].items():
        if key != "class_error":
            assert losses[key].item() == pytest.approx(value, rel=LOSS), key
    assert sum(losses.values()).item() == pytest.approx(meta["total"], rel=LOSS)
    found = [[queries.tolist(), objects.tolist()] for queries, objects in assignment]
    assert found == [pair for layer in meta["assignment"] for pair in layer]
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    for key, norm in meta["grad_norm"].items():
        if norm > 1e-3:  # the bias of a softmax over time has no gradient but rounding
            assert parameters[rename_key(key, SEQFORMER)].grad.norm().item() == pytest.approx(norm, rel=2e-3), key
    learning = {name for name, value in parameters.items() if value.grad is not None}
    assert learning == {rename_key(key, SEQFORMER) for key in meta["grad_norm"]}


def test_clip_matching_alone():
    facts = golden("seqformer_clipmatch")
    for case, about in enumerate(facts["meta"]["cases"]):
        tracks = ClipTracks(5)
        for k, step in enumerate(about["log"]):
            logits = torch.from_numpy(facts[f"c{case}_clip{k}_logits"])
            scores = torch.from_numpy(facts[f"c{case}_clip{k}_cls"])
            boxes = torch.zeros(*logits.shape[:2], 4)
            numbers, overlap = tracks.update(ClipInstances(step["frames"][0], scores, logits, boxes))
            if len(step["siou"]):
                np.testing.assert_allclose(overlap, step["siou"], atol=2e-6)
                kept = {column: row for row, column in step["assigned"] if step["siou"][row][column] > 0}
                assert {c: int(n) for c, n in enumerate(numbers) if n < step["tracks_before"]} == kept
            assert len(tracks) == step["tracks_after"]
        np.testing.assert_allclose(tracks.scores, facts[f"c{case}_track_cls"], atol=1e-6)
        expected = facts[f"c{case}_track_logits"]
        found = np.full_like(expected, np.nan)
        for t in range(about["length"]):
            seen = tracks.pop(t)
            found[seen.tracks, t] = seen.logits
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_evaluator():
    content = {}
    for name in ("gt", "predictions"):
        with gzip.open(find("seqformer/eval", f"{name}.json.gz"), "rt") as file:
            content[name] = json.load(file)
    expected = json.loads(find("seqformer/eval", "expected.json").read_text())
    scores = evaluate_youtube_vis(content["gt"], content["predictions"])
    assert scores.values == pytest.approx(expected["table"], abs=1e-12)
    assert list(scores.per_class.values()) == pytest.approx(list(expected["per_category_AP"].values()), abs=1e-12)
