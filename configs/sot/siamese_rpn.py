"""SiamRPN++ (https://arxiv.org/abs/1812.11703) on the single-object tracking benchmarks.

The network is one; the variants differ in the numbers by which a box is chosen, which were searched for
on each benchmark. All numbers are those of MMTracking 0.14's configs of the same names.
"""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.image.backbones.siamese_resnet import SiameseResNet
from vidperc.video.siamrpn import SiamRPN
from vidperc.video.siamrpn_anchors import AnchorGrid, Postprocessor
from vidperc.video.siamrpn_head import ChannelReducer, SiameseRPNHead
from vidperc.video.siamrpn_training import SiameseCriterion

from ..common.siamese import siamese_schedule, siamese_training


def _experiment(penalty: float, window_influence: float, size_rate: float) -> fdl.Config:
    """SiamRPN++ with ResNet-50, correlating on three levels."""
    model = fdl.Config(
        SiamRPN,
        backbone=fdl.Config(SiameseResNet, depth=50, trained_stages=(1, 2, 3)),
        neck=fdl.Config(ChannelReducer, in_channels=[512, 1024, 2048], out_channels=256),
        head=fdl.Config(SiameseRPNHead, in_channels=[256, 256, 256], anchors=5),
        anchors=fdl.Config(AnchorGrid),
        postprocessor=fdl.Config(
            Postprocessor, penalty=penalty, window_influence=window_influence, size_rate=size_rate
        ),
        criterion=fdl.Config(SiameseCriterion),
    )
    return fdl.Config(
        Experiment,
        task="sot",
        model=model,
        classes=("object",),
        train_data=siamese_training(),
        schedule=siamese_schedule(),
    )


def siamese_rpn_r50_20e_lasot() -> fdl.Config:
    return _experiment(penalty=0.05, window_influence=0.42, size_rate=0.38)


def siamese_rpn_r50_20e_trackingnet() -> fdl.Config:
    return _experiment(penalty=0.05, window_influence=0.42, size_rate=0.38)


def siamese_rpn_r50_20e_uav123() -> fdl.Config:
    return _experiment(penalty=0.1, window_influence=0.1, size_rate=0.5)


def siamese_rpn_r50_20e_otb100() -> fdl.Config:
    config = _experiment(penalty=0.4, window_influence=0.5, size_rate=0.4)
    config.train_data.grey = 0.2  # a quarter of the benchmark's videos are
    config.schedule.batch_size = 16 * 8
    return config


def siamese_rpn_r50_20e_vot2018() -> fdl.Config:
    return _experiment(penalty=0.04, window_influence=0.44, size_rate=0.33)


def _half(config: fdl.Config) -> fdl.Config:
    """Trained in mixed precision."""
    config.schedule.precision = "fp16"
    return config


def siamese_rpn_r50_fp16_20e_lasot() -> fdl.Config:
    return _half(siamese_rpn_r50_20e_lasot())


def siamese_rpn_r50_fp16_20e_trackingnet() -> fdl.Config:
    return _half(siamese_rpn_r50_20e_trackingnet())


def siamese_rpn_r50_fp16_20e_uav123() -> fdl.Config:
    return _half(siamese_rpn_r50_20e_uav123())


def siamese_rpn_r50_fp16_20e_otb100() -> fdl.Config:
    return _half(siamese_rpn_r50_20e_otb100())


def siamese_rpn_r50_fp16_20e_vot2018() -> fdl.Config:
    return _half(siamese_rpn_r50_20e_vot2018())
