"""DETR (https://arxiv.org/abs/2005.12872) on COCO."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.optim import AdamW, Rule
from vidperc.engine.schedule import Schedule
from vidperc.image.heads.detr import DETRDecoderLayer, DETREncoderLayer, DETRPredictor
from vidperc.image.heads.query import (
    HungarianMatcher,
    QueryCriterion,
    QueryHead,
    QueryPostprocessor,
    QueryWeights,
    SoftmaxClasses,
    best_queries,
)

from ..common.det_data import on_coco, strong_augmentation
from ..common.models import resnet
from ..common.query import query_detector, transformer_keys

KEYS: KeyRules = (
    *transformer_keys(),
    (r"\.(encoder|decoder)\.layers\.", r".\1."),
    (r"\.(decoder\.\d+)\.norms\.0\.", r".\1.norm1."),
    (r"\.(decoder\.\d+)\.norms\.1\.", r".\1.norm2."),
    (r"\.(decoder\.\d+)\.norms\.2\.", r".\1.norm3."),
    (r"\.decoder\.(post_)?norm\.", ".norm."),
    (r"\.fc_cls\.", ".classes."),
    (r"\.reg_ffn\.layers\.0\.0\.", ".boxes.0."),
    (r"\.reg_ffn\.layers\.1\.", ".boxes.2."),
    (r"\.fc_reg\.", ".boxes.4."),
)


def _head() -> fdl.Config:
    """100 queries, six layers each of encoder and decoder."""
    classes, weights = fdl.Config(SoftmaxClasses), fdl.Config(QueryWeights, classes=1.0)
    return fdl.Config(
        QueryHead,
        predictor=fdl.Config(
            DETRPredictor,
            encoder=[fdl.Config(DETREncoderLayer) for _ in range(6)],
            decoder=[fdl.Config(DETRDecoderLayer) for _ in range(6)],
        ),
        criterion=fdl.Config(
            QueryCriterion, classes, matcher=fdl.Config(HungarianMatcher, classes, weights), weights=weights
        ),
        postprocessor=fdl.Config(QueryPostprocessor, select=best_queries),
    )


def detr_r50_8x2_150e_coco() -> fdl.Config:
    """150 epochs, the backbone at a tenth of the learning rate."""
    optimizer = fdl.Config(AdamW, lr=1e-4, weight_decay=1e-4, rules=[fdl.Config(Rule, r"^backbone\.", lr=0.1)])
    config = query_detector(
        _head(),
        backbone=resnet(norm="frozen_bn", out_indices=(3,)),
        schedule=fdl.Config(
            Schedule, epochs=150, milestones=(100,), warmup_iterations=0, clip_norm=0.1, optimizer=optimizer
        ),
        keys=KEYS,
    )
    return on_coco(config, strong_augmentation())
