"""Search for a tracker's settings on given detections: association is cheap, so many can be tried."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from .engine.mot import MOTRecord, given_sequences
from .evaluation import evaluate_mot
from .evaluation.tracks import Tracks
from .models import load

Settings = dict[str, Any]
COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "FP", "FN")


@dataclass(frozen=True)
class Range:
    """Every number from `low` to `high`; whole ones where both are."""

    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return generator.randint(self.low, self.high)
        return round(generator.uniform(self.low, self.high), 4)


Space = Mapping[str, "Range | Sequence[Any]"]  # argument of the tracker -> what to try


@dataclass(frozen=True)
class Trial:
    """Settings and what they scored over all sequences."""

    settings: Settings
    scores: dict[str, float]


def grid(space: Space) -> Iterator[Settings]:
    """Every combination.

    Raises:
        ValueError: an argument with a range, which has no end.
    """
    for name, values in space.items():
        if isinstance(values, Range):
            raise ValueError(f"{name}: a grid needs values, not the range {values.low} to {values.high}")
    lists = [list(values) for values in space.values() if not isinstance(values, Range)]
    for values in itertools.product(*lists):
        yield dict(zip(space, values, strict=True))


def draws(space: Space, count: int, seed: int = 0) -> Iterator[Settings]:
    """`count` random combinations; the first ones are the same whatever the count."""
    for trial in range(count):
        generator = random.Random(f"{seed}/{trial}")
        yield {
            name: values.draw(generator) if isinstance(values, Range) else generator.choice(list(values))
            for name, values in space.items()
        }


def tune(
    tracker: str,
    candidates: Sequence[Settings],
    ground_truth: str | Path,
    detections: str | Path | None = None,
    *,
    out: str | Path,
    workers: int = 1,
    progress: Callable[[Trial, int, int], None] | None = None,
) -> list[Trial]:
    """Score settings of a tracker; those that `out` has already are not tried again.

    Args:
        tracker: name of a config that tracks given detections.
        candidates: settings to try, such as `grid` and `draws` give.
        ground_truth: a folder of MOTChallenge sequences, or a gt.txt.
        detections: the det.txt for a gt.txt; folders bring their own.
        out: json lines, one per trial, written as soon as it is scored.
        workers: processes.
        progress: called with each new trial, how many are done and how many there are.

    Returns:
        The trials of all candidates, in their order.

    Raises:
        FileNotFoundError, ValueError: the data. AttributeError: an argument that the tracker does not have.
    """
    out, source = Path(out), (tracker, str(ground_truth), None if detections is None else str(detections))
    done = {_key(trial.settings): trial for trial in _read(out, source)}
    wanted = {_key(settings): settings for settings in candidates}
    missing = [settings for key, settings in wanted.items() if key not in done]
    read_sequences(source[1], source[2])  # so that bad data is told once, by this process
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for trial in _scored(source, missing, workers):
            file.write(json.dumps({"source": source, "settings": trial.settings, "scores": trial.scores}) + "\n")
            file.flush()
            done[_key(trial.settings)] = trial
            if progress is not None:
                progress(trial, sum(key in done for key in wanted), len(wanted))
    return [done[key] for key in wanted]


def _scored(source: tuple[str, str, str | None], settings: list[Settings], workers: int) -> Iterator[Trial]:
    """The trials, as they are ready."""
    if workers <= 1:
        yield from (score(*source, candidate) for candidate in settings)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures: list[Future[Trial]] = [pool.submit(score, *source, candidate) for candidate in settings]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def score(tracker: str, ground_truth: str, detections: str | None, settings: Settings) -> Trial:
    """One trial."""
    model = load(tracker, **{f"model.tracker.{name}": value for name, value in settings.items()})
    truths, found = {}, {}
    for record in read_sequences(ground_truth, detections):
        assert record.truth is not None
        truths[record.name] = record.truth
        found[record.name] = Tracks.from_instances(list(model.stream(record.video)), record.name, "tracks")
        found[record.name].labels = None
    scores = evaluate_mot(truths, found).combined
    return Trial(settings, {name: float(scores[name]) for name in COLUMNS})


@cache
def read_sequences(ground_truth: str, detections: str | None) -> tuple[MOTRecord, ...]:
    """The sequences, read once per process.

    Raises:
        ValueError: a sequence without ground truth, or a gt.txt without a det.txt.
    """
    records = tuple(given_sequences(ground_truth, detections))
    for record in records:
        if record.truth is None:
            raise ValueError(f"{record.name}: no ground truth to score with")
    return records


def _read(path: Path, source: tuple[str, str, str | None]) -> Iterator[Trial]:
    """The trials of an earlier run on the same data; a last line cut off by a kill is removed.

    Raises:
        ValueError: trials of another tracker or other data, or a broken line, named.
    """
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        path.write_text(text, encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
            trial, before = Trial(row["settings"], row["scores"]), tuple(row["source"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: no trial ({error})") from error
        if before != source:
            raise ValueError(f"{path}, line {number}: a trial of {before}, not of {source}; choose another file")
        yield trial


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)
