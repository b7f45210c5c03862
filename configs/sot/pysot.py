"""SiamRPN++ (https://arxiv.org/abs/1812.11703) with the backbones and settings of PySOT's model zoo.

PySOT's checkpoints load as they are. Beside MMTracking's (`siamese_rpn.py`) its tall anchors are lower and its crops
a pixel smaller. Trained is every backbone by the recipe of `common/siamese.py`.
"""

from __future__ import annotations

import fiddle as fdl
from torch import nn

from vidperc.checkpoint.keys import KeyRules
from vidperc.checkpoint.rename.pysot import PYSOT, PYSOT_ALEXNET
from vidperc.engine.experiment import Experiment
from vidperc.image.backbones.siamese_alexnet import SiameseAlexNet
from vidperc.image.backbones.siamese_mobilenet import SiameseMobileNet
from vidperc.image.backbones.siamese_resnet import SiameseResNet
from vidperc.ops.crop import exact_window_bounds
from vidperc.video.siamrpn import SiamRPN
from vidperc.video.siamrpn_anchors import Postprocessor, PySOTAnchorGrid
from vidperc.video.siamrpn_head import AveragedRPNHead, ChannelReducer, SiameseRPNHead
from vidperc.video.siamrpn_training import SiameseCriterion

from ..common.siamese import siamese_schedule, siamese_training


def _experiment(
    backbone: fdl.Config, neck: fdl.Config, head: fdl.Config, postprocessor: fdl.Config, published_keys: KeyRules
) -> fdl.Config:
    model = fdl.Config(
        SiamRPN,
        backbone=backbone,
        neck=neck,
        head=head,
        anchors=fdl.Config(PySOTAnchorGrid),
        postprocessor=postprocessor,
        criterion=fdl.Config(SiameseCriterion),
        windows=exact_window_bounds,
    )
    return fdl.Config(
        Experiment,
        task="sot",
        model=model,
        classes=("object",),
        published_keys=published_keys,
        train_data=siamese_training(),
        schedule=siamese_schedule(),
    )


def siamrpn_alex_dwxcorr() -> fdl.Config:
    """AlexNet, one level of 6x6 template and 26x26 search positions; trained on search crops of 255 pixels."""
    config = _experiment(
        backbone=fdl.Config(SiameseAlexNet, trained_stages=(3, 4)),
        neck=fdl.Config(nn.Identity),
        head=fdl.Config(AveragedRPNHead, in_channels=[256], anchors=5),
        postprocessor=fdl.Config(Postprocessor, penalty=0.16, window_influence=0.40, size_rate=0.30),
        published_keys=PYSOT_ALEXNET,
    )
    config.model.search_size, config.model.center_size = 287, 6
    return config


def siamrpn_alex_dwxcorr_otb() -> fdl.Config:
    """The same network, of another training."""
    return siamrpn_alex_dwxcorr()


def siamrpn_mobilev2_l234_dwxcorr() -> fdl.Config:
    """MobileNetV2 of width 1.4, the mean of three levels."""
    return _experiment(
        backbone=fdl.Config(SiameseMobileNet, width=1.4, trained_stages=(3, 4, 5, 6, 7)),
        neck=fdl.Config(ChannelReducer, in_channels=[44, 134, 448], out_channels=256),
        head=fdl.Config(AveragedRPNHead, in_channels=[256, 256, 256], anchors=5),
        postprocessor=fdl.Config(Postprocessor, penalty=0.04, window_influence=0.4, size_rate=0.5),
        published_keys=PYSOT,
    )


def siamrpn_r50_l234_dwxcorr() -> fdl.Config:
    """ResNet-50, three levels in learned shares."""
    return _experiment(
        backbone=fdl.Config(SiameseResNet, depth=50, trained_stages=(1, 2, 3)),
        neck=fdl.Config(ChannelReducer, in_channels=[512, 1024, 2048], out_channels=256),
        head=fdl.Config(SiameseRPNHead, in_channels=[256, 256, 256], anchors=5),
        postprocessor=fdl.Config(Postprocessor, penalty=0.05, window_influence=0.42, size_rate=0.38),
        published_keys=PYSOT,
    )
