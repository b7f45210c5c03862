"""Detectors on HRNetV2p (https://arxiv.org/abs/1908.07919) on COCO and BDD100K."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import hrnet
from vidperc.checkpoint.initial import InitialWeights
from vidperc.image.backbones.hrnet import HRNet
from vidperc.image.necks.hrfpn import HRFPN

from ..common.det_data import on_coco
from ..common.models import bgr_preprocessor
from ..common.schedules import schedule_1x, schedule_2x, schedule_20e
from ..common.two_stage import cascade_mask_rcnn, cascade_rcnn, experiment, faster_rcnn, mask_rcnn
from .fcos import fcos_r50_caffe_fpn_gn_head_1x_coco, fcos_r50_caffe_fpn_gn_head_mstrain_640_800_2x_coco
from .htc import htc_r50_fpn_20e_coco
from .rcnn_bdd100k import faster_rcnn_r50_fpn_1x_det_bdd100k, faster_rcnn_r50_fpn_3x_det_bdd100k


def _with_hrnet(config: fdl.Config, width: int, stride: int = 1) -> fdl.Config:
    """An HRNet all of which learns; the path of its ImageNet weights is given as `initial.backbone`."""
    config.model.backbone = fdl.Config(HRNet, width)
    channels = tuple(width * 2**number for number in range(4))
    config.model.neck = fdl.Config(HRFPN, in_channels=channels, stride=stride)
    config.initial = fdl.Config(InitialWeights, convert=hrnet)
    return config


def _coco(model: fdl.Config, width: int, schedule: fdl.Config) -> fdl.Config:
    return _with_hrnet(experiment(model, schedule), width)


def _fcos(config: fdl.Config, width: int) -> fdl.Config:
    """FCOS on levels of strides 8 to 128, in BGR with the deviations of the classifier's colours."""
    config.model.preprocessor = bgr_preprocessor()
    return _with_hrnet(config, width, stride=2)


def _fcos_mstrain(width: int) -> fdl.Config:
    return _fcos(fcos_r50_caffe_fpn_gn_head_mstrain_640_800_2x_coco(), width)


def faster_rcnn_hrnetv2p_w18_1x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 18, schedule_1x())


def faster_rcnn_hrnetv2p_w18_2x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 18, schedule_2x())


def faster_rcnn_hrnetv2p_w32_1x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 32, schedule_1x())


def faster_rcnn_hrnetv2p_w32_2x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 32, schedule_2x())


def faster_rcnn_hrnetv2p_w40_1x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 40, schedule_1x())


def faster_rcnn_hrnetv2p_w40_2x_coco() -> fdl.Config:
    return _coco(faster_rcnn(), 40, schedule_2x())


def mask_rcnn_hrnetv2p_w18_1x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 18, schedule_1x())


def mask_rcnn_hrnetv2p_w18_2x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 18, schedule_2x())


def mask_rcnn_hrnetv2p_w32_1x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 32, schedule_1x())


def mask_rcnn_hrnetv2p_w32_2x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 32, schedule_2x())


def mask_rcnn_hrnetv2p_w40_1x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 40, schedule_1x())


def mask_rcnn_hrnetv2p_w40_2x_coco() -> fdl.Config:
    return _coco(mask_rcnn(), 40, schedule_2x())


def cascade_rcnn_hrnetv2p_w18_20e_coco() -> fdl.Config:
    return _coco(cascade_rcnn(), 18, schedule_20e())


def cascade_rcnn_hrnetv2p_w32_20e_coco() -> fdl.Config:
    return _coco(cascade_rcnn(), 32, schedule_20e())


def cascade_rcnn_hrnetv2p_w40_20e_coco() -> fdl.Config:
    return _coco(cascade_rcnn(), 40, schedule_20e())


def cascade_mask_rcnn_hrnetv2p_w18_20e_coco() -> fdl.Config:
    return _coco(cascade_mask_rcnn(), 18, schedule_20e())


def cascade_mask_rcnn_hrnetv2p_w32_20e_coco() -> fdl.Config:
    return _coco(cascade_mask_rcnn(), 32, schedule_20e())


def cascade_mask_rcnn_hrnetv2p_w40_20e_coco() -> fdl.Config:
    return _coco(cascade_mask_rcnn(), 40, schedule_20e())


def htc_hrnetv2p_w18_20e_coco() -> fdl.Config:
    return _with_hrnet(htc_r50_fpn_20e_coco(), 18)


def htc_hrnetv2p_w32_20e_coco() -> fdl.Config:
    return _with_hrnet(htc_r50_fpn_20e_coco(), 32)


def htc_hrnetv2p_w40_20e_coco() -> fdl.Config:
    return _with_hrnet(htc_r50_fpn_20e_coco(), 40)


def fcos_hrnetv2p_w18_gn_head_4x4_1x_coco() -> fdl.Config:
    return _fcos(fcos_r50_caffe_fpn_gn_head_1x_coco(), 18)


def fcos_hrnetv2p_w18_gn_head_4x4_2x_coco() -> fdl.Config:
    return on_coco(_fcos_mstrain(18))


def fcos_hrnetv2p_w32_gn_head_4x4_1x_coco() -> fdl.Config:
    return _fcos(fcos_r50_caffe_fpn_gn_head_1x_coco(), 32)


def fcos_hrnetv2p_w32_gn_head_4x4_2x_coco() -> fdl.Config:
    return on_coco(_fcos_mstrain(32))


def fcos_hrnetv2p_w18_gn_head_mstrain_640_800_4x4_2x_coco() -> fdl.Config:
    return _fcos_mstrain(18)


def fcos_hrnetv2p_w32_gn_head_mstrain_640_800_4x4_2x_coco() -> fdl.Config:
    return _fcos_mstrain(32)


def fcos_hrnetv2p_w40_gn_head_mstrain_640_800_4x4_2x_coco() -> fdl.Config:
    return _fcos_mstrain(40)


def faster_rcnn_hrnetv2p_w18_1x_det_bdd100k() -> fdl.Config:
    return _with_hrnet(faster_rcnn_r50_fpn_1x_det_bdd100k(), 18)


def faster_rcnn_hrnetv2p_w18_3x_det_bdd100k() -> fdl.Config:
    return _with_hrnet(faster_rcnn_r50_fpn_3x_det_bdd100k(), 18)


def faster_rcnn_hrnetv2p_w32_1x_det_bdd100k() -> fdl.Config:
    return _with_hrnet(faster_rcnn_r50_fpn_1x_det_bdd100k(), 32)


def faster_rcnn_hrnetv2p_w32_3x_det_bdd100k() -> fdl.Config:
    return _with_hrnet(faster_rcnn_r50_fpn_3x_det_bdd100k(), 32)
