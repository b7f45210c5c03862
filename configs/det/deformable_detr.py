"""Deformable DETR (https://arxiv.org/abs/2010.04159) on COCO: plain, with refined boxes, and two-stage."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.data.transforms import Flip
from vidperc.engine.optim import AdamW, Rule
from vidperc.engine.schedule import Schedule
from vidperc.image.heads.deformable_detr import (
    DeformableDETRPredictor,
    LearnedQueries,
    ProposedQueries,
    RefiningHeads,
    SharedHeads,
)
from vidperc.image.heads.query import (
    HungarianMatcher,
    QueryCriterion,
    QueryHead,
    QueryPostprocessor,
    SigmoidClasses,
)
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.layers.deformable_transformer import (
    DeformableDecoder,
    DeformableDecoderLayer,
    DeformableEncoder,
    DeformableEncoderLayer,
)

from ..common.det_data import on_changed_coco, strong_augmentation
from ..common.models import resnet
from ..common.query import query_detector, transformer_keys

KEYS: KeyRules = (
    *transformer_keys(),
    (r"\.(decoder\.layers\.\d+)\.norms\.0\.", r".\1.norm2."),
    (r"\.(decoder\.layers\.\d+)\.norms\.1\.", r".\1.norm1."),
    (r"\.(decoder\.layers\.\d+)\.norms\.2\.", r".\1.norm3."),
    (r"\.query_embedding\.", ".queries.embedding."),
    (r"\.(reference_points|enc_output|enc_output_norm|pos_trans|pos_trans_norm)\.", r".queries.\1."),
    (r"\.cls_branches\.6\.", ".queries.classes."),
    (r"\.reg_branches\.6\.", ".queries.boxes."),
    (r"\.cls_branches\.", ".heads.classes."),
    (r"\.reg_branches\.", ".heads.boxes."),
)


def _head() -> fdl.Config:
    """300 learned queries, six layers each of encoder and decoder on four levels."""
    classes = fdl.Config(SigmoidClasses)
    return fdl.Config(
        QueryHead,
        predictor=fdl.Config(
            DeformableDETRPredictor,
            encoder=fdl.Config(DeformableEncoder, layers=[fdl.Config(DeformableEncoderLayer) for _ in range(6)]),
            decoder=fdl.Config(DeformableDecoder, layers=[fdl.Config(DeformableDecoderLayer) for _ in range(6)]),
            queries=fdl.Config(LearnedQueries),
            heads=fdl.Config(SharedHeads),
        ),
        criterion=fdl.Config(QueryCriterion, classes, matcher=fdl.Config(HungarianMatcher, classes)),
        postprocessor=fdl.Config(QueryPostprocessor),
    )


def _schedule(*slow: str) -> fdl.Config:
    """50 epochs of 32 images per step; parameters whose name has one of `slow` learn at a tenth of the rate."""
    rules = [fdl.Config(Rule, pattern, lr=0.1) for pattern in (r"^backbone\.", "sampling_offsets", *slow)]
    return fdl.Config(
        Schedule,
        epochs=50,
        milestones=(40,),
        warmup_iterations=0,
        clip_norm=0.1,
        batch_size=32,
        optimizer=fdl.Config(AdamW, lr=2e-4, weight_decay=1e-4, rules=rules),
    )


def deformable_detr_r50_16x2_50e_coco() -> fdl.Config:
    config = query_detector(
        _head(),
        backbone=resnet(norm="frozen_bn", out_indices=(1, 2, 3)),
        neck=fdl.Config(ChannelMapper, (512, 1024, 2048), 256, 1, levels=4, norm="gn", relu=False),
        schedule=_schedule("reference_points"),
        keys=KEYS,
    )
    return on_changed_coco(config, [fdl.Config(Flip), strong_augmentation(longest=4200)], keep_empty=True)


def deformable_detr_refine_r50_16x2_50e_coco() -> fdl.Config:
    """Every decoder layer refines the boxes of the one before."""
    config = deformable_detr_r50_16x2_50e_coco()
    config.model.head.predictor.heads = fdl.Config(RefiningHeads)
    return config


def deformable_detr_twostage_refine_r50_16x2_50e_coco() -> fdl.Config:
    """The queries are the best of the boxes that the encoder's pixels propose."""
    config = deformable_detr_refine_r50_16x2_50e_coco()
    config.model.head.predictor.queries = fdl.Config(ProposedQueries)
    config.schedule = _schedule()
    return config
