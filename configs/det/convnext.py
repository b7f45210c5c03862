"""Detectors on ConvNeXt (https://arxiv.org/abs/2201.03545) on BDD100K."""

from __future__ import annotations

from typing import NamedTuple

import fiddle as fdl

from vidperc.checkpoint.classifiers import convnext
from vidperc.checkpoint.initial import InitialWeights
from vidperc.engine.optim import AdamW, Rule
from vidperc.image.backbones.convnext import SIZES, ConvNeXt

from ..common.det_data import on_bdd100k_by_length
from ..common.schedules import schedule_of_transformers
from .rcnn_bdd100k import cascade_rcnn_r50_fpn_1x_det_bdd100k, faster_rcnn_r50_fpn_1x_det_bdd100k


class _Training(NamedTuple):
    """Rate of stochastic depth, and factor of the learning rate from layer to layer, of which there are `layers`."""

    drop_path: float
    decay: float
    layers: int


TRAINING = {
    "tiny": _Training(0.4, 0.95, 6),
    "small": _Training(0.6, 0.7, 12),
    "base": _Training(0.7, 0.8, 12),
}


def _layers(blocks: int, last: int) -> dict[str, int]:
    """The layer that parts of the backbone count to: three blocks of the third stage, which has `blocks`, are one."""
    third = {rf"stages\.2\.{block}\.": 3 + block // 3 for block in range(blocks)}
    stages = {r"stages\.0\.": 1, r"stages\.1\.": 2, **third, r"stages\.3\.": last}
    shrinking = {
        r"downsample_layers\.0\.": 0, r"downsample_layers\.1\.": 2, r"downsample_layers\.2\.": 3,
        r"downsample_layers\.3\.": last,
    }  # fmt: skip
    return {**stages, **shrinking}


def _adamw(size: str) -> fdl.Config:
    """The earlier a layer, the slower it learns; weights of matrices and convolutions alone decay."""
    training = TRAINING[size]
    rules = [
        fdl.Config(Rule, rf"^backbone\.{pattern}", lr=training.decay ** (training.layers + 1 - layer))
        for pattern, layer in _layers(SIZES[size].blocks[2], training.layers).items()
    ]
    rules.append(fdl.Config(Rule, r"\.gamma$", weight_decay=0.0))
    return fdl.Config(AdamW, lr=1e-4, weight_decay=0.05, norm_decay=0.0, bias_decay=0.0, rules=rules)


def _with_convnext(config: fdl.Config, size: str, epochs: int = 36) -> fdl.Config:
    """A ConvNeXt, trained in half precision."""
    config.model.backbone = fdl.Config(ConvNeXt, size, drop_path=TRAINING[size].drop_path)
    config.model.neck.in_channels = tuple(SIZES[size].channels * 2**stage for stage in range(4))
    config.schedule = schedule_of_transformers(epochs, optimizer=_adamw(size), precision="fp16", batch_size=32)
    config.initial = fdl.Config(InitialWeights, backbone=f"torchvision://convnext_{size}", convert=convnext)
    return on_bdd100k_by_length(config)


def faster_rcnn_convnext_t_fpn_fp16_1x_det_bdd100k() -> fdl.Config:
    return _with_convnext(faster_rcnn_r50_fpn_1x_det_bdd100k(), "tiny", epochs=12)


def faster_rcnn_convnext_t_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_convnext(faster_rcnn_r50_fpn_1x_det_bdd100k(), "tiny")


def faster_rcnn_convnext_s_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_convnext(faster_rcnn_r50_fpn_1x_det_bdd100k(), "small")


def faster_rcnn_convnext_b_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_convnext(faster_rcnn_r50_fpn_1x_det_bdd100k(), "base")


def cascade_rcnn_convnext_t_fpn_fp16_1x_det_bdd100k() -> fdl.Config:
    return _with_convnext(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "tiny", epochs=12)


def cascade_rcnn_convnext_t_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_convnext(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "tiny")


def cascade_rcnn_convnext_s_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    """The published config of this name builds a ConvNeXt-T."""
    return _with_convnext(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "tiny")


def cascade_rcnn_convnext_b_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_convnext(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "base")
