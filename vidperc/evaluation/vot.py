"""The reset-based protocol of the VOT short-term challenges (VOT2015 to VOT2018; Kristan et al., PAMI 2016).

A tracker runs until its region has no overlap with the truth: a failure. Five frames later it is started
anew. Accuracy is the mean overlap, leaving out failures and ten frames after each start; robustness counts
failures; the expected average overlap (EAO) is what a tracker without restarts would reach on average on
videos of typical length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..structures import Instances, Video
from .polygons import box_polygon, polygon_overlap

SKIPPED, STARTED, FAILED = 0, 1, 2
SKIP_FRAMES = 5  # from a failure to the next start
BURN_IN = 10  # frames from a start on that are too easy to count for accuracy
# Lengths of typical videos in each challenge, for the EAO.
TYPICAL_LENGTHS = {"vot2013": (145, 357), "vot2014": (100, 356), "vot2015": (108, 371), "vot2016": (108, 371),
                   "vot2017": (100, 356), "vot2018": (100, 356), "vot2019": (46, 291)}  # fmt: skip
Follow = Callable[[Video], Iterable[Instances]]


@dataclass(slots=True)
class RestartRun:
    """One run over a video. An entry is a region (K, 2) or one of SKIPPED, STARTED, FAILED."""

    regions: list[np.ndarray | int]
    overlaps: np.ndarray  # (T,) with the truth; 0 at failures, NaN where skipped and at starts
    seconds: np.ndarray | None = None  # (T,) that each frame took, with reading; 0 where skipped

    @property
    def failures(self) -> list[int]:
        """The frames of the failures."""
        return [index for index, region in enumerate(self.regions) if is_code(region, FAILED)]

    @property
    def starts(self) -> list[int]:
        """The frames in which the tracker was started."""
        return [index for index, region in enumerate(self.regions) if is_code(region, STARTED)]


def is_code(region: np.ndarray | int, code: int) -> bool:
    """The entry is this code and not a region."""
    return isinstance(region, int) and region == code


def run_with_restarts(
    follow: Follow,
    video: Video,
    truth: np.ndarray,
    start_box: Callable[[np.ndarray], np.ndarray],
    skip: int = SKIP_FRAMES,
) -> RestartRun:
    """Run a tracker over a video, started anew `skip` frames after each failure.

    The tracker knows nothing of this: each start is a slice of the video with a prompt.

    Args:
        follow: gives the results of a video frame by frame; `model.stream` is one.
        video: with random access.
        truth: (T, K, 2) polygons.
        start_box: the xyxy box (4,) that a tracker is started with, from a polygon (K, 2).
        skip: frames from a failure to the next start.

    Raises:
        ValueError: the truth has another length than the video.
    """
    if len(truth) != len(video):
        raise ValueError(f"{video.name}: {len(truth)} regions for {len(video)} frames")
    regions: list[np.ndarray | int] = [SKIPPED] * len(video)
    overlaps, seconds = np.full(len(video), np.nan), np.zeros(len(video))
    start = 0
    while start < len(video):
        part = video[start:]
        assert isinstance(part, Video)
        prompt = np.asarray(start_box(truth[start]), dtype=float)
        end, began = len(video), time.perf_counter()
        for index, result in enumerate(follow(Video(part.source, prompt=prompt.tolist())), start):
            seconds[index], began = time.perf_counter() - began, time.perf_counter()
            if index == start:
                regions[index] = STARTED
                continue
            region = box_polygon(result.boxes[0].double().cpu().numpy())
            overlaps[index] = polygon_overlap(truth[index], region, video.size)
            if overlaps[index] <= 0:
                regions[index], overlaps[index] = FAILED, 0.0
                end = index
                break
            regions[index] = region
        start = end + skip if end < len(video) else end
    return RestartRun(regions, overlaps, seconds)


def accuracy(runs: Mapping[str, Sequence[RestartRun]], burn_in: int = BURN_IN) -> float:
    """Mean of the videos' accuracies, weighted by their lengths.

    That of a video is the mean overlap of the frames that count: not skipped, not failed, `burn_in` frames or more
    after a start; 0 where there is none. Of repetitions it is their mean.
    """
    means = [np.mean([_mean(_counted_overlaps(run, burn_in)) for run in repeats]) for repeats in runs.values()]
    return float(np.average(means, weights=[len(repeats[0].regions) for repeats in runs.values()]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _counted_overlaps(run: RestartRun, burn_in: int) -> np.ndarray:
    counted = np.isfinite(run.overlaps)
    counted[run.failures] = False
    for start in run.starts:
        counted[start : start + burn_in] = False
    return run.overlaps[counted]


def robustness(runs: Mapping[str, Sequence[RestartRun]]) -> float:
    """Failures per hundred frames, as VOT2018 reports it; smaller is better."""
    frames = sum(len(run.regions) for repeats in runs.values() for run in repeats)
    return 100 * sum(len(run.failures) for repeats in runs.values() for run in repeats) / max(frames, 1)


def failures_per_sequence(runs: Mapping[str, Sequence[RestartRun]]) -> float:
    """Mean number of failures per video, of its repetitions' mean."""
    return float(np.mean([np.mean([len(run.failures) for run in repeats]) for repeats in runs.values()]))


