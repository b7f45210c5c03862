"""A tiny SiamRPN++ that learns to follow synthetic objects on a CPU."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.frame_samplers import Pair
from vidperc.data.transforms.siamese import CropRange, SiamesePair
from vidperc.engine.experiment import Experiment
from vidperc.image.backbones.siamese_resnet import SiameseResNet
from vidperc.video.siamrpn import SiamRPN
from vidperc.video.siamrpn_anchors import AnchorGrid, Postprocessor
from vidperc.video.siamrpn_head import ChannelReducer, SiameseRPNHead
from vidperc.video.siamrpn_training import SiameseCriterion

from ..common.synthetic import synthetic_success, synthetic_training, tiny_schedule

TEMPLATE, SEARCH = 63, 127  # sides of the crops: half of the published ones, about the objects' own resolution

COLOURS = ((10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0))  # of drawn objects, which differ in every direction


def tiny_siamese_rpn() -> fdl.Config:
    """One block per stage, three stages of a quarter of the channels: 0.65 million parameters."""
    model = fdl.Config(
        SiamRPN,
        backbone=fdl.Config(SiameseResNet, depth=14, base_channels=16, out_indices=(1, 2), trained_stages=None),
        neck=fdl.Config(ChannelReducer, in_channels=[128, 256], out_channels=48),
        head=fdl.Config(SiameseRPNHead, in_channels=[48, 48], anchors=5, channels=48),
        anchors=fdl.Config(AnchorGrid, scale=4),
        postprocessor=fdl.Config(Postprocessor, penalty=0.05, window_influence=0.3, size_rate=0.7),
        criterion=fdl.Config(SiameseCriterion),
        template_size=TEMPLATE,
        search_size=SEARCH,
    )
    pairs = fdl.Config(
        SiamesePair,
        template=fdl.Config(CropRange, TEMPLATE, shift=2, scale=0.05, colours=COLOURS),
        search=fdl.Config(CropRange, SEARCH, shift=24, scale=0.18, blur=0.2, blur_sides=(3, 11), colours=COLOURS),
        neighbour=0.5,
    )
    return fdl.Config(
        Experiment,
        task="sot",
        model=model,
        classes=("object",),
        shipped="tiny_siamese_rpn.pt",
        train_data=synthetic_training("sot", fdl.Config(Pair, 30), [pairs], key_stride=1),
        validation_data=synthetic_success("val", videos=8, length=30),
        test_data=synthetic_success("test", videos=20, length=60),
        schedule=tiny_schedule(iterations=2500, batch_size=16, warmup_iterations=50),
    )
