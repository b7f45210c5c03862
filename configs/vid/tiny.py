"""Tiny video detectors of synthetic objects: in half of the frames only other frames tell the class."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.data.frame_samplers import KeyAndReferences, SpreadReferences
from vidperc.data.synthetic import CLASSES
from vidperc.data.synthetic.flow import SyntheticFlow
from vidperc.engine.experiment import Experiment, TrainData
from vidperc.evaluation.vid import VIDEvaluator
from vidperc.image.heads.rpn import ProposalSelector
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.image.samplers import RandomSampler
from vidperc.video.aggregation import Aggregator
from vidperc.video.dff import DFF
from vidperc.video.fgfa import FGFA
from vidperc.video.flow import FlowNetS
from vidperc.video.flow_training import FlowDFF
from vidperc.video.mutual_selsa import MutualSELSA
from vidperc.video.selsa import SELSABoxHead

from ..common.synthetic import synthetic_scoring, synthetic_training, tiny_preprocessor, tiny_resnet, tiny_schedule
from ..common.two_stage import faster_rcnn_dc5, rpn_head

KEY_INTERVAL = 6  # of DFF: objects are small and quick beside those that the published ten is for


def tiny_vid_single_frame() -> fdl.Config:
    """The detector frame by frame: what the video detectors have to beat, trained as they are."""
    config = _experiment(_tiny_dc8())
    config.shipped = "tiny_vid_single_frame.pt"
    config.schedule = tiny_schedule(3000)
    return config


def tiny_selsa() -> fdl.Config:
    """SELSA, references from all of the video."""
    detector = _tiny_dc8()
    detector.roi_head.box_head = fdl.Config(
        SELSABoxHead, 64, heads=4, classes=len(CLASSES), fcs=2, hidden=128, roi_size=5
    )
    config = _experiment(fdl.Config(MutualSELSA, detector=detector, references=10))
    config.shipped = "tiny_selsa.pt"
    config.train_data.dataset.sampler = fdl.Config(SpreadReferences, 3)
    config.schedule = tiny_schedule(3000, batch_size=3)  # of four frames, all of which learn
    return config


def tiny_dff_flow() -> fdl.Config:
    """DFF's flow network alone, from the true flow; the detector is there for the validation."""
    config = _experiment(fdl.Config(FlowDFF, detector=_tiny_dc8(), flow=_flow(), key_interval=KEY_INTERVAL))
    config.initial.model = "shipped://tiny_vid_single_frame.pt"
    sampler = fdl.Config(KeyAndReferences, 3, reach=KEY_INTERVAL - 1, sides="any")
    config.train_data = fdl.Config(TrainData, fdl.Config(SyntheticFlow, sampler))
    config.schedule = tiny_schedule(2000, batch_size=3)  # of four frames, twelve pairs
    return config


def tiny_dff() -> fdl.Config:
    """DFF, every sixth frame a key frame; its flow network is that of `tiny_dff_flow`."""
    config = _experiment(fdl.Config(DFF, detector=_tiny_dc8(), flow=_flow(), key_interval=KEY_INTERVAL))
    config.shipped = "tiny_dff.pt"
    config.train_data.dataset.sampler = fdl.Config(KeyAndReferences, 1, reach=KEY_INTERVAL, sides="before")
    config.schedule = tiny_schedule(3000)
    return config


def tiny_fgfa() -> fdl.Config:
    """FGFA, 15 frames around each; its flow network learns from nothing, as the rest needs it."""
    aggregator = fdl.Config(Aggregator, channels=64, convs=1)
    config = _experiment(fdl.Config(FGFA, detector=_tiny_dc8(), flow=_flow(), aggregator=aggregator, radius=7))
    config.shipped = "tiny_fgfa.pt"
    config.train_data.dataset.sampler = fdl.Config(KeyAndReferences, 4, reach=7, sides="both")
    config.schedule = tiny_schedule(3000, batch_size=2)  # of five frames, of which one learns
    return config


def _flow() -> fdl.Config:
    return fdl.Config(FlowNetS, width=6)


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
    model.roi_head.extractor.strides, model.roi_head.extractor.output_size = (8,), 5
    model.roi_head.box_head.in_channels, model.roi_head.box_head.roi_size = 64, 5
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
        # As the published ones with a backbone from ImageNet.
        initial=fdl.Config(InitialWeights, model="shipped://tiny_det.pt"),
        train_data=synthetic_training("vid"),
        validation_data=synthetic_scoring("vid", "val", videos=8, length=30),
        test_data=synthetic_scoring("vid", "test"),
    )
    for data in (config.validation_data, config.test_data):
        data.evaluator = fdl.Partial(VIDEvaluator, classes=CLASSES)
    return config
