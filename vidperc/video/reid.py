"""Re-identification: embeddings of how objects look, close for one object and far apart for two.

The network is the one that MMTracking publishes for DeepSORT and Tracktor: ResNet, global pooling, two fully connected
layers; trained by classifying identities and by the batch-hard triplet loss (https://arxiv.org/abs/1703.07737).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..image.crops import Crops
from ..sequence import SequenceModel
from ..structures import Clip, Frame, Instances


class HiddenLayer(nn.Module):
    """Fully connected, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, out_channels)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.fc(x)))


class ReIDHead(nn.Module):
    """Pooled features (N, C) to embeddings (N, D), and embeddings to logits of the identities trained on.

    Args:
        in_channels: C, of the backbone.
        hidden: width of the hidden layer.
        size: D.
        identities: how many the training data have.
    """

    def __init__(self, in_channels: int = 2048, hidden: int = 1024, size: int = 128, identities: int = 380) -> None:
        super().__init__()
        self.fcs = nn.ModuleList([HiddenLayer(in_channels, hidden)])
        self.fc_out = nn.Linear(hidden, size)
        self.norm = nn.BatchNorm1d(size)
        self.classifier = nn.Linear(size, identities)

    @property
    def size(self) -> int:
        """D."""
        return self.fc_out.out_features

    @property
    def identities(self) -> int:
        """How many the classifier tells apart."""
        return self.classifier.out_features

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (N, D) of pooled features (N, C)."""
        for layer in self.fcs:
            x = layer(x)
        embeddings: Tensor = self.fc_out(x)
        return embeddings

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits (N, identities)."""
        logits: Tensor = self.classifier(self.norm(embeddings))
        return logits


class PooledFeatures(nn.Module):
    """Pooled features (N, C) as they are: what an ImageNet classifier's backbone knows of looks, without training.

    Args:
        size: C, of the backbone.
    """

    def __init__(self, size: int = 512) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x


class ReID(SequenceModel):
    """The embeddings of boxes of a picture; an `Embedder`, and as a sequence model that of `frame.detections`.

    Args:
        crops: how boxes are cut out.
        backbone: crops to features, of which the last map is pooled.
        head: pooled features to embeddings.
        margin: of the triplet loss.
        max_crops: that go through the network at once.
    """

    def __init__(
        self,
        *,
        crops: Crops,
        backbone: nn.Module,
        head: ReIDHead | PooledFeatures,
        margin: float = 0.3,
        max_crops: int = 256,
    ) -> None:
        super().__init__()
        self.crops, self.backbone, self.head = crops, backbone, head
        self.margin, self.max_crops = margin, max_crops

    def embed(self, frames: Sequence[Frame], detections: Sequence[Instances]) -> list[Tensor]:
        """One (N, D) tensor per frame; a box outside of its picture gets the embedding of the nearest pixel."""
        counts = [len(part) for part in detections]
        parts = [self.network(crops) for crops in self._cut(frames, [part.boxes for part in detections])]
        embeddings = torch.cat([torch.zeros(0, self.head.size, device=self.device), *parts])
        return list(embeddings.split(counts))

    def _cut(self, frames: Sequence[Frame], boxes: Sequence[Tensor]) -> Iterator[Tensor]:
        """The boxes of all frames in order, as batches of crops (N, 3, h, w) of at most `max_crops`."""
        owners = torch.tensor([k for k, own in enumerate(boxes) for _ in range(len(own))], dtype=torch.int64)
        if not len(owners):
            return
        together = torch.cat([own.to(self.device, torch.float32) for own in boxes])
        pictures = self.crops.prepare(frames, self.device)
        for chunk, part in zip(owners.split(self.max_crops), together.split(self.max_crops), strict=True):
            found, counts = chunk.unique_consecutive(return_counts=True)
            pairs = zip(found.tolist(), part.split(counts.tolist()), strict=True)
            yield torch.cat([self.crops.cut(pictures[k], own) for k, own in pairs])

    def network(self, crops: Tensor) -> Tensor:
        """Embeddings (N, D) of crops (N, 3, H, W)."""
        embeddings: Tensor = self.head(self.backbone(crops)[-1].mean((2, 3)))
        return embeddings

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self.step_batch([frame], [state])[0]  # type: ignore[return-value]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        """The given detections of every frame with their embeddings."""
        given = [frame.detections or Instances.empty() for frame in frames]
        embeddings = self.embed(frames, given)
        return [part.replace(embeddings=own) for part, own in zip(given, embeddings, strict=True)]

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """The losses of all objects of the clips. Their `ids` are identities of the whole data set, from 0.

        Raises:
            TypeError: the head has no classifier.
            ValueError: objects without ids, ids that the classifier does not have, or fewer than two objects.
        """
        if not isinstance(self.head, ReIDHead):
            raise TypeError("features as they are do not learn identities: give the model a ReIDHead")
        frames = [frame for clip in clips for frame in clip.frames]
        truths = [_objects(frame, clip.video) for clip in clips for frame in clip.frames]
        identities = torch.cat([ids for _, ids in truths]).to(self.device)
        if len(identities) < 2:
            raise ValueError(f"re-identification trains on at least two objects at once, got {len(identities)}")
        outside = (identities < 0) | (identities >= self.head.identities)
        if outside.any():
            wrong = int(identities[outside][0])
            raise ValueError(f"identity {wrong}: expected 0 to {self.head.identities - 1}, over the whole data set")
        crops = torch.cat(list(self._cut(frames, [boxes for boxes, _ in truths])))
        embeddings = self.network(crops)
        return {
            "loss_identity": F.cross_entropy(self.head.classify(embeddings), identities),
            "loss_triplet": triplet_loss(embeddings, identities, self.margin),
        }


def triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """The batch-hard triplet loss: how much farther the farthest of the same identity is than the nearest other.

    Args:
        embeddings: (N, D).
        identities: (N,).
        margin: that it shall be nearer by.

    Returns:
        The mean over the objects that meet another identity; 0 where none does.
    """
    squared = (embeddings[:, None] - embeddings[None]).square().sum(-1)  # (N, N)
    distance = squared.clamp(min=1e-12).sqrt()
    same = identities[:, None] == identities[None]
    farthest = distance.where(same, distance.new_zeros(())).amax(1)
    nearest = distance.where(~same, distance.new_tensor(float("inf"))).amin(1)
    return F.relu(farthest - nearest + margin).sum() / (~same).any(1).sum().clamp(min=1)


def _objects(frame: Frame, video: str) -> tuple[Tensor, Tensor]:
    """Boxes and identities of a frame's objects that are not ignored."""
    objects = frame.instances
    if objects is None or objects.ids is None:
        raise ValueError(f"{video}, frame {frame.index}: re-identification trains on objects with ids")
    if objects.ignored is not None:
        objects = objects[~objects.ignored]
    assert objects.ids is not None
    return objects.boxes, objects.ids
