"""GHM (https://arxiv.org/abs/1811.05181): losses weighted by how rare a gradient is in its level, on RetinaNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..assigners import IGNORED, Assigner
from ..box_coders import DeltaCoder
from ..losses import binary_cross_entropy
from ..losses.classification import one_hot
from .dense import DenseOutputs
from .matching import match


class GradientDensity(nn.Module):
    """Weights that are inverse to how many examples have a gradient of that size, over the steps so far.

    Args:
        bins: of the histogram between 0 and 1.
        momentum: of its moving average.
        last: upper end of the last bin.
    """

    edges: Tensor
    acc_sum: Tensor

    def __init__(self, bins: int, momentum: float, last: float) -> None:
        super().__init__()
        self.momentum = momentum
        edges = torch.arange(bins + 1) / bins
        edges[-1] = last
        self.register_buffer("edges", edges)
        self.register_buffer("acc_sum", torch.zeros(bins))

    def forward(self, gradient: Tensor) -> Tensor:
        """The weights (N,) of gradients (N,); counts them while training."""
        index = torch.bucketize(gradient, self.edges[1:-1], right=True)
        counts = torch.bincount(index, minlength=len(self.acc_sum)).to(self.acc_sum)
        mean = self.momentum * self.acc_sum + (1 - self.momentum) * counts
        mean = torch.where(counts > 0, mean, self.acc_sum)
        if self.training:
            self.acc_sum.copy_(mean)
        return len(gradient) / mean[index] / (counts > 0).sum()


class GHMCriterion(nn.Module):
    """Sigmoid cross entropy of all anchors and a smooth loss of the positive codes, weighted by gradient density.

    Args:
        assigner: anchors to targets.
        coder: encodes the targets.
        mu: where the loss of codes turns from quadratic to linear.
        box_weight: of the loss of codes.
    """

    def __init__(self, *, assigner: Assigner, coder: DeltaCoder, mu: float = 0.02, box_weight: float = 10.0) -> None:
        super().__init__()
        self.assigner, self.coder, self.mu, self.box_weight = assigner, coder, mu, box_weight
        self.class_density = GradientDensity(30, 0.75, 1 + 1e-6)
        self.box_density = GradientDensity(10, 0.7, 1e3)

    def forward(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        count = len(outputs.priors)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        error = codes - self.coder.encode(matches.priors, matches.boxes)
        sizes = torch.tensor(outputs.level_sizes, device=error.device)
        level = torch.arange(len(sizes), device=error.device).repeat_interleave(sizes)[matches.rows % count]  # (P,)
        logits = outputs.logits.split(outputs.level_sizes, 1)
        labels = matches.labels.view(-1, count).split(outputs.level_sizes, 1)
        # Each level for itself, and a step of the moving averages, as published.
        classes = [self._classes(each.flatten(0, 1), own.flatten()) for each, own in zip(logits, labels)]
        boxes = [self._boxes(error[level == i]) for i in range(len(sizes))]
        return {"loss_class": torch.stack(classes).sum(), "loss_box": self.box_weight * torch.stack(boxes).sum()}

    def _classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the anchors of a level that count; logits (M, C), labels (M,)."""
        logits, labels = logits[labels != IGNORED], labels[labels != IGNORED]
        target = one_hot(labels, logits.shape[1], logits)
        weight = self.class_density((logits.detach().sigmoid() - target).abs().flatten())
        return (binary_cross_entropy(logits, target).flatten() * weight).sum() / max(logits.numel(), 1)

    def _boxes(self, error: Tensor) -> Tensor:
        """Mean over a level's errors of positive codes (P, 4)."""
        root = (error.square() + self.mu**2).sqrt()
        weight = self.box_density((error / root).detach().abs().flatten())
        return ((root - self.mu).flatten() * weight).sum() / max(error.numel(), 1)
