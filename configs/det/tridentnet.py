"""TridentNet (https://arxiv.org/abs/1901.01892), one branch at inference."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.schedule import Schedule
from vidperc.image.backbones.trident import TridentBottleneck
from vidperc.image.samplers import RandomSampler
from vidperc.image.two_stage import BranchedRCNN

from ..common.det_data import on_coco, six_short_sides
from .faster_rcnn import faster_rcnn_r50_caffe_c4_1x_coco


def tridentnet_r50_caffe_1x_coco() -> fdl.Config:
    config = faster_rcnn_r50_caffe_c4_1x_coco()
    model = config.model
    fdl.update_callable(model, BranchedRCNN)
    model.backbone.block_stages = {2: TridentBottleneck}
    model.rpn.select_training.post_nms = 500
    model.roi_head.sampler.sampler = fdl.Config(RandomSampler, 128, 0.5)
    model.roi_head.sampler.add_targets = False
    return config


def tridentnet_r50_caffe_mstrain_1x_coco() -> fdl.Config:
    return on_coco(tridentnet_r50_caffe_1x_coco(), six_short_sides())


def tridentnet_r50_caffe_mstrain_3x_coco() -> fdl.Config:
    config = tridentnet_r50_caffe_mstrain_1x_coco()
    config.schedule = fdl.Config(Schedule, epochs=36, milestones=(28, 34))
    return config