def fragments(run: RestartRun) -> list[tuple[np.ndarray, bool]]:
    """The overlaps of a run from each start to the failure or the end, the start's frame first, and if it failed."""
    parts = []
    failures = [*run.failures, None]
    for start, failure in zip(run.starts, failures):
        end = len(run.regions) if failure is None else failure + 1
        parts.append((run.overlaps[start:end], failure is not None))
    return parts


def expected_overlap_curve(runs: Mapping[str, Sequence[RestartRun]]) -> np.ndarray:
    """Expected average overlap by number of frames tracked: entry n is the mean over n frames after a start.

    A fragment that ended in a failure goes on with overlap 0 for ever; one that ended with its video counts
    up to its own length. The frame of the start is not among the n; entry 0 is NaN. Repetitions of a
    video share its weight.
    """
    parts = [
        (overlaps[1:], failed, 1 / len(repeats))
        for repeats in runs.values()
        for run in repeats
        for overlaps, failed in fragments(run)
    ]
    longest = max((len(run.regions) for repeats in runs.values() for run in repeats), default=1) - 1
    totals, weights = np.zeros(longest + 1), np.zeros(longest + 1)
    for overlaps, failed, weight in parts:
        padded = np.zeros(longest)
        padded[: len(overlaps)] = overlaps
        last = longest if failed else len(overlaps)
        totals[1 : last + 1] += weight * padded.cumsum()[:last] / np.arange(1, last + 1)
        weights[1 : last + 1] += weight
    with np.errstate(invalid="ignore"):
        return np.where(weights > 0, totals / weights, np.nan)


def expected_average_overlap(runs: Mapping[str, Sequence[RestartRun]], lengths: tuple[int, int] = (100, 356)) -> float:
    """EAO: the mean of `expected_overlap_curve` over typical `lengths` (both included), as VOT's toolkit has it.

    Raises:
        ValueError: no run reaches into that range.
    """
    curve = expected_overlap_curve(runs)[lengths[0] : lengths[1] + 1]
    if not np.isfinite(curve).any():
        raise ValueError(f"EAO over {lengths[0]} to {lengths[1]} frames: the videos are all shorter")
    return float(np.nanmean(curve))


def evaluate_vot(
    runs: Mapping[str, Sequence[RestartRun]], challenge: str = "vot2018", lengths: tuple[int, int] | None = None
) -> dict[str, float]:
    """Accuracy, robustness, failures and, where a video is longer than the shortest typical one, EAO.

    Args:
        runs: the repetitions by video.
        challenge: a key of TYPICAL_LENGTHS.
        lengths: used instead of the challenge's.
    """
    if not runs:
        raise ValueError("VOT evaluation: no runs")
    scores = {
        "accuracy": accuracy(runs), "robustness": robustness(runs), "failures": failures_per_sequence(runs)
    }  # fmt: skip
    typical = lengths or TYPICAL_LENGTHS[challenge]
    if max(len(run.regions) for repeats in runs.values() for run in repeats) > typical[0]:
        scores["EAO"] = expected_average_overlap(runs, typical)
    return scores
