"""Localisation distillation (LD, https://arxiv.org/abs/2102.12252): GFL's distributions learnt from a teacher's too."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...structures import ImageList, Instances
from ..single_stage import SingleStageDetector
from .dense import DenseOutputs
from .gfl import GFLCriterion
from .matching import match, mean_over_processes


class Teacher:
    """A trained detector that does not learn, loaded when it is first asked.

    Args:
        load: gives the detector, whose head has the student's priors and codes.
    """

    def __init__(self, load: Callable[[], SingleStageDetector]) -> None:
        self.load = load

    @cached_property
    def detector(self) -> SingleStageDetector:
        """The detector, in evaluation mode."""
        return self.load().eval().requires_grad_(False)

    @torch.no_grad()
    def codes(self, images: ImageList) -> Tensor:
        """What it says of the boxes of a batch, (B, A, D)."""
        detector = self.detector.to(images.tensor.device)
        outputs: DenseOutputs = detector.head(detector.extract_features(images))
        return outputs.codes


class LDCriterion(GFLCriterion):
    """GFL's losses, and how far the distributions of the positive anchors' sides are from the teacher's.

    Args:
        teacher: gives the distributions to learn.
        teacher_weight: of that loss.
        temperature: by which logits are divided.
        options: as of `GFLCriterion`.
    """

    def __init__(
        self, *, teacher: Teacher, teacher_weight: float = 0.25, temperature: float = 10.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.teacher, self.teacher_weight, self.temperature = teacher, teacher_weight, temperature

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        taught = self.teacher.codes(images)
        if taught.shape != outputs.codes.shape:
            raise ValueError(f"the teacher's codes are {tuple(taught.shape)}, expected {tuple(outputs.codes.shape)}")
        divergence = self.divergence(outputs.codes.flatten(0, 1)[matches.rows], taught.flatten(0, 1)[matches.rows])
        weighted = divergence * self.weight(outputs, matches)
        return {**self.losses(outputs, matches), "loss_teacher": self.teacher_weight * weighted.sum()}

    def divergence(self, codes: Tensor, taught: Tensor) -> Tensor:
        """Kullback-Leibler divergence of codes (P, 4 * K) from the teacher's, the mean over sides and values, (P,)."""
        logits, truth = (part.unflatten(-1, (4, -1)) / self.temperature for part in (codes, taught))
        loss = F.kl_div(logits.log_softmax(-1), truth.log_softmax(-1), reduction="none", log_target=True)
        return loss.mean((1, 2)) * self.temperature**2

    def total(self, weight: Tensor) -> Tensor:
        return mean_over_processes(weight.sum() + 1e-6, weight, least=1e-6)
