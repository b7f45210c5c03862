"""Parts that many detectors' configs share: preprocessing, ResNets, feature pyramids, names of published tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.resnet import deform_conv_v1, deform_conv_v2
from vidperc.image.necks.fpn import FPN
from vidperc.image.preprocess import Preprocessor


def preprocessor(test_scale: tuple[int, int] = (1333, 800), **changes: Any) -> fdl.Config:
    """RGB with ImageNet's mean and deviation, as torchvision's backbones were trained."""
    return fdl.Config(Preprocessor, test_scale=test_scale, **changes)


def caffe_preprocessor(test_scale: tuple[int, int] = (1333, 800), **changes: Any) -> fdl.Config:
    """BGR less the mean, as Detectron2's caffe-style backbones were trained."""
    return fdl.Config(
        Preprocessor, test_scale=test_scale, bgr=True, mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), **changes
    )


def bgr_preprocessor(test_scale: tuple[int, int] = (1333, 800)) -> fdl.Config:
    """BGR with ImageNet's mean and deviation."""
    return preprocessor(test_scale, bgr=True, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))


def resnet(depth: int = 50, **changes: Any) -> fdl.Config:
    """A ResNet whose batch norms keep their statistics and whose stem and first stage do not learn."""
    return fdl.Config(ResNet, depth=depth, **changes)


def caffe_resnet(depth: int = 50, **changes: Any) -> fdl.Config:
    """A ResNet that strides in its 1x1 convolutions, whose batch norms do not learn."""
    return fdl.Config(ResNet, depth=depth, style="caffe", **{"norm": "frozen_bn", **changes})


def resnext(depth: int = 101, groups: int = 32, width_per_group: int = 4, **changes: Any) -> fdl.Config:
    """A ResNeXt, 32x4d by default."""
    return fdl.Config(ResNet, depth=depth, groups=groups, width_per_group=width_per_group, **changes)


def dc5(**changes: Any) -> dict[str, Any]:
    """A ResNet's arguments for one map of stride 16 from a dilated last stage."""
    return {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2), "out_indices": (3,), **changes}


def deformable(stages: Sequence[int] = (1, 2, 3), deform_groups: int = 1) -> dict[int, fdl.Partial]:
    """A ResNet's `conv_stages` of `dconv`: deformable convolutions in the stages (C3 to C5)."""
    return {stage: fdl.Partial(deform_conv_v1, deform_groups=deform_groups) for stage in stages}


def modulated_deformable(stages: Sequence[int] = (1, 2, 3), deform_groups: int = 1) -> dict[int, fdl.Partial]:
    """A ResNet's `conv_stages` of `mdconv`: modulated deformable convolutions in the stages (C3 to C5)."""
    return {stage: fdl.Partial(deform_conv_v2, deform_groups=deform_groups) for stage in stages}


def fpn(in_channels: Sequence[int] = (256, 512, 1024, 2048), **changes: Any) -> fdl.Config:
    """Five levels from four, the last by leaving out every second pixel."""
    return fdl.Config(FPN, in_channels=tuple(in_channels), **changes)


def common_keys() -> KeyRules:
    """Published names of layers that occur in all networks."""
    return (
        (r"\.(gn|bn)\.(weight|bias|running_mean|running_var|num_batches_tracked)$", r".norm.\2"),
        (r"^(backbone\..*)gn(\d)\.", r"\1bn\2."),
    )
