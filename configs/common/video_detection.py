"""The video detectors' shared parts: names of published tensors, classes, clips they learn from."""

from __future__ import annotations

from functools import partial

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.checkpoint.keys import KeyRules
from vidperc.data.datasets import ClipDataset
from vidperc.data.frame_samplers import FrameSampler, KeyAndReferences, Pair
from vidperc.data.readers.pascal import imagenet_vid_mix, read_imagenet_det, read_imagenet_vid
from vidperc.data.transforms import Flip, Resize
from vidperc.engine.experiment import Experiment, TestData, TrainData
from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule
from vidperc.evaluation.vid import VIDEvaluator
from vidperc.image.samplers import RandomSampler
from vidperc.video.flow import FlowNetS

from .backbones import RESNEXT_WEIGHTS
from .classes import imagenet_vid_classes
from .two_stage import faster_rcnn_dc5, two_stage_keys

RESNEXT = {"depth": 101, "groups": 64, "width_per_group": 4}  # 64x4d
PARTS = "backbone|neck|rpn|roi_head"


def video_keys() -> KeyRules:
    """Published names of a video detector around an R-CNN."""
    return (
        (r"^detector\.", ""),
        *two_stage_keys(),
        (rf"^({PARTS})\.", r"detector.\1."),
        (r"^detector\.roi_head\.extractor\.embed_network\.conv\.", "align.embed."),
        (r"^motion\.(.*)\.conv\.(weight|bias)$", r"flow.\1.\2"),
        (r"^aggregator\.embed_convs\.(\d+)\.conv\.", r"aggregator.convs.\1."),
        (r"\.aggregator\.(\d+)\.fc_embed\.", r".aggregators.\1.query."),
        (r"\.aggregator\.(\d+)\.ref_fc_embed\.", r".aggregators.\1.key."),
        (r"\.aggregator\.(\d+)\.ref_fc\.", r".aggregators.\1.value."),
        (r"\.aggregator\.(\d+)\.fc\.", r".aggregators.\1.output."),
    )


def base(regions: int = 256, proposals: int = 600) -> fdl.Config:
    """The detector that the video detectors are built around.

    Args:
        regions, proposals: that the second stage learns from, and chooses them from, per image.
    """
    detector = faster_rcnn_dc5()
    detector.roi_head.sampler.sampler = fdl.Config(RandomSampler, regions, 0.25)
    detector.rpn.select_training.post_nms = proposals
    return detector


def flow() -> fdl.Config:
    """FlowNet-S on pictures of half size."""
    return fdl.Config(FlowNetS)


def imagenet_vid_training(
    root: str = "data/ILSVRC", sampler: FrameSampler | None = None, scale: tuple[int, int] = (1000, 600)
) -> TrainData:
    """ImageNet DET's images of the 30 classes, and 15 key frames of each snippet of VID, with their references.

    A still image is its own reference.
    """
    records = imagenet_vid_mix(read_imagenet_vid(root, "train"), read_imagenet_det(root))
    return TrainData(ClipDataset(records, sampler, [Resize(scale), Flip()]))


def imagenet_vid_scoring(root: str = "data/ILSVRC", split: str = "val") -> TestData:
    """All frames of a split of ImageNet VID."""
    return TestData(read_imagenet_vid(root, split), partial(VIDEvaluator, imagenet_vid_classes()), "AP50")


def schedule_7e() -> fdl.Config:
    """7 epochs of SGD, 8 clips per step."""
    return fdl.Config(
        Schedule,
        epochs=7,
        milestones=(2, 5),
        warmup_iterations=500,
        warmup_ratio=1 / 3,
        batch_size=8,
        clip_norm=35.0,
        optimizer=fdl.Config(SGD, lr=0.01, momentum=0.9, weight_decay=1e-4),
        evaluate_every=7,
    )


def one_near() -> fdl.Config:
    """The key frame and one at most 9 frames off, which may be itself (DFF)."""
    return fdl.Config(Pair, reach=9)


def one_on_each_side() -> fdl.Config:
    """The key frame and one of the 9 frames before and after it each (FGFA, SELSA)."""
    return fdl.Config(KeyAndReferences, count=2, reach=9, sides="both")


def with_r101(config: fdl.Config, detector: fdl.Config) -> fdl.Config:
    """The experiment with a ResNet-101 in its detector."""
    detector.backbone.depth = 101
    config.initial.backbone = "torchvision://resnet101"
    return config


def with_x101(config: fdl.Config, detector: fdl.Config) -> fdl.Config:
    """The experiment with a ResNeXt-101 64x4d in its detector."""
    fdl.assign(detector.backbone, **RESNEXT)
    config.initial.backbone = RESNEXT_WEIGHTS[101, 64]
    return config


def experiment(model: fdl.Config, references: fdl.Config | None = None) -> fdl.Config:
    """A video detector on ImageNet DET and VID for seven epochs; `references` choose the frames of a clip."""
    return fdl.Config(
        Experiment,
        task="vid",
        model=model,
        classes=imagenet_vid_classes(),
        published_keys=video_keys(),
        initial=fdl.Config(InitialWeights, backbone="torchvision://resnet50"),
        train_data=fdl.Config(imagenet_vid_training, sampler=references),
        test_data=fdl.Config(imagenet_vid_scoring),
        schedule=schedule_7e(),
    )
