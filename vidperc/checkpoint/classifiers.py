"""ImageNet classifiers, as torchvision and others give them, made into the weights of our backbones.

Each function takes a classifier's tensors by name and gives those of the backbone; what has the backbone's own names
and layout stays as it is.
"""

from __future__ import annotations

from torch import Tensor

from .keys import KeyRules, rename_keys

State = dict[str, Tensor]

REGNET: KeyRules = (
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    (r"^trunk_output\.block(\d+)\.block\d+-(\d+)\.", r"layer\1.\2."),
    (r"\.proj\.", ".downsample."),
    *((rf"\.f\.{letter}\.0\.", f".conv{number}.") for number, letter in enumerate("abc", start=1)),
    *((rf"\.f\.{letter}\.1\.", f".bn{number}.") for number, letter in enumerate("abc", start=1)),
)

RES2NET: KeyRules = (
    (r"\.convs\.(\d+)\.", r".parts.\1.conv."),
    (r"\.bns\.(\d+)\.", r".parts.\1.norm."),
    (r"^conv1\.(\d)\.", r"stem.\1."),  # the authors' stem
    (r"^bn1\.", "stem.7."),
)

RESNEST: KeyRules = (
    (r"^conv1\.(\d)\.", r"stem.\1."),  # the authors' stem
    (r"^bn1\.", "stem.7."),
)


def renamed(state: State, rules: KeyRules) -> State:
    """The tensors under other names."""
    return {new: state[old] for old, new in rename_keys(state, rules).items()}


def regnet_bgr(state: State) -> State:
    """torchvision's RegNetX, which take RGB, for pictures in BGR, as the published detectors have them."""
    if "stem.0.weight" not in state:
        return state
    return renamed({**state, "stem.0.weight": state["stem.0.weight"].flip(1)}, REGNET)


def res2net(state: State) -> State:
    """Res2Nets of their authors and of MMDetection."""
    return renamed(state, RES2NET)


def resnest(state: State) -> State:
    """ResNeSts of their authors and of MMDetection."""
    return renamed(state, RESNEST)
