"""The R-CNN family: region proposals alone, and detectors that classify regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..structures import Clip, Frame, ImageList, Instances
from .detector import Detector, TwoStageDetector
from .heads.rpn import ProposalHead
from .preprocess import Image, Preprocessor
from .roi_heads.cascade import CascadeRoIHead
from .roi_heads.grid import GridRoIHead
from .roi_heads.roi_head import RoIHead


class RPN(Detector):
    """A region proposal network alone: the regions are the objects, of one class."""

    def __init__(
        self, *, preprocessor: Preprocessor, backbone: nn.Module, neck: nn.Module | None = None, rpn: ProposalHead
    ) -> None:
        super().__init__(preprocessor=preprocessor, backbone=backbone, neck=neck)
        self.rpn = rpn

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        return [
            part.replace(boxes=part.boxes / scale, labels=torch.zeros_like(part.boxes[:, 0], dtype=torch.int64))
            for part, scale in zip(self.rpn.propose(features, images), scale_factors(images, features[0].device))
        ]

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        return self.rpn.loss(features, images, targets)[0]


class RCNN(TwoStageDetector):
    """Faster, Mask, Cascade and Grid R-CNN; without `rpn` Fast R-CNN, whose proposals come with the images.

    The video methods enter by `extract_features`, `propose`, `roi_head.roi_features`,
    `roi_head.box_head.shared` / `.outputs` and `roi_head.postprocessor`.
    """

    def __init__(
        self,
        *,
        preprocessor: Preprocessor,
        backbone: nn.Module,
        neck: nn.Module | None = None,
        rpn: ProposalHead | None,
        roi_head: RoIHead | CascadeRoIHead | GridRoIHead,
    ) -> None:
        super().__init__(preprocessor=preprocessor, backbone=backbone, neck=neck)
        self.rpn, self.roi_head = rpn, roi_head

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Without region proposals of its own, the key frames' given detections are the proposals."""
        if self.rpn is not None:
            return super().forward(clips)
        proposals = [part.to(self.device) for part in _given([clip[clip.key] for clip in clips])]
        images, targets = self.training_batch(clips)
        return self.loss(self.extract_features(images), images, targets, proposals)

    def propose(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        if self.rpn is None:
            raise ValueError("this detector has no region proposals of its own: give `proposals` with the images")
        return self.rpn.propose(features, images)

    def detect(
        self, features: list[Tensor], images: ImageList, proposals: Sequence[Instances] | None = None
    ) -> list[Instances]:
        if proposals is None:
            proposals = self.propose(features, images)
        return self.roi_head.detect(features, images, proposals)

    def loss(
        self,
        features: list[Tensor],
        images: ImageList,
        targets: list[Instances],
        proposals: Sequence[Instances] | None = None,
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if proposals is None:
            losses, proposals = self.proposal_losses(features, images, targets)
        return losses | self.roi_head.loss(features, images, proposals, targets)

    def proposal_losses(
        self, features: list[Tensor], images: ImageList, targets: list[Instances]
    ) -> tuple[dict[str, Tensor], list[Instances]]:
        """The losses of the region proposals and the regions that the second stage learns from."""
        if self.rpn is None:
            raise ValueError("training without region proposals of its own needs `proposals`")
        return self.rpn.loss(features, images, targets)

    def predict(self, images: Sequence[Image], proposals: Sequence[Instances] | None = None) -> list[Instances]:
        """As `Detector.predict`; `proposals` are regions in the pictures' own pixels."""
        if proposals is None or len(images) == 0:
            return super().predict(images)
        if len(proposals) != len(images):
            raise ValueError(f"{len(images)} images but proposals of {len(proposals)}")
        with self.inference():
            batch = self.preprocessor(images, self.device)
            scaled = [
                part.to(self.device).replace(boxes=part.boxes.to(self.device) * scale)
                for part, scale in zip(proposals, scale_factors(batch, self.device))
            ]
            return self.detect(self.extract_features(batch), batch, scaled)

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self.step_batch([frame], [state])[0]  # type: ignore[return-value]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        """Without region proposals of its own, the frames' given detections are the proposals."""
        proposals = None if self.rpn is not None else _given(frames)
        return list(self.predict([frame.image for frame in frames], proposals))


class BranchedRCNN(RCNN):
    """An `RCNN` whose backbone, at training, gives the features of several branches (`TridentBottleneck`).

    Each of them learns from all targets (https://arxiv.org/abs/1901.01892).
    """

    def loss(
        self,
        features: list[Tensor],
        images: ImageList,
        targets: list[Instances],
        proposals: Sequence[Instances] | None = None,
    ) -> dict[str, Tensor]:
        branches = len(features[0]) // len(targets)
        return super().loss(features, images.take([*range(len(images))] * branches), targets * branches, proposals)


def _given(frames: Sequence[Frame]) -> list[Instances]:
    """The frames' detections.

    Raises:
        ValueError: one has none.
    """
    given = [frame.detections for frame in frames if frame.detections is not None]
    if len(given) < len(frames):
        raise ValueError("this detector has no region proposals of its own: the frames must bring `detections`")
    return given


def scale_factors(images: ImageList, device: torch.device | str) -> list[Tensor]:
    """By image, the factors (4,) from boxes of the original picture to those of the batch."""
    return [torch.tensor([*scale, *scale], device=device) for scale in images.scales]
