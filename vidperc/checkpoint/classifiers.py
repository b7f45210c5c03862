"""ImageNet classifiers, as torchvision and others give them, made into the weights of our backbones.

Each function takes a classifier's tensors by name and gives those of the backbone; what has the backbone's own names
and layout stays as it is.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .keys import KeyRules, rename_keys
from .rename.swin import SWIN

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

HRNET: KeyRules = ((r"^(incre_modules|downsamp_modules|final_layer|classifier)\.", None),)
RESNEST: KeyRules = (
    (r"^conv1\.(\d)\.", r"stem.\1."),  # the authors' stem
    (r"^bn1\.", "stem.7."),
)

SWIN_CLASSIFIER: KeyRules = (
    *SWIN,
    (r"^(norm|head)\.", None),
    (r"^features\.0\.0\.", "patch_embed.proj."),
    (r"^features\.0\.2\.", "patch_embed.norm."),
    *((rf"^features\.{2 * stage + 1}\.(\d+)\.", rf"layers.{stage}.blocks.\1.") for stage in range(4)),
    *((rf"^features\.{2 * stage + 2}\.", f"layers.{stage}.downsample.") for stage in range(3)),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
)

CONVNEXT: KeyRules = (
    (r"^(norm|head|classifier)\.", None),
    *((rf"^features\.{2 * stage}\.", f"downsample_layers.{stage}.") for stage in range(4)),
    *((rf"^features\.{2 * stage + 1}\.", f"stages.{stage}.") for stage in range(4)),
    (r"\.layer_scale$", ".gamma"),
    (r"\.(block\.0|dwconv)\.", ".depthwise_conv."),
    (r"\.block\.2\.", ".norm."),
    (r"\.(block\.3|pwconv1)\.", ".pointwise_conv1."),
    (r"\.(block\.5|pwconv2)\.", ".pointwise_conv2."),
)

PVT: KeyRules = (
    (r"^(norm|head)\.|^cls_token$", None),
    *((rf"^patch_embed{stage + 1}\.proj\.", f"layers.{stage}.0.projection.") for stage in range(4)),
    *((rf"^patch_embed{stage + 1}\.norm\.", f"layers.{stage}.0.norm.") for stage in range(4)),
    *((rf"^pos_embed{stage + 1}$", f"layers.{stage}.1.0.pos_embed") for stage in range(4)),
    *((rf"^block{stage + 1}\.", f"layers.{stage}.1.") for stage in range(4)),
    *((rf"^norm{stage + 1}\.", f"layers.{stage}.2.") for stage in range(4)),
    (r"\.attn\.proj\.", ".attn.attn.out_proj."),
    (r"\.mlp\.(fc\d)\.", r".ffn.\1."),
    (r"\.mlp\.dwconv\.dwconv\.", ".ffn.depthwise."),
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


def hrnet(state: State) -> State:
    """HRNets of their authors, without what makes one vector of the four maps."""
    return renamed(state, HRNET)


def resnest(state: State) -> State:
    """ResNeSts of their authors and of MMDetection."""
    return renamed(state, RESNEST)


def swin_unfolded(state: State) -> State:
    """Swin Transformers of torchvision and of their authors, for a backbone with `UnfoldMerging`."""
    state = with_output_norms(renamed(state, SWIN_CLASSIFIER), "patch_embed.norm.weight")
    return {name: unfolded(value) if ".downsample." in name else value for name, value in state.items()}


def convnext(state: State) -> State:
    """ConvNeXts of torchvision and of their authors."""
    state = with_output_norms(renamed(state, CONVNEXT), "downsample_layers.0.1.weight")
    return {name: value.flatten() if name.endswith(".gamma") else value for name, value in state.items()}


def pvt(state: State) -> State:
    """Pyramid Vision Transformers of their authors, both versions."""
    if "patch_embed1.proj.weight" not in state:
        return state
    if "pos_embed4" in state:  # of the first version, where the embedding of positions is the first of a stage's blocks
        state = {after_embedding(name): value for name, value in state.items()}
        state["pos_embed4"] = state["pos_embed4"][:, 1:]  # the first one is that of the token for the class
    state = renamed(state, PVT)
    for name in [name for name in state if ".attn.q." in name]:
        both = (state.pop(name), state.pop(name.replace(".q.", ".kv.")))
        state[name.replace(".attn.q.", ".attn.attn.in_proj_")] = torch.cat(both)
    for name in [name for name in state if re.search(r"\.ffn\.fc\d\.weight$", name)]:
        state[name] = state[name][:, :, None, None]  # a linear layer as a convolution of one pixel
    return state


def after_embedding(name: str) -> str:
    """`block1.0.norm1` as `block1.1.norm1`."""
    return re.sub(r"^(block\d)\.(\d+)", lambda match: f"{match[1]}.{int(match[2]) + 1}", name)


def unfolded(weight: Tensor) -> Tensor:
    """Weights (..., 4 * D) of four pixels, down before right, by channel and right before down instead."""
    return weight.unflatten(-1, (2, 2, -1)).movedim(-1, -3).transpose(-1, -2).flatten(-3)


def with_output_norms(state: State, first: str) -> State:
    """The tensors, and norms of the four stages' outputs as they begin, which no classifier has.

    Args:
        first: name of a tensor with as many values as the first stage has channels; the others have twice, four
            and eight times as many.
    """
    channels = [len(state[first]) * 2**stage for stage in range(4)]
    norms = {f"norm{stage}.weight": torch.ones(count) for stage, count in enumerate(channels)}
    return {**norms, **{f"norm{stage}.bias": torch.zeros(count) for stage, count in enumerate(channels)}, **state}


def three_stages(state: State) -> State:
    """A ResNet's without those of its fourth stage."""
    return {name: value for name, value in state.items() if not name.startswith("layer4.")}
