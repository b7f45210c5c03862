"""RetinaNet (https://arxiv.org/abs/1708.02002): two towers on every level, focal loss over all anchors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.norm import NormKind
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..losses import l1_loss, sigmoid_focal_loss
from .dense import DenseOutputs, LevelMaps, TowerPredictor, initialise
from .matching import match, mean_over_processes

Loss = Callable[[Tensor, Tensor], Tensor]


class RetinaPredictor(TowerPredictor):
    """Logits of every class and four box codes for each anchor.

    Args:
        classes: C.
        anchors: per location.
        options: of the towers.
    """

    def __init__(self, *, classes: int, anchors: int = 9, channels: int = 256, **options: Any) -> None:
        super().__init__(channels=channels, **options)
        self.retina_cls = nn.Conv2d(channels, anchors * classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        initialise(self, self.retina_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        return {"logits": self.retina_cls(self.cls_convs(x)), "codes": self.retina_reg(self.reg_convs(x))}


class LevelNormRetinaPredictor(nn.Module):
    """As `RetinaPredictor`, with batch norms in the towers that each level has its own of (NAS-FPN's baseline).

    Args:
        levels: of the pyramid.
    """

    def __init__(
        self,
        *,
        classes: int,
        levels: int = 5,
        anchors: int = 9,
        in_channels: int = 256,
        channels: int = 256,
        convs: int = 4,
        norm: NormKind = "bn",
    ) -> None:
        super().__init__()

        def towers() -> nn.ModuleList:
            widths = [in_channels] + [channels] * convs
            shared = [nn.Conv2d(width, channels, 3, padding=1, bias=False) for width in widths[:convs]]
            return nn.ModuleList(
                nn.Sequential(
                    *(ConvNorm(conv.in_channels, channels, 3, norm=norm, make_conv=give(conv)) for conv in shared)
                )
                for _ in range(levels)
            )

        self.cls_convs, self.reg_convs = towers(), towers()
        self.retina_cls = nn.Conv2d(channels, anchors * classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        initialise(self, self.retina_cls)

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [
            {"logits": self.retina_cls(cls(x)), "codes": self.retina_reg(reg(x))}
            for cls, reg, x in zip(self.cls_convs, self.reg_convs, features)
        ]


def give(module: nn.Module) -> Callable[..., nn.Module]:
    """A maker of modules that always gives this one."""
    return lambda *_, **__: module


class AnchorCriterion:
    """A class loss over all anchors and a loss of the positive ones' codes, both per positive anchor.

    Args:
        assigner: anchors to targets.
        coder: encodes the targets.
        class_loss: of logits (N, C) and labels (N,), background -1.
        code_loss: of codes and encoded targets (P, 4).
        box_weight: of the code loss.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        coder: DeltaCoder,
        class_loss: Loss = sigmoid_focal_loss,
        code_loss: Loss = l1_loss,
        box_weight: float = 1.0,
    ) -> None:
        self.assigner, self.coder = assigner, coder
        self.class_loss, self.code_loss, self.box_weight = class_loss, code_loss, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        positives = mean_over_processes(matches.count(len(outputs.logits)), outputs.logits)
        classification = self.class_loss(outputs.logits.flatten(0, 1), matches.labels)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        boxes = self.code_loss(codes, self.coder.encode(matches.priors, matches.boxes))
        return {
            "loss_class": matches.counted(classification) / positives,
            "loss_box": self.box_weight * boxes.sum() / positives,
        }
