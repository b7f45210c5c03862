"""Tiny detectors of synthetic objects: they learn in minutes, and their checkpoints ship with the package."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.synthetic import CLASSES
from vidperc.engine.experiment import Experiment
from vidperc.image.heads.rpn import ProposalSelector
from vidperc.image.samplers import RandomSampler

from ..common.synthetic import (
    synthetic_scoring,
    synthetic_training,
    tiny_fpn,
    tiny_preprocessor,
    tiny_resnet,
    tiny_schedule,
)
from ..common.two_stage import faster_rcnn, rpn_head


def tiny_det() -> fdl.Config:
    """Faster R-CNN, ResNet-18 of width 16, FPN of 64 channels."""
    return fdl.Config(
        Experiment,
        task="det",
        model=_tiny_faster_rcnn(),
        classes=CLASSES,
        shipped="tiny_det.pt",
        train_data=synthetic_training("det"),
        validation_data=synthetic_scoring("det", "val", videos=10, length=20),
        test_data=synthetic_scoring("det", "test"),
        schedule=tiny_schedule(),
    )


def _tiny_faster_rcnn() -> fdl.Config:
    """The published Faster R-CNN with fewer channels, smaller anchors and fewer regions."""
    model = faster_rcnn(len(CLASSES))
    model.preprocessor = tiny_preprocessor()
    model.backbone = tiny_resnet()
    model.neck = tiny_fpn()
    model.rpn = rpn_head(64, scales=(6,))
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=300, post_nms=100)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=500, post_nms=200)
    model.rpn.criterion.sampler = fdl.Config(RandomSampler, 128, 0.5)
    model.roi_head.box_head.in_channels = 64
    model.roi_head.box_head.hidden = 128
    model.roi_head.sampler.sampler = fdl.Config(RandomSampler, 64, 0.25)
    model.roi_head.extractor.finest_scale = 28
    return model
