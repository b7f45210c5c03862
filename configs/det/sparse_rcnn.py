"""Sparse R-CNN (https://arxiv.org/abs/2011.12450) on COCO and BDD100K."""

from __future__ import annotations

import math

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.optim import AdamW
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.query import (
    HungarianMatcher,
    QueryCriterion,
    QueryHead,
    QueryPostprocessor,
    SigmoidClasses,
    corner_form,
)
from vidperc.image.heads.sparse_rcnn import SparsePredictor, SparseStage
from vidperc.image.roi_heads.extractor import RoIExtractor

from ..common.backbones import with_depth
from ..common.classes import bdd100k_classes, coco_classes
from ..common.det_data import on_bdd100k_by_length, on_coco, one_short_side, strong_augmentation
from ..common.models import fpn, preprocessor, resnet
from ..common.query import query_detector
from ..common.schedules import schedule_1x, schedule_3x

KEYS: KeyRules = (
    (r"^rpn_head\.init_proposal_bboxes\.", "head.predictor.boxes."),
    (r"^rpn_head\.init_proposal_features\.", "head.predictor.features."),
    (r"^roi_head\.bbox_head\.", "head.predictor.stages."),
    (r"\.attention\.attn\.", ".attention."),
    (r"\.instance_interactive_conv(_norm)?\.", r".interaction\1."),
    (r"\.ffn\.layers\.0\.0\.", ".linear1."),
    (r"\.ffn\.layers\.1\.", ".linear2."),
)


def _head(classes: int, queries: int) -> fdl.Config:
    """Six stages; boxes may reach out of the image."""
    classification = fdl.Config(SigmoidClasses)
    return fdl.Config(
        QueryHead,
        predictor=fdl.Config(
            SparsePredictor,
            stages=[fdl.Config(SparseStage, classes=classes) for _ in range(6)],
            extractor=fdl.Config(RoIExtractor, 7, sampling_ratio=2),
            coder=fdl.Config(DeltaCoder, stds=(0.5, 0.5, 1.0, 1.0)),
            queries=queries,
        ),
        criterion=fdl.Config(
            QueryCriterion,
            classification,
            matcher=fdl.Config(HungarianMatcher, classification, coordinates=corner_form),
        ),
        postprocessor=fdl.Config(QueryPostprocessor, max_detections=queries, margin=math.inf),
    )


def _sparse_rcnn(
    queries: int = 100,
    *,
    classes: tuple[str, ...] | None = None,
    preprocess: fdl.Config | None = None,
    schedule: fdl.Config | None = None,
) -> fdl.Config:
    return query_detector(
        _head(len(classes or coco_classes()), queries),
        backbone=resnet(),
        neck=fpn(levels=4),
        preprocess=preprocess or preprocessor(),
        classes=classes,
        schedule=schedule or schedule_1x(optimizer=_adamw(), clip_norm=1.0),
        keys=KEYS,
    )


def _adamw() -> fdl.Config:
    return fdl.Config(AdamW, lr=2.5e-5, weight_decay=1e-4)


def _3x() -> fdl.Config:
    return schedule_3x(optimizer=_adamw(), clip_norm=1.0)


def _bdd100k(schedule: fdl.Config | None = None) -> fdl.Config:
    config = _sparse_rcnn(classes=bdd100k_classes(), preprocess=preprocessor((1280, 720)), schedule=schedule)
    return on_bdd100k_by_length(config)


def _mstrain() -> fdl.Config:
    return on_coco(_sparse_rcnn(schedule=_3x()), one_short_side(*range(480, 801, 32)))


def _crops() -> fdl.Config:
    return on_coco(_sparse_rcnn(300, schedule=_3x()), strong_augmentation())


def sparse_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _sparse_rcnn()


def sparse_rcnn_r50_fpn_mstrain_480_800_3x_coco() -> fdl.Config:
    return _mstrain()


def sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480_800_3x_coco() -> fdl.Config:
    return _crops()


def sparse_rcnn_r101_fpn_mstrain_480_800_3x_coco() -> fdl.Config:
    return with_depth(_mstrain(), 101)


def sparse_rcnn_r101_fpn_300_proposals_crop_mstrain_480_800_3x_coco() -> fdl.Config:
    return with_depth(_crops(), 101)


def sparse_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k()


def sparse_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(_3x())


def sparse_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return with_depth(_bdd100k(_3x()), 101)
