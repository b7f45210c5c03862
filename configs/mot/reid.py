"""Re-identification: MMTracking's networks, trained on crops of MOTChallenge, and a tiny one of synthetic objects."""

import fiddle as fdl

from vidperc.data.identities import IdentityClips, MoveBoxes, find_identities
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms import Flip, PhotometricDistortion
from vidperc.engine.experiment import Experiment, TestData, TrainData
from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule
from vidperc.evaluation.reid import RetrievalEvaluator, embed_truth
from vidperc.image.backbones import ResNet
from vidperc.image.crops import PixelCrops
from vidperc.video.reid import PooledFeatures, ReID, ReIDHead

from ..common.models import common_keys
from ..common.mot_data import reid_scoring, reid_training
from ..common.synthetic import SIZE, tiny_resnet, tiny_schedule
from ..common.trackers import published_reid

TINY_VIDEOS, TINY_IDENTITIES = 120, 1000


def _reid(identities: int, root: str, names: tuple[str, ...] | None = None) -> fdl.Config:
    """8 clips per step, each of 4 crops of 8 identities; 80 % of a benchmark's identities learn."""
    schedule = fdl.Config(
        Schedule, epochs=6, milestones=(5,), warmup_iterations=1000, warmup_ratio=0.001,
        optimizer=fdl.Config(SGD, lr=0.1), batch_size=8,
    )  # fmt: skip
    return fdl.Config(
        Experiment,
        task="reid",
        model=published_reid(identities),
        published_keys=common_keys(),
        train_data=fdl.Config(reid_training, root, names),
        test_data=fdl.Config(reid_scoring, root, names),
        schedule=schedule,
    )


def resnet50_b32x8_MOT15() -> fdl.Config:
    return _reid(368, "data/MOT15/train")


def resnet50_b32x8_MOT16() -> fdl.Config:
    return _reid(371, "data/MOT16/train")


def resnet50_b32x8_MOT17() -> fdl.Config:
    return _reid(380, "data/MOT17/train", ("FRCNN",))


def resnet50_b32x8_MOT20() -> fdl.Config:
    return _reid(1701, "data/MOT20/train")


def reid_imagenet_resnet18() -> fdl.Config:
    """The pooled features of an ImageNet classifier; `vidperc.track(reid=...)` fills it with torchvision's weights."""
    return _imagenet(18, 512)


def reid_imagenet_resnet50() -> fdl.Config:
    return _imagenet(50, 2048)


def _imagenet(depth: int, size: int) -> fdl.Config:
    model = fdl.Config(
        ReID,
        crops=fdl.Config(PixelCrops, (256, 128)),
        backbone=fdl.Config(ResNet, depth=depth, out_indices=(3,), frozen_stages=-1),
        head=fdl.Config(PooledFeatures, size),
    )
    return fdl.Config(Experiment, task="reid", model=model)


def tiny_reid() -> fdl.Config:
    """ResNet-18 of width 16 on crops of synthetic objects, with a 64-d embedding."""
    backbone = tiny_resnet(out_indices=(3,))
    model = fdl.Config(
        ReID,
        crops=fdl.Config(PixelCrops, (64, 64)),
        backbone=backbone,
        head=fdl.Config(ReIDHead, in_channels=128, hidden=128, size=64, identities=TINY_IDENTITIES),
    )
    return fdl.Config(
        Experiment,
        task="reid",
        model=model,
        shipped="tiny_reid.pt",
        train_data=fdl.Config(synthetic_crops, TINY_VIDEOS, TINY_IDENTITIES),
        validation_data=_retrieval("val", 8),
        test_data=_retrieval("test", 16),
        schedule=tiny_schedule(iterations=600, batch_size=1, evaluate_every=200),
    )


def synthetic_crops(videos: int, identities: int) -> TrainData:
    """16 x 4 crops per clip, of the first objects of the training videos."""
    records = synthetic_videos("train", videos, 60, SIZE, "mot")
    found = find_identities(records, min_visibility=0.4, min_size=8.0, min_sightings=4, stride=6)
    transforms = [Flip(), MoveBoxes(), PhotometricDistortion(shuffle=0.0)]
    return TrainData(IdentityClips(found[:identities], people=16, views=4, transforms=transforms))


def _retrieval(split: str, videos: int) -> fdl.Config:
    """Every tenth frame of videos: each object seen asks all others."""
    return fdl.Config(
        TestData,
        records=fdl.Config(synthetic_videos, split, videos, 60, SIZE, "mot"),
        evaluator=fdl.Partial(RetrievalEvaluator),
        metric="mAP",
        protocol=fdl.Partial(embed_truth, stride=10, min_visibility=0.4),
    )
