"""STARK with ResNet-50 (https://arxiv.org/abs/2103.17154) on the single-object tracking benchmarks.

Stage 1 (ST1) learns to find boxes, stage 2 (ST2) to judge them, beginning with the weights of stage 1. The models
for GOT-10k have seen its training set alone, the others four data sets. All numbers are those of MMTracking 0.14's
configs of the same names.
"""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.experiment import Experiment
from vidperc.image.heads.detr import DETRDecoderLayer, DETREncoderLayer
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.video.stark import STARKST1, STARKST2
from vidperc.video.stark_network import CornerHead, ScoreHead, StarkTransformer
from vidperc.video.stark_training import BoxCriterion, ScoreCriterion

from ..common.models import common_keys, resnet
from ..common.stark import four_data_sets, got10k_alone, stark_schedule

KEYS: KeyRules = (
    (r"^head\.transformer\.(encoder|decoder)\.layers\.", r"transformer.\1."),
    (r"^head\.transformer\.decoder\.post_norm\.", "transformer.norm."),
    (r"^head\.query_embedding\.", "transformer.query_embedding."),
    (r"\.attentions\.0\.attn\.", ".self_attn."),
    (r"\.attentions\.1\.attn\.", ".cross_attn."),
    (r"\.ffns\.0\.layers\.0\.0\.", ".linear1."),
    (r"\.ffns\.0\.layers\.1\.", ".linear2."),
    (r"\.norms\.0\.", ".norm1."),
    (r"\.norms\.1\.", ".norm2."),
    (r"\.norms\.2\.", ".norm3."),
    (r"^head\.bbox_head\.tl_corner_pred\.", "box_head.top_left."),
    (r"^head\.bbox_head\.br_corner_pred\.", "box_head.bottom_right."),
    (r"^head\.cls_head\.layers\.0\.", "score_head.0."),
    (r"^head\.cls_head\.layers\.1\.", "score_head.2."),
    (r"^head\.cls_head\.layers\.2\.", "score_head.4."),
    *common_keys(),
)


def _network() -> dict[str, fdl.Config]:
    """ResNet-50 up to stride 16, six layers each of encoder and decoder."""
    return {
        "backbone": resnet(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,), norm="frozen_bn"),
        "neck": fdl.Config(ChannelMapper, in_channels=[1024], out_channels=256, kernel_size=1, relu=False),
        "transformer": fdl.Config(
            StarkTransformer,
            encoder=[fdl.Config(DETREncoderLayer) for _ in range(6)],
            decoder=[fdl.Config(DETRDecoderLayer) for _ in range(6)],
        ),
        "box_head": fdl.Config(CornerHead),
    }


def _experiment(model: fdl.Config, data: fdl.Config, epochs: int, **more: fdl.Config) -> fdl.Config:
    return fdl.Config(
        Experiment, task="sot", model=model, classes=("object",), published_keys=KEYS, train_data=data,
        schedule=stark_schedule(epochs), **more,
    )  # fmt: skip


def _boxes(data: fdl.Config) -> fdl.Config:
    """Stage 1, beginning with ImageNet's weights in the backbone."""
    model = fdl.Config(STARKST1, criterion=fdl.Config(BoxCriterion), **_network())
    return _experiment(model, data, epochs=500, initial=fdl.Config(InitialWeights, backbone="torchvision://resnet50"))


def _scores(data: fdl.Config) -> fdl.Config:
    """Stage 2, to begin with a checkpoint of stage 1; in half of its clips the search frame is without the object."""
    data.positive = 0.5
    head = fdl.Config(ScoreHead)
    model = fdl.Config(STARKST2, score_head=head, criterion=fdl.Config(ScoreCriterion), **_network())
    return _experiment(model, data, epochs=50)


def stark_st1_r50_500e_lasot() -> fdl.Config:
    return _boxes(fdl.Config(four_data_sets))


def stark_st1_r50_500e_trackingnet() -> fdl.Config:
    return _boxes(fdl.Config(four_data_sets))


def stark_st1_r50_500e_got10k() -> fdl.Config:
    return _boxes(fdl.Config(got10k_alone))


def stark_st2_r50_50e_lasot() -> fdl.Config:
    return _scores(fdl.Config(four_data_sets))


def stark_st2_r50_50e_trackingnet() -> fdl.Config:
    return _scores(fdl.Config(four_data_sets))


def stark_st2_r50_50e_got10k() -> fdl.Config:
    return _scores(fdl.Config(got10k_alone))
