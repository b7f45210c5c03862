"""torchvision's COCO detectors with their published weights, as sequence models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.models._api import WeightsEnum

from ..sequence import SequenceModel
from ..structures import Frame, Instances

ARCHITECTURES = (
    "fasterrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)


def published_weights(architecture: str) -> WeightsEnum:
    """torchvision's weights of one of `ARCHITECTURES`; their URL and classes are in it."""
    return get_model_weights(architecture).DEFAULT  # type: ignore[attr-defined,no-any-return]


def cached_weights(architecture: str) -> Path:
    """Where torch.hub keeps the weights on this machine, whether or not they are there."""
    url: str = published_weights(architecture).url
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def classes_of(architecture: str) -> tuple[str, ...]:
    """COCO's 80 classes in their order."""
    categories: Sequence[str] = published_weights(architecture).meta["categories"]
    return tuple(name for name in categories if name not in ("__background__", "N/A"))


class TorchvisionDetector(SequenceModel):
    """One of torchvision's detectors; labels count COCO's 80 classes from 0 as everywhere here.

    Args:
        architecture: one of `ARCHITECTURES`.
        pretrained: load the published weights, downloading them to torch's cache when needed;
            False leaves the network untrained (to load a checkpoint into).
        score_threshold: least score given out.
    """

    def __init__(self, *, architecture: str, pretrained: bool = True, score_threshold: float = 0.3) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture '{architecture}': expected one of {', '.join(ARCHITECTURES)}")
        weights = published_weights(architecture)
        self.network: nn.Module = get_model(
            architecture, weights=weights if pretrained else None, weights_backbone=None
        )
        self.score_threshold = score_threshold
        categories: Sequence[str] = weights.meta["categories"]
        self.classes = classes_of(architecture)
        labels = torch.full((len(categories),), -1, dtype=torch.int64)
        for index, name in enumerate(categories):
            if name in self.classes:
                labels[index] = self.classes.index(name)
        self.register_buffer("coco_labels", labels, persistent=False)
        self.coco_labels: torch.Tensor

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self._predict([frame])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        return list(self._predict(frames))

    def _predict(self, frames: Sequence[Frame]) -> list[Instances]:
        images = [frame.image.to(self.device).float() / 255 for frame in frames]
        return [self._instances(output) for output in self.network(images)]

    def _instances(self, output: dict[str, torch.Tensor]) -> Instances:
        labels = self.coco_labels[output["labels"]]
        keep = (output["scores"] >= self.score_threshold) & (labels >= 0)
        return Instances(boxes=output["boxes"][keep], labels=labels[keep], scores=output["scores"][keep]).to("cpu")
