"""The flow of dense heads: maps of every level, flattened once to (B, A, .) beside their priors."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.norm import NormKind
from ...structures import ImageList, Instances

LevelMaps = dict[str, Tensor]  # what a predictor says of one level: name -> (B, priors per location * D, H, W)


@dataclass(slots=True)
class DenseOutputs:
    """What a dense head says of the A priors of B images. Levels follow each other, finest first."""

    priors: Tensor  # (A, 4) boxes or (A, 3) points with their stride
    level_sizes: list[int]  # priors of each level, their sum is A
    logits: Tensor  # (B, A, C)
    codes: Tensor  # (B, A, D), encoded boxes
    quality: Tensor | None = None  # (B, A) logits of centerness or IoU
    extra: dict[str, Tensor] = field(default_factory=dict)  # (B, A, .) what a method adds

    def image(self, index: int) -> DenseOutputs:
        """The part of one image, with B = 1; without gradients, for assigners."""
        one = slice(index, index + 1)
        return DenseOutputs(
            priors=self.priors,
            level_sizes=self.level_sizes,
            logits=self.logits[one].detach(),
            codes=self.codes[one].detach(),
            quality=None if self.quality is None else self.quality[one].detach(),
            extra={name: value[one].detach() for name, value in self.extra.items()},
        )


class Priors(Protocol):
    """Makes the priors of each level, as `GridAnchors` and `GridPoints` do."""

    @property
    def counts(self) -> list[int]: ...

    def __call__(self, sizes: Sequence[tuple[int, int]], device: torch.device | str) -> list[Tensor]: ...


class DenseHead(nn.Module):
    """A predictor, the priors it speaks of, the loss it is trained with and the decision made from it.

    Args:
        predictor: feature maps to `LevelMaps` of each level; "logits" and "codes" must be among them, "quality"
            may be, others end in `DenseOutputs.extra`.
        priors: made for the sizes of the maps.
        criterion: (outputs, images, targets) to losses by name.
        postprocessor: (outputs, images) to detections in pixels of the original images.
    """

    def __init__(
        self,
        *,
        predictor: nn.Module,
        priors: Priors,
        criterion: Callable[[DenseOutputs, ImageList, list[Instances]], dict[str, Tensor]],
        postprocessor: Callable[[DenseOutputs, ImageList], list[Instances]],
    ) -> None:
        super().__init__()
        self.predictor, self.priors = predictor, priors
        self.criterion, self.postprocessor = criterion, postprocessor

    def forward(self, features: list[Tensor]) -> DenseOutputs:
        return collect(self.predictor(features), self.priors)

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """The objects of each image, in pixels of the original."""
        outputs = self(features)
        with full_precision(outputs.logits):
            return self.postprocessor(outputs, images)

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        """Training losses by name; targets are in pixels of the batch."""
        outputs = self(features)
        with full_precision(outputs.logits):
            return self.criterion(outputs, images, targets)


def collect(maps: list[LevelMaps], make_priors: Priors) -> DenseOutputs:
    """The maps of all levels as flat outputs beside their priors."""
    sizes = [(m["logits"].shape[-2], m["logits"].shape[-1]) for m in maps]
    priors = make_priors(sizes, maps[0]["logits"].device)
    flat = {name: flatten_maps([m[name] for m in maps], make_priors.counts) for name in maps[0]}
    quality = flat.pop("quality", None)
    return DenseOutputs(
        priors=torch.cat(priors),
        level_sizes=[len(level) for level in priors],
        logits=flat.pop("logits"),
        codes=flat.pop("codes"),
        quality=None if quality is None else quality[..., 0],
        extra=flat,
    )


def full_precision(like: Tensor) -> Any:
    """A context without autocast: losses and boxes are computed in single precision."""
    return torch.autocast(like.device.type, enabled=False)


def flatten_maps(maps: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Maps (B, count * D, H, W) of all levels to (B, A, D) in float32; rows, columns, priors of a location."""
    flat = [
        level.permute(0, 2, 3, 1).reshape(len(level), -1, level.shape[1] // count) for level, count in zip(maps, counts)
    ]
    return torch.cat(flat, dim=1).float()


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class TowerPredictor(nn.Module):
    """Two towers of 3x3 convolutions, the same for all levels; a subclass predicts from their ends.

    Args:
        in_channels: of the feature maps.
        channels: of the towers.
        convs: length of each.
        norm: normalisation after every convolution.
        conv_bias: whether convolutions have a bias; None where no norm follows.
        last_conv: what makes the last convolution of each tower (deformable ones); None is as the others.
    """

    def __init__(
        self,
        *,
        in_channels: int = 256,
        channels: int = 256,
        convs: int = 4,
        norm: NormKind | None = None,
        conv_bias: bool | None = None,
        last_conv: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()

        def tower() -> nn.Sequential:
            makers = [nn.Conv2d] * (convs - 1) + [last_conv or nn.Conv2d]
            widths = [in_channels] + [channels] * convs
            return nn.Sequential(
                *(
                    ConvNorm(widths[i], channels, 3, padding=1, norm=norm, bias=conv_bias, make_conv=make)
                    for i, make in enumerate(makers[:convs])
                )
            )

        self.cls_convs, self.reg_convs = tower(), tower()

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [self.level(index, x) for index, x in enumerate(features)]

    @abstractmethod
    def level(self, index: int, x: Tensor) -> LevelMaps:
        """The maps of one level."""


def initialise(module: nn.Module, *classifiers: nn.Conv2d, prior: float = 0.01) -> None:
    """Small normal weights and zero biases; every class starts with the score `prior` (RetinaNet, section 4.1)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.01)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if hasattr(part, "conv_offset"):
            nn.init.zeros_(part.conv_offset.weight)  # type: ignore[union-attr,arg-type]
    for classifier in classifiers:
        if classifier.bias is not None:
            nn.init.constant_(classifier.bias, -math.log((1 - prior) / prior))
