"""PAA (https://arxiv.org/abs/2007.08103), all with score voting."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.schedule import Schedule
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.heads.paa import PAACriterion, PAAPostprocessor

from ..common.atss import atss_coder, atss_head
from ..common.dense import sgd, single_stage
from ..common.det_data import any_short_side, on_coco
from ..common.models import resnet
from ..common.schedules import schedule_1x, schedule_2x, schedule_3x


def _paa(schedule: fdl.Config, depth: int = 50) -> fdl.Config:
    head = atss_head()
    assigner = fdl.Config(MaxIoUAssigner, positive=0.1, negative=0.1)
    head.criterion = fdl.Config(PAACriterion, assigner=assigner, coder=atss_coder())
    head.postprocessor = fdl.Config(PAAPostprocessor, coder=atss_coder(), iou_threshold=0.6)
    return single_stage(head, backbone=resnet(depth), schedule=schedule)


def _mstrain_3x(depth: int = 50) -> fdl.Config:
    return on_coco(_paa(schedule_3x(milestones=(28, 34), optimizer=sgd()), depth), any_short_side())


def paa_r50_fpn_1x_coco() -> fdl.Config:
    return _paa(schedule_1x(optimizer=sgd()))


def paa_r50_fpn_1_5x_coco() -> fdl.Config:
    return _paa(fdl.Config(Schedule, epochs=18, milestones=(12, 16), optimizer=sgd()))


def paa_r50_fpn_2x_coco() -> fdl.Config:
    return _paa(schedule_2x(optimizer=sgd()))


def paa_r50_fpn_mstrain_3x_coco() -> fdl.Config:
    return _mstrain_3x()


def paa_r101_fpn_1x_coco() -> fdl.Config:
    return _paa(schedule_1x(optimizer=sgd()), 101)


def paa_r101_fpn_2x_coco() -> fdl.Config:
    return _paa(schedule_2x(optimizer=sgd()), 101)


def paa_r101_fpn_mstrain_3x_coco() -> fdl.Config:
    return _mstrain_3x(101)
