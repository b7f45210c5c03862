"""Data and schedules of the tiny models, which learn from the built-in synthetic videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiddle as fdl

from vidperc.data.datasets import ClipDataset
from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.data.synthetic.scene import Flavour
from vidperc.data.transforms import Flip, PhotometricDistortion
from vidperc.engine.experiment import TestData, TrainData
from vidperc.engine.optim import AdamW
from vidperc.engine.schedule import Cosine, Schedule
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.evaluation.sot_evaluator import SOTEvaluator, one_pass
from vidperc.image.backbones import ResNet
from vidperc.image.preprocess import Preprocessor

from .models import fpn

SIZE = (160, 256)  # (height, width) of the synthetic videos that the tiny models see


def synthetic_training(
    flavour: Flavour = "det",
    sampler: fdl.Config | None = None,
    transforms: Sequence[fdl.Config] | None = None,
    *,
    videos: int = 400,
    length: int = 60,
    key_stride: int = 5,
) -> fdl.Config:
    """Clips of the training videos; flipped and with changed light unless told otherwise."""
    if transforms is None:
        transforms = [fdl.Config(Flip), fdl.Config(PhotometricDistortion, shuffle=0.2)]
    records = fdl.Config(synthetic_videos, "train", videos, length, SIZE, flavour)
    return fdl.Config(
        TrainData,
        dataset=fdl.Config(ClipDataset, records, sampler, list(transforms), key_stride=key_stride),
    )


def synthetic_scoring(
    flavour: Flavour = "det", split: str = "test", *, videos: int = 20, length: int = 40, **options: Any
) -> fdl.Config:
    """Box AP on videos of a split; `options` are the evaluator's."""
    return fdl.Config(
        TestData,
        records=fdl.Config(synthetic_videos, split, videos, length, SIZE, flavour),
        evaluator=fdl.Partial(COCOEvaluator, classes=CLASSES, **options),
        metric="AP50",
    )


def synthetic_success(split: str, videos: int, length: int) -> fdl.Config:
    """One pass over videos in which one object stays in the picture."""
    return fdl.Config(
        TestData,
        records=fdl.Config(synthetic_videos, split, videos, length, SIZE, "sot"),
        evaluator=fdl.Partial(SOTEvaluator),
        metric="success",
        protocol=one_pass,
    )


def tiny_schedule(iterations: int = 1500, **changes: Any) -> fdl.Config:
    """AdamW down a cosine, with averaged weights."""
    settings: dict[str, Any] = {
        "batch_size": 8, "warmup_iterations": 100, "clip_norm": 10.0, "ema_decay": 0.998,
        "optimizer": fdl.Config(AdamW, lr=1e-3, weight_decay=0.05, norm_decay=0.0, bias_decay=0.0),
        "evaluate_every": 500, **changes,
    }  # fmt: skip
    return fdl.Config(Schedule, iterations=iterations, curve=fdl.Config(Cosine, final=0.01), **settings)


def tiny_preprocessor() -> fdl.Config:
    """Pictures in their own size."""
    return fdl.Config(Preprocessor, test_scale=None)


def tiny_resnet(width: int = 16, **changes: Any) -> fdl.Config:
    """A ResNet-18 of `width` channels in its stem, learning from nothing."""
    return fdl.Config(ResNet, depth=18, base_channels=width, frozen_stages=-1, norm_eval=False, **changes)


def tiny_fpn(width: int = 16, **changes: Any) -> fdl.Config:
    """64 channels on each level."""
    return fpn((width, 2 * width, 4 * width, 8 * width), out_channels=64, **changes)
