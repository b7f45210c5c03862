"""FCOS (https://arxiv.org/abs/1904.01355): points instead of anchors, and how central each lies in its box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..distance_coders import DistanceCoder, centerness
from ..losses import binary_cross_entropy, iou_loss, sigmoid_focal_loss
from .dense import DenseOutputs, LevelMaps, Scale, TowerPredictor, initialise
from .matching import match_everywhere, mean_over_processes

BoxLoss = Callable[[Tensor, Tensor], Tensor]


class FCOSPredictor(TowerPredictor):
    """Logits of every class, four positive distances and a centerness logit for each point.

    Args:
        classes: C.
        levels: each has a learned factor of its distances.
        positive: what makes distances positive, `exp` (pixels) or `relu` (strides).
        centerness_on: the tower that centerness is predicted from.
        options: of the towers.
    """

    def __init__(
        self,
        *,
        classes: int,
        levels: int = 5,
        channels: int = 256,
        positive: Callable[[Tensor], Tensor] = Tensor.exp,
        centerness_on: Literal["cls", "reg"] = "cls",
        **options: Any,
    ) -> None:
        super().__init__(channels=channels, **options)
        self.positive, self.centerness_on = positive, centerness_on
        self.conv_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.conv_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.conv_centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))
        initialise(self, self.conv_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        ends = {"cls": self.cls_convs(x), "reg": self.reg_convs(x)}
        return {
            "logits": self.conv_cls(ends["cls"]),
            "codes": self.positive(self.scales[index](self.conv_reg(ends["reg"])).float()),
            "quality": self.conv_centerness(ends[self.centerness_on]),
        }


class FCOSCriterion:
    """Focal loss of all points; of the positive ones box loss weighted by centerness, and centerness itself.

    Args:
        assigner: points to targets.
        coder: of the distances.
        box_loss: of boxes in pixels (P, 4).
    """

    def __init__(self, *, assigner: Assigner, coder: DistanceCoder, box_loss: BoxLoss = iou_loss) -> None:
        self.assigner, self.coder, self.box_loss = assigner, coder, box_loss

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        matches = match_everywhere(self.assigner, outputs, targets)
        positives = mean_over_processes(len(matches), outputs.logits)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels)
        boxes = self.coder.decode(matches.priors, outputs.codes.flatten(0, 1)[matches.rows])
        central = centerness(self.coder.encode(matches.priors, matches.boxes))
        quality = outputs.quality.flatten()[matches.rows]
        weight = mean_over_processes(central.sum(), central, least=1e-6)
        return {
            "loss_class": matches.counted(classification) / positives,
            "loss_box": (self.box_loss(boxes, matches.boxes) * central).sum() / weight,
            "loss_centerness": binary_cross_entropy(quality, central).sum() / positives,
        }
