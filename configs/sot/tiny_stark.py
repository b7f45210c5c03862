"""A tiny STARK that learns to follow synthetic objects on a CPU."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms.stark import StarkCrops
from vidperc.data.trident import TridentClips
from vidperc.engine.experiment import Experiment, TrainData
from vidperc.image.backbones import ResNet
from vidperc.image.heads.detr import DETRDecoderLayer, DETREncoderLayer
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.video.stark import STARKST1, STARKST2
from vidperc.video.stark_network import CornerHead, ScoreHead, StarkTransformer
from vidperc.video.stark_training import BoxCriterion, ScoreCriterion

from ..common.synthetic import SIZE, synthetic_success, tiny_schedule

TEMPLATE, SEARCH = 64, 160  # sides of the crops: half of the published ones
CHANNELS = 64


def _network() -> dict[str, Any]:
    """A ResNet-18 of a quarter of the channels up to stride 16, two layers each of encoder and decoder."""
    layer: dict[str, Any] = {"channels": CHANNELS, "heads": 4, "hidden": 4 * CHANNELS, "dropout": 0.0}
    return {
        "backbone": fdl.Config(
            ResNet, depth=18, num_stages=3, out_indices=(2,), base_channels=16, frozen_stages=-1, norm_eval=False
        ),
        "neck": fdl.Config(ChannelMapper, in_channels=[64], out_channels=CHANNELS, kernel_size=1, relu=False),
        "transformer": fdl.Config(
            StarkTransformer,
            encoder=[fdl.Config(DETREncoderLayer, **layer) for _ in range(2)],
            decoder=[fdl.Config(DETRDecoderLayer, **layer) for _ in range(2)],
            channels=CHANNELS,
        ),
        "box_head": fdl.Config(CornerHead, CHANNELS),
        "template_size": TEMPLATE,
        "search_size": SEARCH,
    }


def _experiment(model: fdl.Config, positive: float, iterations: int) -> fdl.Config:
    """Clips of up to 30 frames' distance, of which a share is `positive`."""
    crops = fdl.Config(StarkCrops, TEMPLATE, SEARCH)
    records = fdl.Config(synthetic_videos, "train", 400, 60, SIZE, "sot")
    dataset = fdl.Config(TridentClips, records, [crops], gap=30, positive=positive)
    return fdl.Config(
        Experiment,
        task="sot",
        model=model,
        classes=("object",),
        train_data=fdl.Config(TrainData, dataset=dataset),
        validation_data=synthetic_success("val", videos=8, length=30),
        test_data=synthetic_success("test", videos=20, length=60),
        schedule=tiny_schedule(iterations=iterations, batch_size=16),
    )


def tiny_stark_st1() -> fdl.Config:
    """Boxes."""
    model = fdl.Config(STARKST1, criterion=fdl.Config(BoxCriterion), **_network())
    return _experiment(model, positive=1.0, iterations=6000)


def tiny_stark_st2() -> fdl.Config:
    """Scores, and templates that are renewed every 10 frames; to begin with a trained `tiny_stark_st1`."""
    model = fdl.Config(
        STARKST2,
        score_head=fdl.Config(ScoreHead, CHANNELS),
        criterion=fdl.Config(ScoreCriterion),
        update_intervals=(10,),
        **_network(),
    )
    return _experiment(model, positive=0.5, iterations=1000)
