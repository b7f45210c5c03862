"""Tiny video detectors of synthetic objects: in half of the frames only other frames tell the class."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.frame_samplers import KeyAndReferences, SpreadReferences
from vidperc.data.synthetic import CLASSES
from vidperc.engine.experiment import Experiment
from vidperc.evaluation.vid import VIDEvaluator
from vidperc.image.heads.rpn import ProposalSelector
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.image.samplers import RandomSampler
from vidperc.video.aggregation import Aggregator
from vidperc.video.dff import DFF
from vidperc.video.fgfa import FGFA
from vidperc.video.flow import FlowNetS
from vidperc.video.selsa import SELSA, SELSABoxHead

from ..common.synthetic import synthetic_scoring, synthetic_training, tiny_preprocessor, tiny_resnet, tiny_schedule
from ..common.two_stage import faster_rcnn_dc5, rpn_head


def tiny_vid() -> fdl.Config:
    """SELSA over a Faster R-CNN on one map of stride 8, references from all of the video."""
    detector = _tiny_dc8()
    detector.roi_head.box_head = fdl.Config(SELSABoxHead, 64, heads=4, classes=len(CLASSES), fcs=2, hidden=128)
    config = _experiment(fdl.Config(SELSA, detector=detector, references=10))
    config.train_data.dataset.sampler = fdl.Config(SpreadReferences, 3)
    config.schedule.batch_size = 4
    return config


def tiny_dff() -> fdl.Config:
    """DFF over the same detector, every tenth frame a key frame."""
    config = _experiment(fdl.Config(DFF, detector=_tiny_dc8(), flow=fdl.Config(FlowNetS, width=16), key_interval=10))
    config.train_data.dataset.sampler = fdl.Config(KeyAndReferences, 1, reach=9, sides="before")
    return config


def tiny_fgfa() -> fdl.Config:
    """FGFA over the same detector, 15 frames around each."""
    aggregator = fdl.Config(Aggregator, channels=64, convs=1)
    model = fdl.Config(FGFA, detector=_tiny_dc8(), flow=fdl.Config(FlowNetS, width=16), aggregator=aggregator, radius=7)
    config = _experiment(model)
    config.train_data.dataset.sampler = fdl.Config(KeyAndReferences, 2, reach=9, sides="both")
    config.schedule.batch_size = 4
    return config


def tiny_vid_single_frame() -> fdl.Config:
    """The same detector frame by frame: what the video detectors have to beat."""
    return _experiment(_tiny_dc8())


def _tiny_dc8() -> fdl.Config:
    """The published base of the video detectors, narrow and of half the stride."""
    model = faster_rcnn_dc5(len(CLASSES))
    model.preprocessor = tiny_preprocessor()
    model.backbone = tiny_resnet(16, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), out_indices=(3,))
    model.neck = fdl.Config(ChannelMapper, in_channels=(128,), out_channels=64, kernel_size=3)
    model.rpn = rpn_head(64, strides=(8,), scales=(3, 6))
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=300, post_nms=60)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=400, post_nms=120)
    model.rpn.criterion.sampler = fdl.Config(RandomSampler, 128, 0.5)
    model.roi_head.extractor.strides = (8,)
    model.roi_head.box_head.in_channels = 64
    model.roi_head.box_head.hidden = 128
    model.roi_head.sampler.sampler = fdl.Config(RandomSampler, 64, 0.25)
    model.roi_head.postprocessor.score_threshold = 0.02
    return model


def _experiment(model: fdl.Config) -> fdl.Config:
    config = fdl.Config(
        Experiment,
        task="vid",
        model=model,
        classes=CLASSES,
        train_data=synthetic_training("vid"),
        validation_data=synthetic_scoring("vid", "val", videos=8, length=30),
        test_data=synthetic_scoring("vid", "test"),
        schedule=tiny_schedule(1500),
    )
    for data in (config.validation_data, config.test_data):
        data.evaluator = fdl.Partial(VIDEvaluator, classes=CLASSES)
    return config
