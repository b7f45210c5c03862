"""YOLOF (https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.transforms import Flip, RandomShift, Resize
from vidperc.engine.optim import Rule
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.yolof import NearDeltaCoder, UniformAssigner, YOLOFCriterion, YOLOFPredictor
from vidperc.image.necks.dilated_encoder import DilatedEncoder
from vidperc.image.priors import AnchorGenerator

from ..common.backbones import from_detectron
from ..common.dense import sgd, single_stage
from ..common.det_data import on_changed_coco
from ..common.models import caffe_preprocessor, caffe_resnet
from ..common.schedules import schedule_1x

NAMES = ((r"^neck\.(lateral|fpn)_(conv|norm)\.", r"neck.\1.\2."), (r"^neck\.dilated_encoder_blocks\.", "neck.blocks."))


def yolof_r50_c5_8x8_1x_coco() -> fdl.Config:
    coder = fdl.Config(NearDeltaCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(YOLOFPredictor, classes=80),
        priors=fdl.Config(AnchorGenerator, strides=(32,), ratios=(1.0,), scales=(1.0, 2.0, 4.0, 8.0, 16.0)),
        criterion=fdl.Config(YOLOFCriterion, assigner=fdl.Config(UniformAssigner), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder, iou_threshold=0.6),
    )
    slow_backbone = (fdl.Config(Rule, r"^backbone\.", lr=1 / 3),)
    config = single_stage(
        head,
        backbone=caffe_resnet(out_indices=(3,)),
        neck=fdl.Config(DilatedEncoder),
        preprocess=caffe_preprocessor(),
        schedule=schedule_1x(
            optimizer=sgd(0.12, norm_decay=0.0, rules=slow_backbone),
            warmup_iterations=1500,
            warmup_ratio=0.00066667,
            batch_size=64,
        ),
        keys=NAMES,
    )
    return on_changed_coco(
        from_detectron(config), [fdl.Config(Resize, (1333, 800)), fdl.Config(Flip), fdl.Config(RandomShift)]
    )
