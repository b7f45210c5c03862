"""CornerNet (https://arxiv.org/abs/1808.01244), tested with the mirrored picture beside the picture itself."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.heads.corner_criterion import CornerCriterion
from vidperc.image.heads.corner_net import CornerHead, CornerPredictor
from vidperc.image.heads.corner_postprocess import CornerPostprocessor
from vidperc.image.single_stage import SingleStageDetector

from ..common.corners import corner_detector


def _corner_net(batch_size: int) -> fdl.Config:
    head = fdl.Config(
        CornerHead,
        predictor=fdl.Config(CornerPredictor, classes=80),
        criterion=fdl.Config(CornerCriterion),
        postprocessor=fdl.Config(CornerPostprocessor),
    )
    return corner_detector(head, batch_size=batch_size, milestone=180)


def cornernet_hourglass104_mstest_10x5_210e_coco() -> fdl.Config:
    return _corner_net(50)


def cornernet_hourglass104_mstest_8x6_210e_coco() -> fdl.Config:
    return _corner_net(48)


def cornernet_hourglass104_mstest_32x3_210e_coco() -> fdl.Config:
    return _corner_net(96)


def cornernet_hourglass104_mstest_8x6_210e_coco_noflip() -> fdl.Config:
    """The picture alone: half the work."""
    config = cornernet_hourglass104_mstest_8x6_210e_coco()
    fdl.update_callable(config.model, SingleStageDetector)
    return config
