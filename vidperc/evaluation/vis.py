"""Video instance segmentation: average precision over spatio-temporal IoU, as YouTube-VIS and OVIS define it.

A track's IoU is summed over the frames: shared pixels of all frames over covered pixels of all frames
(https://arxiv.org/abs/1905.04804, section 4). The rest is COCO's: ten thresholds, 101 recalls.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from ..structures import Instances
from ..structures.masks import RLE, encode_masks, pairwise_intersection, rle_area, rle_edges
from .evaluators import Evaluator

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
# Mean pixels over the frames where a track is seen; not COCO's limits.
AREAS = {"all": (0.0, 1e10), "s": (0.0, 128.0**2), "m": (128.0**2, 256.0**2), "l": (256.0**2, 1e10)}
MOST = (1, 10, 100)  # tracks of a video and category


@dataclass(slots=True)
class MaskTrack:
    """One object over the T frames of a video."""

    label: int
    masks: list[RLE | None]  # (T,) None where it is not seen
    score: float = 1.0
    ignored: bool = False  # a crowd
    area: float | None = None  # mean over the frames where it is seen; measured where None

    def mean_area(self) -> float:
        """Mean pixels over the frames where it is seen."""
        if self.area is not None:
            return self.area
        areas = [area for mask in self.masks if mask is not None and (area := rle_area(mask))]
        return float(np.mean(areas)) if areas else 0.0


@dataclass(slots=True)
class FrameMasks:
    """Instances of one frame with their masks as RLE, which take a thousandth of the memory."""

    ids: list[int]
    labels: list[int]
    scores: list[float]
    masks: list[RLE]
    ignored: list[bool]

    def to(self, device: Any) -> FrameMasks:
        """Itself: there are no tensors."""
        return self

    @staticmethod
    def of(objects: Instances, where: str = "frame") -> FrameMasks:
        """From instances with masks.

        Raises:
            ValueError: masks, ids or labels are not set.
        """
        if objects.masks is None or objects.ids is None or objects.labels is None:
            raise ValueError(f"{where}: video instance segmentation needs masks, ids and labels")
        scores = [1.0] * len(objects) if objects.scores is None else objects.scores.tolist()
        ignored = [False] * len(objects) if objects.ignored is None else objects.ignored.tolist()
        return FrameMasks(objects.ids.tolist(), objects.labels.tolist(), scores, _encode(objects), ignored)


def _encode(objects: Instances) -> list[RLE]:
    """One RLE per object; several results of one object share theirs."""
    assert objects.masks is not None
    masks = objects.masks.cpu().numpy()
    known: dict[tuple[float, ...], list[int]] = defaultdict(list)
    out: list[RLE] = []
    for row, box in enumerate(objects.boxes.tolist()):
        twin = next((other for other in known[tuple(box)] if np.array_equal(masks[other], masks[row])), None)
        out.append(encode_masks(masks[row : row + 1])[0] if twin is None else out[twin])
        known[tuple(box)].append(row)
    return out


def tracks_of(frames: Sequence[Instances | FrameMasks | None], where: str = "video") -> list[MaskTrack]:
    """The tracks of a video from its frames, in order of appearance.

    Label and score are those last given; ignored is what is ignored wherever it is seen.
    """
    tracks: dict[int, MaskTrack] = {}
    for t, frame in enumerate(frames):
        if frame is None:
            continue
        objects = FrameMasks.of(frame, f"{where}, frame {t}") if isinstance(frame, Instances) else frame
        rows = zip(objects.ids, objects.labels, objects.scores, objects.masks, objects.ignored)
        for number, label, score, mask, ignored in rows:
            track = tracks.setdefault(number, MaskTrack(label, [None] * len(frames), ignored=ignored))
            track.label, track.score, track.masks[t] = label, score, mask
            track.ignored = track.ignored and ignored
    return list(tracks.values())


def track_iou(a: Sequence[MaskTrack], b: Sequence[MaskTrack], where: str = "video") -> np.ndarray:
    """Spatio-temporal IoU of all pairs, (len(a), len(b)).

    Raises:
        ValueError: tracks of different lengths, or masks of different sizes in a frame.
    """
    shared, area_a, area_b = np.zeros((len(a), len(b))), np.zeros(len(a)), np.zeros(len(b))
    lengths = {len(track.masks) for track in (*a, *b)}
    if len(lengths) > 1:
        raise ValueError(f"{where}: tracks of {' and '.join(map(str, sorted(lengths)))} frames")
    for t in range(max(lengths, default=0)):
        rows, of_a = _edges(a, t)
        columns, of_b = _edges(b, t)
        sizes = {tuple(m["size"]) for track in (*a, *b) if (m := track.masks[t]) is not None}
        if len(sizes) > 1:
            raise ValueError(f"{where}, frame {t}: masks of sizes {' and '.join(map(str, sorted(sizes)))}")
        area_a[rows] += [np.diff(edges)[::2].sum() for edges in of_a]
        area_b[columns] += [np.diff(edges)[::2].sum() for edges in of_b]
        shared[np.ix_(rows, columns)] += pairwise_intersection(of_a, of_b)
    union = area_a[:, None] + area_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _edges(tracks: Sequence[MaskTrack], t: int) -> tuple[list[int], list[np.ndarray]]:
    """Rows of the tracks seen in a frame, and the edges of their masks."""
    seen = [(row, mask) for row, track in enumerate(tracks) if (mask := track.masks[t]) is not None]
    return [row for row, _ in seen], [rle_edges(mask) for _, mask in seen]


@dataclass(slots=True)
class _Matches:
    """Of one video, category and range of areas: the detections in order of their scores."""

    scores: np.ndarray  # (D,)
    matched: np.ndarray  # (10, D) bool
    ignored: np.ndarray  # (10, D) bool
    truths: int  # not ignored


@dataclass
class VISScores:
    """Fractions; NaN where nothing counts.

    Args:
        values: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl.
        per_class: AP by label.
        precision: (10 thresholds, 101 recalls, classes, areas, 3 numbers of tracks), -1 where there is no truth.
        recall: (10, classes, areas, 3).
        labels: of the classes.
        names: of the labels, where they are known.
    """

    values: dict[str, float]
    per_class: dict[int, float]
    precision: np.ndarray
    recall: np.ndarray
    labels: list[int] = field(default_factory=list)
    names: tuple[str, ...] | None = None

    def name(self, label: int) -> str:
        """Of a class."""
        return str(label) if self.names is None else self.names[label]

    def table(self) -> Table:
        """The scores and each class's AP, in percent."""
        table = Table("score", "value")
        rows = [*self.values.items(), *((f"AP {self.name(label)}", value) for label, value in self.per_class.items())]
        for name, value in rows:
            table.add_row(name, "-" if np.isnan(value) else f"{100 * value:.1f}")
        return table

    def to_json(self, path: str | Path | None = None) -> str:
        """The scores as JSON text, null where nothing counts; also written to `path` where given."""

        def known(values: dict[str, float]) -> dict[str, float | None]:
            return {name: None if np.isnan(value) else value for name, value in values.items()}

        classes = {self.name(label): value for label, value in self.per_class.items()}
        text = json.dumps({"scores": known(self.values), "AP_per_class": known(classes)}, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text


class VISEvaluator(Evaluator):
    """Counts each video when it is processed; no masks are kept."""

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self.classes = None if classes is None else tuple(classes)
        self._matches: dict[tuple[int, str], list[_Matches]] = defaultdict(list)
        self._labels: set[int] = set()
        self._videos = 0

    def process(  # type: ignore[override]
        self,
        video: str,
        predictions: Sequence[Instances | FrameMasks],
        truths: Sequence[Instances | FrameMasks | None],
    ) -> None:
        """Predictions and truth of all frames of a video.

        Raises:
            ValueError: different numbers of frames, sizes, or objects without masks or ids.
        """
        if len(predictions) != len(truths):
            raise ValueError(f"{video}: {len(predictions)} frames predicted, {len(truths)} annotated")
        self.add(video, tracks_of(predictions, video), tracks_of(truths, video))

    def add(self, video: str, predictions: Sequence[MaskTrack], truths: Sequence[MaskTrack]) -> None:
        """Predicted and true tracks of a video.

        Raises:
            ValueError: as `track_iou`.
        """
        self._videos += 1
        self._labels |= {track.label for track in truths}
        for label in sorted({track.label for track in (*predictions, *truths)}):
            wanted = [track for track in truths if track.label == label]
            found = sorted((track for track in predictions if track.label == label), key=lambda track: -track.score)
            found = found[: MOST[-1]]
            overlap = track_iou(found, wanted, video)
            for area in AREAS:
                self._matches[label, area].append(_match(found, wanted, overlap, AREAS[area]))

    def evaluate(self) -> dict[str, float]:
        return self.scores().values

    def scores(self) -> VISScores:
        """Over all videos so far, in the order in which they were processed.

        Raises:
            ValueError: there was none.
        """
        if not self._videos:
            raise ValueError("no video was processed")
        labels = list(range(len(self.classes))) if self.classes is not None else sorted(self._labels)
        shape = (len(labels), len(AREAS), len(MOST))
        precision = np.full((len(THRESHOLDS), len(RECALLS), *shape), -1.0)
        recall = np.full((len(THRESHOLDS), *shape), -1.0)
        for k, label in enumerate(labels):
            for a, area in enumerate(AREAS):
                for m, most in enumerate(MOST):
                    curve = _curves(self._matches[label, area], most)
                    if curve is not None:
                        precision[:, :, k, a, m], recall[:, k, a, m] = curve
        per_class = {label: _mean(precision[:, :, k, 0, -1]) for k, label in enumerate(labels)}
        return VISScores(_table(precision, recall), per_class, precision, recall, labels, self.classes)


def _match(
    found: Sequence[MaskTrack], wanted: Sequence[MaskTrack], overlap: np.ndarray, limits: tuple[float, float]
) -> _Matches:
    """Each detection, best first, takes the free truth that it overlaps most; ignored ones only if no other is left."""

    def outside(track: MaskTrack) -> bool:
        return not limits[0] <= track.mean_area() <= limits[1]

    ignored = np.asarray([track.ignored or outside(track) for track in wanted], bool)
    order = np.argsort(ignored, kind="stable")
    ignored, overlap = ignored[order], overlap[:, order]
    crowd = np.asarray([wanted[i].ignored for i in order], bool)
    count = len(THRESHOLDS)
    taken = np.zeros((count, len(wanted)), bool)
    matched, skipped = np.zeros((count, len(found)), bool), np.zeros((count, len(found)), bool)
    every = np.arange(count)
    least = np.minimum(THRESHOLDS, 1 - 1e-10)
    for d in range(len(found) if len(wanted) else 0):
        hit = np.zeros(count, bool)
        for group in (~ignored, ignored):
            free = group & (~taken | crowd) & (overlap[d] >= least[:, None]) & ~hit[:, None]
            values = np.where(free, overlap[d], -1.0)
            best = values.shape[1] - 1 - values[:, ::-1].argmax(1)  # the last of equals
            new = free[every, best]
            taken[every[new], best[new]] = True
            skipped[new, d] = ignored[best[new]]
            hit |= new
        matched[:, d] = hit
    far = np.asarray([outside(track) for track in found], bool)
    skipped |= ~matched & far
    return _Matches(np.asarray([track.score for track in found]), matched, skipped, int((~ignored).sum()))


def _curves(videos: Sequence[_Matches], most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision at each recall (10, 101) and the final recall (10,), None where there is no truth."""
    truths = sum(video.truths for video in videos)
    if not truths:
        return None
    scores = np.concatenate([video.scores[:most] for video in videos])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([video.matched[:, :most] for video in videos], axis=1)[:, order]
    ignored = np.concatenate([video.ignored[:, :most] for video in videos], axis=1)[:, order]
    right = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
    wrong = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
    recall = right / truths
    precision = right / np.maximum(right + wrong, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for row in range(len(THRESHOLDS)):
        place = np.searchsorted(recall[row], RECALLS, side="left")
        reached = place < recall.shape[1]
        at[row, reached] = precision[row, place[reached]]
    return at, recall[:, -1] if recall.shape[1] else np.zeros(len(THRESHOLDS))


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else float("nan")


def _table(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    table = {
        "AP": _mean(precision[..., 0, 2]),
        "AP50": _mean(precision[0, ..., 0, 2]),
        "AP75": _mean(precision[5, ..., 0, 2]),
    }
    names = list(AREAS)
    table |= {f"AP{names[a]}": _mean(precision[..., a, 2]) for a in (1, 2, 3)}
    table |= {f"AR{most}": _mean(recall[..., 0, m]) for m, most in enumerate(MOST)}
    return table | {f"AR{names[a]}": _mean(recall[..., a, 2]) for a in (1, 2, 3)}


def final_scores(model: Any, video: Any) -> Iterator[tuple[FrameMasks | None, FrameMasks]]:
    """Test protocol: objects with the scores known at a video's end, masks as RLE; (truth, prediction) per frame."""
    predictions: Iterable[Instances] = model.segment(video)
    for frame, predicted in zip(video, predictions):
        truth = None if frame.instances is None else FrameMasks.of(frame.instances, f"frame {frame.index}")
        yield truth, FrameMasks.of(predicted, f"frame {frame.index}")
