"""RetinaNet on Pyramid Vision Transformers (https://arxiv.org/abs/2102.12122, 2106.13797) on BDD100K."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import pvt
from vidperc.checkpoint.initial import InitialWeights
from vidperc.engine.optim import AdamW
from vidperc.image.backbones.pvt import HEADS, PVT, PVTv2

from .retinanet import retinanet_r50_fpn_1x_det_bdd100k, retinanet_r50_fpn_3x_det_bdd100k

RELEASES = "https://github.com/whai362/PVT/releases/download/v2"  # weights of the authors' classifiers
SMALL = (3, 4, 6, 3)  # blocks

KEYS = (
    (r"^(backbone\..*\.ffn)\.layers\.0\.", r"\1.fc1."),
    (r"^(backbone\..*\.ffn)\.layers\.1\.", r"\1.depthwise."),
    (r"^(backbone\..*\.ffn)\.layers\.[34]\.", r"\1.fc2."),
)


def _with_pvt(config: fdl.Config, backbone: fdl.Config, weights: str) -> fdl.Config:
    config.model.backbone = backbone
    config.model.neck.in_channels = tuple(getattr(backbone, "channels", 64) * heads for heads in HEADS)
    config.schedule.optimizer = fdl.Config(AdamW, lr=1e-4, weight_decay=1e-4)
    config.published_keys = (*KEYS, *config.published_keys)
    config.initial = fdl.Config(InitialWeights, backbone=f"{RELEASES}/{weights}.pth", convert=pvt)
    return config


def _1x(backbone: fdl.Config, weights: str) -> fdl.Config:
    return _with_pvt(retinanet_r50_fpn_1x_det_bdd100k(), backbone, weights)


def _3x(backbone: fdl.Config, weights: str) -> fdl.Config:
    return _with_pvt(retinanet_r50_fpn_3x_det_bdd100k(), backbone, weights)


def retinanet_pvt_t_fpn_1x_det_bdd100k() -> fdl.Config:
    return _1x(fdl.Config(PVT), "pvt_tiny")


def retinanet_pvt_t_fpn_3x_det_bdd100k() -> fdl.Config:
    return _3x(fdl.Config(PVT), "pvt_tiny")


def retinanet_pvt_s_fpn_3x_det_bdd100k() -> fdl.Config:
    return _3x(fdl.Config(PVT, SMALL), "pvt_small")


def retinanet_pvtv2_b0_fpn_1x_det_bdd100k() -> fdl.Config:
    return _1x(fdl.Config(PVTv2, channels=32), "pvt_v2_b0")


def retinanet_pvtv2_b0_fpn_3x_det_bdd100k() -> fdl.Config:
    return _3x(fdl.Config(PVTv2, channels=32), "pvt_v2_b0")


def retinanet_pvtv2_b1_fpn_3x_det_bdd100k() -> fdl.Config:
    return _3x(fdl.Config(PVTv2), "pvt_v2_b1")


def retinanet_pvtv2_b2_fpn_3x_det_bdd100k() -> fdl.Config:
    return _3x(fdl.Config(PVTv2, SMALL), "pvt_v2_b2")
