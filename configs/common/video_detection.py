"""The video detectors' shared parts: names of published tensors, classes, clips they learn from."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.experiment import Experiment
from vidperc.video.flow import FlowNetS

from .classes import imagenet_vid_classes
from .two_stage import two_stage_keys

RESNEXT = {"depth": 101, "groups": 64, "width_per_group": 4}  # 64x4d
PARTS = "backbone|neck|rpn|roi_head"


def video_keys() -> KeyRules:
    """Published names of a video detector around an R-CNN."""
    return (
        (r"^detector\.", ""),
        *two_stage_keys(),
        (rf"^({PARTS})\.", r"detector.\1."),
        (r"^detector\.roi_head\.bbox_roi_extractor\.embed_network\.conv\.", "align.embed."),
        (r"^motion\.(.*)\.conv\.(weight|bias)$", r"flow.\1.\2"),
        (r"^aggregator\.embed_convs\.(\d+)\.conv\.", r"aggregator.convs.\1."),
        (r"\.aggregator\.(\d+)\.fc_embed\.", r".aggregators.\1.query."),
        (r"\.aggregator\.(\d+)\.ref_fc_embed\.", r".aggregators.\1.key."),
        (r"\.aggregator\.(\d+)\.ref_fc\.", r".aggregators.\1.value."),
        (r"\.aggregator\.(\d+)\.fc\.", r".aggregators.\1.output."),
    )


def flow() -> fdl.Config:
    """FlowNet-S on pictures of half size."""
    return fdl.Config(FlowNetS)


def experiment(model: fdl.Config) -> fdl.Config:
    """A video detector on ImageNet VID."""
    return fdl.Config(Experiment, task="vid", model=model, classes=imagenet_vid_classes(), published_keys=video_keys())
