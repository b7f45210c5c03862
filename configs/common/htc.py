"""Hybrid Task Cascade from its parts."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.extractor import RoIExtractor
from vidperc.image.roi_heads.htc import HTCMaskBranch, HTCMaskHead, HTCRoIHead, SemanticRoIExtractor
from vidperc.image.roi_heads.mask import MaskHead
from vidperc.image.semantic import SemanticCriterion, SemanticHead, SemanticRCNN

from .two_stage import cascade_mask_rcnn, region_sampler


def htc_without_semantic(classes: int = 80) -> fdl.Config:
    """The cascade whose boxes and masks take turns, ResNet-50 with FPN."""
    model = cascade_mask_rcnn(classes)
    fdl.update_callable(model.roi_head, HTCRoIHead)
    mask = model.roi_head.mask
    fdl.update_callable(mask, HTCMaskBranch)
    mask.heads = [fdl.Config(kind, 256, classes=classes) for kind in (MaskHead, HTCMaskHead, HTCMaskHead)]
    for stage, threshold in zip(model.roi_head.stages, (0.5, 0.6, 0.7)):
        stage.sampler = region_sampler(threshold, match_low_quality=True)
    model.roi_head.postprocessor.score_threshold = 0.001
    return model


def htc(classes: int = 80) -> fdl.Config:
    """Hybrid Task Cascade, ResNet-50 with FPN; its semantic branch learns 183 classes of pixels."""
    model = htc_without_semantic(classes)
    fdl.update_callable(model, SemanticRCNN)
    model.semantic = fdl.Config(SemanticHead)
    model.semantic_criterion = fdl.Config(SemanticCriterion)
    for part in (model.roi_head, model.roi_head.mask):
        part.extractor = fdl.Config(SemanticRoIExtractor, part.extractor, fdl.Config(RoIExtractor, 14, strides=(8,)))
    return model
