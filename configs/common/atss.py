"""ATSS's head, which PAA shares."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.assigners import ATSSAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.atss import ATSSCriterion, ATSSPredictor
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor

from .dense import one_anchor


def atss_coder() -> fdl.Config:
    return fdl.Config(DeltaCoder, stds=(0.1, 0.1, 0.2, 0.2))


def atss_head(classes: int = 80) -> fdl.Config:
    """The head with one anchor per location and centerness."""
    return fdl.Config(
        DenseHead,
        predictor=fdl.Config(ATSSPredictor, classes=classes),
        priors=one_anchor(),
        criterion=fdl.Config(ATSSCriterion, assigner=fdl.Config(ATSSAssigner), coder=atss_coder()),
        postprocessor=fdl.Config(DensePostprocessor, coder=atss_coder(), iou_threshold=0.6),
    )
