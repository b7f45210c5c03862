"""The head that NAS-FCOS found (https://arxiv.org/abs/1906.04423, section 4.2) on FCOS's losses and outputs."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ...layers.conv import ConvNorm, init_caffe2
from ...layers.deform_conv import ModulatedDeformConv
from ...layers.norm import NormKind
from .dense import initialise
from .fcos import FCOSPredictor


class NASFCOSPredictor(FCOSPredictor):
    """Towers of a deformable, a 3x3, another deformable and a 1x1 convolution."""

    def __init__(
        self, *, in_channels: int = 256, channels: int = 256, norm: NormKind | None = "gn", **options: Any
    ) -> None:
        super().__init__(in_channels=in_channels, channels=channels, convs=0, **options)
        deformable = partial(ModulatedDeformConv, deform_groups=2)

        def tower() -> nn.Sequential:
            return nn.Sequential(
                ConvNorm(in_channels, channels, 3, padding=1, norm=norm, bias=True, make_conv=deformable),
                ConvNorm(channels, channels, 3, padding=1, norm=norm),
                ConvNorm(channels, channels, 3, padding=1, norm=norm, bias=True, make_conv=deformable),
                ConvNorm(channels, channels, 1, norm=norm),
            )

        self.cls_convs, self.reg_convs = tower(), tower()
        init_caffe2(self)  # the offsets of the deformable ones, too
        for end in (self.conv_cls, self.conv_reg, self.conv_centerness):
            initialise(end)
        initialise(self.conv_cls, self.conv_cls)
