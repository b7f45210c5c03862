"""What configs of one-stage detectors share."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.experiment import Experiment
from vidperc.engine.optim import SGD
from vidperc.image.priors import AnchorGenerator
from vidperc.image.single_stage import SingleStageDetector

from .backbones import from_imagenet_if_resnet
from .classes import coco_classes
from .det_data import on_coco
from .models import common_keys, fpn, preprocessor, resnet
from .schedules import schedule_1x

STRIDES = (8, 16, 32, 64, 128)


def single_stage(
    head: fdl.Config,
    *,
    backbone: fdl.Config | None = None,
    neck: fdl.Config | None = None,
    preprocess: fdl.Config | None = None,
    classes: tuple[str, ...] | None = None,
    schedule: fdl.Config | None = None,
    keys: KeyRules = (),
) -> fdl.Config:
    """A detector on a ResNet-50 with levels P3 to P7 on COCO, 12 epochs, where nothing else is said.

    Other classes come without data.
    """
    model = fdl.Config(
        SingleStageDetector,
        preprocessor=preprocess or preprocessor(),
        backbone=backbone or resnet(),
        neck=neck or pyramid(),
        head=head,
    )
    config = fdl.Config(
        Experiment,
        task="det",
        model=model,
        classes=classes or coco_classes(),
        published_keys=(*dense_keys(), *keys),
        schedule=schedule or schedule_1x(optimizer=sgd()),
    )
    from_imagenet_if_resnet(config)
    return on_coco(config) if classes is None else config


def dense_keys() -> KeyRules:
    """Published names of one-stage detectors."""
    return ((r"^bbox_head\.", "head.predictor."), *common_keys())


def pyramid(in_channels: tuple[int, ...] = (256, 512, 1024, 2048), **changes: Any) -> fdl.Config:
    """Levels P3 to P7, the last two by convolutions on the output P5 (FCOS and its successors)."""
    return fpn(in_channels, **{"start_level": 1, "extra": "on_output", **changes})


def detectron_preprocessor(**changes: Any) -> fdl.Config:
    """BGR less Detectron's mean, as the first caffe-style backbones were trained."""
    return preprocessor(bgr=True, mean=(102.9801, 115.9465, 122.7717), std=(1.0, 1.0, 1.0), **changes)


def one_anchor() -> fdl.Config:
    """One square anchor of eight strides per location (ATSS and its successors)."""
    return fdl.Config(AnchorGenerator, strides=STRIDES, ratios=(1.0,), scales=(8.0,))


def sgd(lr: float = 0.01, **changes: Any) -> fdl.Config:
    """The optimiser of most one-stage detectors."""
    return fdl.Config(SGD, lr=lr, **changes)
