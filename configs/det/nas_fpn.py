"""RetinaNet with NAS-FPN (https://arxiv.org/abs/1904.07392)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.necks.nas_fpn import NASFPN

from .retinanet import crop640


def retinanet_r50_nasfpn_crop640_50e_coco() -> fdl.Config:
    return crop640(fdl.Config(NASFPN, in_channels=(256, 512, 1024, 2048)))
