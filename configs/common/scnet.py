"""SCNet from its parts."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.mask import MaskBranch
from vidperc.image.roi_heads.scnet import (
    ContextRoIExtractor,
    GlobalContextHead,
    RelayHead,
    ResidualMaskHead,
    ResidualSemanticHead,
    SCNetRoIHead,
)

from .htc import htc


def scnet(classes: int = 80) -> fdl.Config:
    """SCNet, ResNet-50 with FPN; Hybrid Task Cascade's settings."""
    model = htc(classes)
    model.semantic = fdl.Config(ResidualSemanticHead)
    roi_head = model.roi_head
    fdl.update_callable(roi_head, SCNetRoIHead)
    roi_head.extractor = fdl.Config(ContextRoIExtractor, roi_head.extractor)
    roi_head.mask = fdl.Config(
        MaskBranch,
        extractor=fdl.Config(ContextRoIExtractor, roi_head.mask.extractor),
        heads=[fdl.Config(ResidualMaskHead, classes=classes)],
    )
    roi_head.context = fdl.Config(GlobalContextHead, classes=classes)
    roi_head.relay = fdl.Config(RelayHead)
    return model
