"""MOTSequence: what the multi-object tracking metrics see of one sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .matching import Pairs


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows of a `MOTSequence` as they came, in its order; no metric needs them, but pictures of errors do."""

    truth_boxes: np.ndarray  # (G, 4) xyxy
    truth_ids: np.ndarray  # (G,)
    prediction_boxes: np.ndarray  # (P, 4) xyxy
    prediction_ids: np.ndarray  # (P,)


@dataclass(frozen=True, slots=True)
class MOTSequence:
    """Ground truth and predictions of one sequence as flat arrays sorted by frame; ids count from 0 without gaps."""

    length: int  # number of frames
    truth_frames: np.ndarray  # (G,) int64
    truth_ids: np.ndarray  # (G,) int64 in [0, num_truth_ids)
    prediction_frames: np.ndarray  # (P,) int64
    prediction_ids: np.ndarray  # (P,) int64 in [0, num_prediction_ids)
    pairs: Pairs
    num_truth_ids: int
    num_prediction_ids: int
    tracks: np.ndarray  # (M,) int64, for each pair the row of `track_pairs` with its two ids
    track_pairs: np.ndarray  # (K, 2) int64, every pair of ids that overlaps in some frame
    rows: ScoredRows | None = None

    @classmethod
    def build(
        cls,
        truth_frames: np.ndarray,
        truth_ids: np.ndarray,
        prediction_frames: np.ndarray,
        prediction_ids: np.ndarray,
        pairs: Pairs,
        length: int,
    ) -> MOTSequence:
        """From any integer ids; frames are sorted, ids unique within a frame."""
        truth_names, truth = np.unique(truth_ids, return_inverse=True)
        prediction_names, prediction = np.unique(prediction_ids, return_inverse=True)
        n = max(len(prediction_names), 1)
        keys, tracks = np.unique(truth[pairs.truth] * n + prediction[pairs.prediction], return_inverse=True)
        return cls(
            length=length,
            truth_frames=truth_frames,
            truth_ids=truth,
            prediction_frames=prediction_frames,
            prediction_ids=prediction,
            pairs=pairs,
            num_truth_ids=len(truth_names),
            num_prediction_ids=len(prediction_names),
            tracks=tracks,
            track_pairs=np.stack([keys // n, keys % n], 1),
        )

    @property
    def num_truth(self) -> int:
        """Number of ground truth boxes."""
        return len(self.truth_frames)

    @property
    def num_predictions(self) -> int:
        """Number of predicted boxes."""
        return len(self.prediction_frames)

    def truth_lengths(self) -> np.ndarray:
        """(num_truth_ids,) number of boxes of each object."""
        return np.bincount(self.truth_ids, minlength=self.num_truth_ids)

    def prediction_lengths(self) -> np.ndarray:
        """(num_prediction_ids,) number of boxes of each predicted track."""
        return np.bincount(self.prediction_ids, minlength=self.num_prediction_ids)
