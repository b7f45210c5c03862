"""YOLOX (https://arxiv.org/abs/2107.08430) in its sizes, as detector of COCO's classes or of people."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule, WarmCosine
from vidperc.image.backbones.csp_darknet import CSPDarknet
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.yolox import (
    SimOTAAssigner,
    YOLOXCoder,
    YOLOXCriterion,
    YOLOXPostprocessor,
    YOLOXPredictor,
)
from vidperc.image.necks.yolox import YOLOXPAFPN
from vidperc.image.preprocess import Preprocessor, SquarePreprocessor
from vidperc.image.priors import GridPoints
from vidperc.image.single_stage import SingleStageDetector

GREY = 114.0  # of the padding
SIZES = {"tiny": (0.33, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}


def yolox(size: str = "s", classes: int = 80, preprocess: fdl.Config | None = None) -> fdl.Config:
    """The detector; `size` is one of tiny, s, m, l and x."""
    depth, width = SIZES[size]
    channels, coder = int(256 * width), fdl.Config(YOLOXCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(YOLOXPredictor, classes=classes, in_channels=channels, channels=channels),
        priors=fdl.Config(GridPoints, strides=(8, 16, 32), offset=0.0),
        criterion=fdl.Config(YOLOXCriterion, assigner=fdl.Config(SimOTAAssigner, coder=coder), coder=coder),
        postprocessor=fdl.Config(YOLOXPostprocessor, coder=coder),
    )
    return fdl.Config(
        SingleStageDetector,
        preprocessor=preprocess or square(640),
        backbone=fdl.Config(CSPDarknet, depth=depth, width=width),
        neck=fdl.Config(
            YOLOXPAFPN,
            in_channels=[channels, 2 * channels, 4 * channels],
            out_channels=channels,
            blocks=max(round(3 * depth), 1),
        ),
        head=head,
    )


def square(side: int) -> fdl.Config:
    """BGR as it is, fitted into a square with grey below or beside."""
    return fdl.Config(
        SquarePreprocessor, test_scale=(side, side), bgr=True, mean=(0.0,) * 3, std=(1.0,) * 3, pad_value=GREY
    )


def wide(scale: tuple[int, int] = (1440, 800)) -> fdl.Config:
    """BGR as it is, fitted into the size that trackers of MOT17 use, or another one."""
    return fdl.Config(Preprocessor, test_scale=scale, bgr=True, mean=(0.0,) * 3, std=(1.0,) * 3, pad_value=GREY)


def yolox_schedule(
    epochs: int = 300, lr: float = 0.01, batch_size: int = 64, warm: int = 5, flat: int = 15
) -> fdl.Config:
    """SGD down a cosine after `warm` epochs, flat for the last ones, with averaged weights."""
    return fdl.Config(
        Schedule,
        epochs=epochs,
        curve=fdl.Config(WarmCosine, warm=warm / epochs, flat=flat / epochs),
        warmup_iterations=0,
        batch_size=batch_size,
        ema_decay=0.9999,
        optimizer=fdl.Config(
            SGD, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4, norm_decay=0.0, bias_decay=0.0
        ),
        evaluate_every=10,
    )
