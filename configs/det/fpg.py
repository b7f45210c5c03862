"""Feature pyramid grids (https://arxiv.org/abs/2004.03580) in Faster and Mask R-CNN and RetinaNet."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.image.necks.fpg import FPG

from ..common.det_data import on_crops_of_coco
from ..common.schedules import schedule_50e_crop640
from ..common.two_stage import experiment, faster_rcnn, mask_rcnn
from .retinanet import crop640

FPG_KEYS: KeyRules = (
    (r"\.across_down\.conv\.", ".across_down."),
    (r"(\.output_transition\.\d+)\.conv_out\.", r"\1."),
)


def _fpg(channels: int, **changes: Any) -> fdl.Config:
    return fdl.Config(FPG, in_channels=(256, 512, 1024, 2048), out_channels=channels, channels=channels, **changes)


def _rcnn(model: fdl.Config, channels: int = 256) -> fdl.Config:
    """The detector with `channels` in its pyramid, trained from crops with batch norms that learn."""
    config = experiment(model, schedule_50e_crop640(evaluate_every=2))
    config.published_keys = (*config.published_keys, *FPG_KEYS)
    model.backbone.norm_eval = False
    model.neck = _fpg(channels)
    model.preprocessor.test_scale, model.preprocessor.pad_divisor = (640, 640), 64
    model.rpn.predictor.in_channels = model.roi_head.box_head.in_channels = channels
    if "mask" in fdl.ordered_arguments(model.roi_head):
        (head,) = model.roi_head.mask.heads
        head.in_channels, head.norm = channels, "bn"
    return on_crops_of_coco(config)


def _retinanet(channels: int = 256) -> fdl.Config:
    config = crop640(_fpg(channels, start_level=1, conv_extra=True), in_channels=channels)
    config.published_keys = (*config.published_keys, *FPG_KEYS)
    return config


def faster_rcnn_r50_fpg_crop640_50e_coco() -> fdl.Config:
    return _rcnn(faster_rcnn())


def faster_rcnn_r50_fpg_chn128_crop640_50e_coco() -> fdl.Config:
    return _rcnn(faster_rcnn(), 128)


def mask_rcnn_r50_fpg_crop640_50e_coco() -> fdl.Config:
    return _rcnn(mask_rcnn())


def mask_rcnn_r50_fpg_chn128_crop640_50e_coco() -> fdl.Config:
    return _rcnn(mask_rcnn(), 128)


def retinanet_r50_fpg_crop640_50e_coco() -> fdl.Config:
    return _retinanet()


def retinanet_r50_fpg_chn128_crop640_50e_coco() -> fdl.Config:
    return _retinanet(128)
