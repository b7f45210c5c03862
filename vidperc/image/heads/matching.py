"""What criteria of dense heads share: the assignment of a batch as flat tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from ...ops.boxes import box_centres
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, IGNORED, Assigner
from .dense import DenseOutputs


@dataclass(slots=True)
class Matches:
    """Which of the B * A priors of a batch learn what. P of them are positive."""

    labels: Tensor  # (B * A,) class, BACKGROUND or IGNORED
    rows: Tensor  # (P,) the positive ones in (B * A,)
    images: Tensor  # (P,) their image
    targets: Tensor  # (P,) their target, counted over the whole batch
    priors: Tensor  # (P, 4) or (P, 3)
    boxes: Tensor  # (P, 4) of their targets
    positive_labels: Tensor  # (P,) class of their targets

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def background(self) -> Tensor:
        """(B * A,) bool."""
        return self.labels == BACKGROUND

    def count(self, images: int) -> int:
        """How many are positive, an image without any counted as one, in a batch of so many images."""
        return len(self) + images - len(self.images.unique())

    def counted(self, loss: Tensor) -> Tensor:
        """The sum of a loss (B * A, ...) without the ignored priors."""
        keep = (self.labels != IGNORED).to(loss.dtype)
        return (loss * keep.view(-1, *[1] * (loss.ndim - 1))).sum()


def match(
    assigner: Assigner,
    outputs: DenseOutputs,
    images: ImageList,
    targets: list[Instances],
    boxes: Tensor | None = None,
) -> Matches:
    """Assign the priors of each image and join the outcome; those beyond an image's own padding are ignored.

    Args:
        boxes: (B, A, 4) what is assigned in their place, where that differs from image to image.
    """
    with torch.no_grad():
        priors = [outputs.priors] * len(targets) if boxes is None else list(boxes.detach())
        assigned = [
            torch.where((a == BACKGROUND) & outside(outputs.priors, size), IGNORED, a)
            for a, size in zip(assign_each(assigner, priors, outputs, targets), images.padded_alone)
        ]
        return join(torch.stack(assigned), outputs.priors, targets)


def match_everywhere(assigner: Assigner, outputs: DenseOutputs, targets: list[Instances]) -> Matches:
    """As `match`, with the batch's padding as background like any other."""
    with torch.no_grad():
        assigned = assign_each(assigner, [outputs.priors] * len(targets), outputs, targets)
        return join(torch.stack(assigned), outputs.priors, targets)


def assign_each(
    assigner: Assigner, priors: list[Tensor], outputs: DenseOutputs, targets: list[Instances]
) -> list[Tensor]:
    """The assignment (A,) of each image."""
    return [assigner(p, t, outputs.image(i)) for i, (p, t) in enumerate(zip(priors, targets))]


def join(assigned: Tensor, priors: Tensor, targets: list[Instances]) -> Matches:
    """Assigned targets (B, A) of each image as `Matches`."""
    count = assigned.shape[1]
    starts = torch.tensor([0, *[len(t) for t in targets][:-1]], device=assigned.device).cumsum(0)
    boxes = torch.cat([t.boxes for t in targets])
    classes = torch.cat([require_labels(t) for t in targets])
    flat = assigned.flatten()
    rows = (flat >= 0).nonzero()[:, 0]
    image = torch.div(rows, count, rounding_mode="floor")
    target = flat[rows] + starts[image]
    labels = flat.clamp(max=BACKGROUND)
    labels[rows] = classes[target]
    return Matches(labels, rows, image, target, priors[rows % count], boxes[target], classes[target])


def outside(priors: Tensor, size: tuple[int, int]) -> Tensor:
    """Which priors are centred beyond (height, width); (A,) bool."""
    centre = box_centres(priors) if priors.shape[1] == 4 else priors[:, :2]
    limit = centre.new_tensor([size[1], size[0]]) - 0.01  # the centre of an anchor is only known to rounding
    return (centre >= limit).any(1)


def last_of_each(places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of values (M,) that go to places below `count`, those that no later one overwrites.

    Returns:
        The places (P,), ascending, and the rows (P,) of the values that stay there.
    """
    last = torch.full((count,), -1, device=places.device)
    last.scatter_reduce_(0, places, torch.arange(len(places), device=places.device), "amax")
    taken = (last >= 0).nonzero()[:, 0]
    return taken, last[taken]


def require_labels(targets: Instances) -> Tensor:
    """The labels of training targets.

    Raises:
        ValueError: there are none.
    """
    if targets.labels is None:
        raise ValueError("training targets need labels")
    return targets.labels


def mean_over_processes(value: Tensor | float, like: Tensor, least: float = 1.0) -> Tensor:
    """A normaliser averaged over the processes of a distributed training, at least `least`."""
    mean = torch.as_tensor(value, dtype=torch.float32, device=like.device).detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean.clamp(min=least)
