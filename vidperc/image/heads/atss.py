"""ATSS (https://arxiv.org/abs/1912.02424): one anchor per location, chosen by the statistics of its overlap."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...ops.boxes import box_centres
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..distance_coders import centerness, distances_to
from ..losses import binary_cross_entropy, giou_loss, sigmoid_focal_loss
from .dense import DenseOutputs, LevelMaps, Scale, TowerPredictor, initialise
from .matching import match, mean_over_processes


class ATSSPredictor(TowerPredictor):
    """Logits of every class, box codes and a quality logit (centerness; PAA's IoU) for each anchor.

    Args:
        classes: C.
        levels: each has a learned factor of its codes.
        options: of the towers.
    """

    def __init__(self, *, classes: int, levels: int = 5, channels: int = 256, **options: Any) -> None:
        super().__init__(channels=channels, norm="gn", **options)
        self.atss_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.atss_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.atss_centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))
        initialise(self, self.atss_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        cls, reg = self.cls_convs(x), self.reg_convs(x)
        return {
            "logits": self.atss_cls(cls),
            "codes": self.scales[index](self.atss_reg(reg)).float(),
            "quality": self.atss_centerness(reg),
        }


class ATSSCriterion:
    """Focal loss of all anchors; of the positive ones GIoU weighted by centerness, and centerness itself.

    Args:
        assigner: anchors to targets.
        coder: of the boxes.
        box_weight: of the GIoU loss.
    """

    def __init__(self, *, assigner: Assigner, coder: DeltaCoder, box_weight: float = 2.0) -> None:
        self.assigner, self.coder, self.box_weight = assigner, coder, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        matches = match(self.assigner, outputs, images, targets)
        positives = mean_over_processes(matches.count(len(outputs.logits)), outputs.logits)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels)
        boxes = self.coder.decode(matches.priors, outputs.codes.flatten(0, 1)[matches.rows])
        central = centerness(distances_to(box_centres(matches.priors), matches.boxes))
        quality = outputs.quality.flatten()[matches.rows]
        weight = mean_over_processes(central.sum(), central, least=1e-6)
        return {
            "loss_class": matches.counted(classification) / positives,
            "loss_box": self.box_weight * (giou_loss(boxes, matches.boxes) * central).sum() / weight,
            "loss_centerness": binary_cross_entropy(quality, central).sum() / positives,
        }
