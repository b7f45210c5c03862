"""Optimisers, schedules, precisions, batches and pictures of detectors are those of the recorded configurations."""

from __future__ import annotations

import re
from typing import Any

import fiddle as fdl
import kit
import pytest
from vidperc.configs.common.det_data import coco_training

from vidperc.data.transforms import (
    Expand,
    Flip,
    MinIoUCrop,
    OneOf,
    PhotometricDistortion,
    RandomCrop,
    Resize,
    ResizeRange,
    Transform,
)
from vidperc.engine.optim import Optimizer
from vidperc.engine.schedule import Schedule, held, rising
from vidperc.models import config_name, get_config, list_models

NAMES = sorted(path.name.removesuffix(".json.gz") for path in (kit.HERE / "specs").glob("*.json.gz"))
WARM_UPS = {"linear": rising, "constant": held}


def schedule_of(name: str) -> Schedule:
    """Of a detector that trains."""
    if config_name(name) not in list_models("det") or get_config(name).schedule is None:
        pytest.skip("no detector that trains by epochs")
    return fdl.build(get_config(name).schedule)


@pytest.mark.parametrize("name", NAMES)
def test_optimisers(name):
    found: Optimizer = schedule_of(name).optimizer
    published = kit.load_spec(name)["hyper"]["optimizer"]
    decay = published.get("weight_decay", 0.0)
    kind = "AdamW" if published["type"] == "Adam" and not decay else published["type"]  # the same without decay
    assert type(found).__name__ == kind
    assert (found.lr, found.weight_decay) == (published["lr"], decay)
    if kind == "SGD":
        assert (found.momentum, found.nesterov) == (published["momentum"], published.get("nesterov", False))
    rules = published.get("paramwise_cfg") or {}
    norms = 0.0 if "norm" in rules.get("custom_keys", {}) else rules.get("norm_decay_mult", 1.0)
    factors = (norms, rules.get("bias_decay_mult", 1.0), rules.get("bias_lr_mult", 1.0))
    if "decay_type" not in rules:  # whose factors go by layer, not by kind
        assert (found.norm_decay, found.bias_decay, found.bias_lr) == factors


@pytest.mark.parametrize("name", NAMES)
def test_schedules(name):
    found, published = schedule_of(name), kit.load_spec(name)["hyper"]
    rate = published["lr_config"]
    if rate["policy"] != "step" or "max_epochs" not in published.get("runner", {}):
        pytest.skip("no steps by epochs")
    assert (found.epochs, list(found.milestones)) == (published["runner"]["max_epochs"], rate["step"])
    assert (found.gamma, found.curve) == (rate.get("gamma", 0.1), None)
    if rate.get("warmup") is None:
        assert found.warmup_iterations == 0
    else:
        assert (found.warmup_iterations, found.warmup) == (rate["warmup_iters"], WARM_UPS[rate["warmup"]])
        assert found.warmup_ratio == pytest.approx(rate["warmup_ratio"], rel=1e-3)
    clip = published["optimizer_config"].get("grad_clip")
    assert found.clip_norm == (None if clip is None else clip["max_norm"])
    assert found.precision == ("fp16" if published.get("fp16") else "fp32")


def training_set(name: str) -> dict[str, Any]:
    """The data set that a recorded configuration learns from, without what repeats it, which is its `times`."""
    data = kit.load_spec(name)["hyper"]["data"]["train"]
    times = 1
    while "pipeline" not in data and "dataset" in data:
        times, data = data.get("times", times), data["dataset"]
    return {**data, "times": times}


