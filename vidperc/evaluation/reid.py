"""Re-identification scored by retrieval: does every crop find those of its own identity first?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..structures import Frame, Instances, Video
from .evaluators import Evaluator


class Embeds(Protocol):
    """A sequence model that adds embeddings to the given detections of a frame."""

    def inference(self) -> AbstractContextManager[None]: ...
    def step(self, frame: Frame, state: Any) -> Instances | None: ...


def retrieval_scores(embeddings: NDArray[np.floating], identities: NDArray[np.integer]) -> dict[str, float]:
    """Rank-1, rank-5 and mean average precision: each crop asks all others, nearest first (Euclidean).

    Crops that are alone of their identity ask nothing, but are found by others.

    Args:
        embeddings: (N, D).
        identities: (N,).

    Raises:
        ValueError: no identity has two crops.
    """
    asking = (identities[:, None] == identities).sum(1) > 1
    if not asking.any():
        raise ValueError("retrieval needs an identity that is seen twice")
    points = np.asarray(embeddings, np.float64)
    squared = np.square(points).sum(1)
    distance = squared[:, None] + squared - 2.0 * points @ points.T  # (N, N)
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")[asking, :-1]  # itself comes last
    found = identities[order] == identities[asking, None]  # (Q, N - 1)
    precision = found.cumsum(1) / np.arange(1, found.shape[1] + 1)
    average = (precision * found).sum(1) / found.sum(1)
    return {
        "rank1": float(found[:, 0].mean()),
        "rank5": float(found[:, :5].any(1).mean()),
        "mAP": float(average.mean()),
    }


def embed_truth(
    model: Embeds, video: Video, stride: int = 10, min_visibility: float = 0.3
) -> Iterator[tuple[Instances | None, Instances]]:
    """The objects of every `stride`-th frame that are seen well, and the same with their embeddings."""
    with model.inference():
        for frame in video:
            objects = frame.instances
            if frame.index % stride or objects is None or not len(objects):
                continue
            seen = torch.ones(len(objects), dtype=torch.bool)
            if objects.ignored is not None:
                seen &= ~objects.ignored
            if objects.visibilities is not None:
                seen &= objects.visibilities >= min_visibility
            objects = objects[seen]
            predicted = model.step(replace(frame, detections=objects), None)
            assert predicted is not None
            yield objects, predicted


class RetrievalEvaluator(Evaluator):
    """`retrieval_scores` over the crops of all videos; ids are those of their video."""

    def __init__(self) -> None:
        self.embeddings: list[NDArray[np.floating]] = []
        self.identities: list[NDArray[np.integer]] = []
        self.count = 0  # identities so far

    def process(
        self, video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None] | None = None
    ) -> None:
        """Take in one video: `predictions` with ids and embeddings.

        Raises:
            ValueError: they have none.
        """
        ids = []
        for item in predictions:
            if item.embeddings is None or item.ids is None:
                raise ValueError(f"{video}: retrieval is scored on objects with ids and embeddings")
            self.embeddings.append(item.embeddings.float().cpu().numpy())
            ids.append(item.ids.cpu().numpy())
        if ids:
            unique, places = np.unique(np.concatenate(ids), return_inverse=True)
            self.identities.append(places + self.count)
            self.count += len(unique)

    def evaluate(self) -> dict[str, float]:
        if not self.embeddings:
            raise ValueError("nothing was embedded")
        return retrieval_scores(np.concatenate(self.embeddings), np.concatenate(self.identities))
