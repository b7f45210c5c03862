"""Names of Swin Transformers in published checkpoints; `backbone.` goes before all of them."""

from __future__ import annotations

from ..keys import KeyRules

# The authors' and Detectron2's names are the model's, but for what is computed anew.
SWIN: KeyRules = ((r"\.attn\.relative_position_index$", None), (r"\.attn_mask$", None))

# MMDetection's; its patches merge in another order too: `SwinTransformer(merging=UnfoldMerging)`.
SWIN_MMDET: KeyRules = (
    (r"\.w_msa\.relative_position_index$", None),
    (r"^backbone\.stages\.", "backbone.layers."),
    (r"^backbone\.patch_embed\.projection\.", "backbone.patch_embed.proj."),
    (r"^(backbone\..*)\.attn\.w_msa\.", r"\1.attn."),
    (r"^(backbone\..*)\.ffn\.layers\.0\.0\.", r"\1.mlp.fc1."),
    (r"^(backbone\..*)\.ffn\.layers\.1\.", r"\1.mlp.fc2."),
)