def published_step(step: dict[str, Any]) -> tuple[Any, ...] | None:
    """What a step of a recorded pipeline does to a picture, None where that is not of the data's making."""
    match step:
        case {"type": "Resize", "img_scale": scale, "ratio_range": (low, high)}:
            return "sizes", {(side, side) for side in range(int(low * scale[0]), int(high * scale[0]))}
        case {"type": "Resize", "img_scale": (int(), int()) as scale, "keep_ratio": ratio}:
            return "size", {tuple(sorted(scale))}, ratio
        case {"type": "Resize", "img_scale": scales, "multiscale_mode": "value", "keep_ratio": ratio}:
            return "size", {tuple(sorted(scale)) for scale in scales}, ratio
        case {"type": "Resize", "img_scale": scales, "keep_ratio": ratio}:
            return "range", *(tuple(sorted(scale)) for scale in scales), ratio
        case {"type": "RandomFlip", "flip_ratio": probability}:
            return "flip", probability
        case {"type": "RandomCrop", "crop_type": "absolute_range", "crop_size": (low, high)}:
            return "crop", (low, low), (high, high)
        case {"type": "RandomCrop", "crop_size": size}:
            return "crop", tuple(size), tuple(size)
        case {"type": "Expand", "ratio_range": ratio, "mean": mean}:
            return "expand", tuple(ratio), any(mean)
        case {"type": "MinIoURandomCrop", "min_ious": ious, "min_crop_size": side}:
            return "crop of objects", tuple(ious), side
        case {"type": "PhotoMetricDistortion"}:
            return ("colours",)
        case {"type": "AutoAugment", "policies": policies}:
            return "one of", *[tuple(published_step(step) for step in policy) for policy in policies]
    return None


def own_step(step: Transform) -> tuple[Any, ...] | None:
    """The same of a transform."""
    match step:
        case Resize(scales=scales) if len(scales) > 100:
            return "sizes", set(scales)
        case Resize(scales=scales, keep_ratio=ratio):
            return "size", {tuple(sorted(scale)) for scale in scales}, ratio
        case ResizeRange(low=low, high=high, keep_ratio=ratio) if low == high:
            return "size", {tuple(sorted(low))}, ratio
        case ResizeRange(low=low, high=high, keep_ratio=ratio):
            return "range", tuple(sorted(low)), tuple(sorted(high)), ratio
        case Flip(probability=probability):
            return "flip", probability
        case RandomCrop(low=low, high=high):
            return "crop", low, high
        case Expand(ratio=ratio, fill=fill):
            return "expand", ratio, any(fill)
        case MinIoUCrop(ious=ious, min_side=side):
            return "crop of objects", ious, side
        case PhotometricDistortion():
            return ("colours",)
        case OneOf(choices=choices):
            return "one of", *[tuple(own_step(step) for step in choice) for choice in choices]
    return None


def in_order(steps: list[tuple[Any, ...] | None]) -> list[tuple[Any, ...]]:
    """The steps that say something; mirroring, which may be anywhere, first."""
    return sorted((step for step in steps if step is not None), key=lambda step: step[0] != "flip")


# What augments them is not here: InstaBoost, and a part of Albumentations.
OTHER_PICTURES = ("mask_rcnn_r50_fpn_instaboost_4x_coco", "mask_rcnn_r50_fpn_albu_1x_coco")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHER_PICTURES])
def test_pictures(name):
    schedule_of(name)
    data = get_config(name).train_data
    if "transforms" not in fdl.ordered_arguments(data):
        pytest.skip("not of single pictures, or with maps of semantic classes")
    found = in_order([own_step(fdl.build(step)) for step in data.transforms])
    published = training_set(name)
    steps = in_order([published_step(step) for step in published["pipeline"]])
    if "bdd100k" in name:  # whose pictures have that size
        steps = [step for step in steps if step != ("size", {(720, 1280)}, True)]
    assert found == steps
    arguments = fdl.ordered_arguments(data, include_defaults=True)
    if fdl.get_callable(data) is coco_training:
        assert arguments["times"] == published["times"]
        assert arguments["keep_empty"] == (not published.get("filter_empty_gt", True))


@pytest.mark.parametrize("name", NAMES)
def test_batches(name):
    """Of eight processes, or as many as the name says before the pictures of each: `16x2`."""
    found, data = schedule_of(name).batch_size, kit.load_spec(name)["hyper"]["data"]
    if name == "ssd300_wider_face":
        assert found == data["samples_per_gpu"]  # one process
    elif said := re.search(r"_(\d+)x(\d+)_", name):
        assert found == int(said[1]) * int(said[2])
    else:
        assert found == 8 * (data.get("samples_per_gpu") or data["imgs_per_gpu"])
