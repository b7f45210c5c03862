"""Names of SeqFormer's published checkpoints: the Detectron2 version's and the original code's."""

from __future__ import annotations

from ..keys import KeyRules
from .swin import SWIN

# Detectron2 has `detr.detr.transformer...` and `detr.controller...`, the original code `detr.transformer...` and
# `controller...`.
PREFIXES: KeyRules = (
    (r"^detr\.(detr\.)?", ""),
    (r"^bbox_embed\.", None),  # the decoder's, a second time
    (r"^transformer\.encoder\..*\.output_proj_box\.", None),  # of no use there
    (r"^backbone\.0\.(backbone|body)\.", "backbone."),
    (r"num_batches_tracked$", None),
    (r"^backbone\.norm0\.", None),  # a Swin's finest stage, which is not looked at
    (r"^transformer\.", ""),
)

# Detectron2's ResNet; torchvision's names, which the original code has, stay as they are.
RESNET: KeyRules = (
    (r"^backbone\.stem\.conv1\.norm\.", "backbone.bn1."),
    (r"^backbone\.stem\.conv1\.", "backbone.conv1."),
    *((rf"^backbone\.res{stage}\.", f"backbone.layer{stage - 1}.") for stage in (2, 3, 4, 5)),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
    (r"^(backbone\.layer\d+\.\d+)\.conv(\d)\.norm\.", r"\1.bn\2."),
)

SEQFORMER: KeyRules = (*PREFIXES, *RESNET, *SWIN)
