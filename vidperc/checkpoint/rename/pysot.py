"""Names of PySOT's SiamRPN++ checkpoints."""

from __future__ import annotations

from ..keys import KeyRules

FIRST_LEVEL = 2  # PySOT counts the levels of its networks as ResNet does its stages

# Where the convolution of each of AlexNet's layers begins in `features`: some checkpoints count by layer.
ALEXNET_LAYERS = {1: 0, 2: 4, 3: 8, 4: 11, 5: 14}

NECK: KeyRules = tuple(
    (rf"^neck\.downsample{FIRST_LEVEL + level}\.downsample\.{place}\.", f"neck.convs.{level}.{part}.")
    for level in range(3)
    for place, part in enumerate(("conv", "bn"))
)

HEAD: KeyRules = (
    *(
        (rf"^rpn_head\.rpn{FIRST_LEVEL + level}\.{branch}\.", f"head.{branch}_heads.{level}.")
        for level in range(3)
        for branch in ("cls", "loc")
    ),
    (r"^rpn_head\.(cls|loc)\.", r"head.\1_heads.0."),  # of a network with one level
    (r"^rpn_head\.(cls|loc)_weight$", r"head.\1_weight"),
    (r"^head\.loc_", "head.reg_"),
    (r"\.conv_(kernel|search)\.0\.", r".\1_convs.conv."),
    (r"\.conv_(kernel|search)\.1\.", r".\1_convs.bn."),
    (r"^(head\.\w+\.\d)\.head\.0\.", r"\1.head_convs.0.conv."),
    (r"^(head\.\w+\.\d)\.head\.1\.", r"\1.head_convs.0.bn."),
    (r"^(head\.\w+\.\d)\.head\.3\.", r"\1.head_convs.1.conv."),
)

PYSOT: KeyRules = (*NECK, *HEAD)

PYSOT_ALEXNET: KeyRules = (
    *(
        (rf"^backbone\.layer{layer}\.{place}\.", f"backbone.features.{start + place}.")
        for layer, start in ALEXNET_LAYERS.items()
        for place in (0, 1)
    ),
    *PYSOT,
)
