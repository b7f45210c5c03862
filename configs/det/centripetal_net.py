"""CentripetalNet (https://arxiv.org/abs/2003.09119), tested with the mirrored picture beside the picture itself."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.heads.centripetal_net import CentripetalBranch, CentripetalCriterion, CentripetalPostprocessor
from vidperc.image.heads.corner_net import CornerHead, CornerPredictor

from ..common.corners import corner_detector


def centripetalnet_hourglass104_mstest_16x6_210e_coco() -> fdl.Config:
    head = fdl.Config(
        CornerHead,
        predictor=fdl.Config(CornerPredictor, classes=80, branch=CentripetalBranch),
        criterion=fdl.Config(CentripetalCriterion),
        postprocessor=fdl.Config(CentripetalPostprocessor),
    )
    return corner_detector(head, batch_size=96, milestone=190)
