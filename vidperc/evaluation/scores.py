"""MOTScores: what multi-object tracking evaluation gives, per sequence, class and over all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.table import Table

from .metrics.clear import ClearCounts, clear_counts
from .metrics.hota import HOTACounts, hota_counts
from .metrics.identity import IdentityCounts, identity_counts
from .metrics.sequence import MOTSequence

COMBINED = "COMBINED"
COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "FP", "FN", "IDSW")  # of the table; the json has all


RATIOS = {
    *("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr", "OWTA", "IDF1", "IDP", "IDR"),
    *("MOTA", "MOTP", "MODA", "MOTAL", "sMOTA", "Recall", "Precision"),
}  # shown in percent


@dataclass(frozen=True, slots=True)
class MOTCounts:
    """All that the metrics count. Counts of sequences, or of classes, add up to those of their union."""

    clear: ClearCounts
    identity: IdentityCounts
    hota: HOTACounts
    boxes: int = 0  # of the ground truth
    objects: int = 0
    tracks: int = 0

    @classmethod
    def of(cls, sequence: MOTSequence) -> MOTCounts:
        """The counts of one sequence."""
        return cls(
            clear=clear_counts(sequence),
            identity=identity_counts(sequence),
            hota=hota_counts(sequence),
            boxes=sequence.num_truth,
            objects=sequence.num_truth_ids,
            tracks=sequence.num_prediction_ids,
        )

    def __add__(self, other: MOTCounts) -> MOTCounts:
        return MOTCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def scores(self) -> dict[str, float]:
        """Every metric by name; ratios are fractions, not percent."""
        return {
            **self.hota.scores(),
            **self.clear.scores(),
            **self.identity.scores(),
            "GT": self.boxes,
            "GT_IDs": self.objects,
            "IDs": self.tracks,
            "Frames": self.clear.frames,
        }


@dataclass(frozen=True, slots=True)
class MOTScores(Mapping[str, dict[str, float]]):
    """Scores by sequence name and 'COMBINED': `scores["COMBINED"]["HOTA"]`. Ratios are fractions.

    Where several classes are scored, the rows are those of all classes taken together (counts summed),
    `classes` has the same per class, and `class_average` the mean over the classes that occur.
    """

    counts: dict[str, MOTCounts]
    classes: dict[str, MOTScores] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)  # counts of several classes summed

    def __getitem__(self, name: str) -> dict[str, float]:
        return (add(self.counts.values()) if name == COMBINED else self.counts[name]).scores()

    def __iter__(self) -> Iterator[str]:
        yield from self.counts
        yield COMBINED

    def __len__(self) -> int:
        return len(self.counts) + 1

    @property
    def combined(self) -> dict[str, float]:
        """The scores over all sequences, from the summed counts."""
        return self[COMBINED]

    @property
    def class_average(self) -> dict[str, float]:
        """Each score averaged over the classes that have ground truth or predictions."""
        rows = [scores.combined for scores in self.classes.values()]
        rows = [row for row in rows if row["GT"] or row["IDs"]]
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}

    def curves(self, name: str = COMBINED) -> dict[str, list[float]]:
        """HOTA's scores of a sequence at each of its 19 thresholds."""
        counts = add(self.counts.values()) if name == COMBINED else self.counts[name]
        return {key: [float(value) for value in curve] for key, curve in counts.hota.curves().items()}

    def table(self, columns: Iterable[str] = COLUMNS, title: str | None = None) -> Table:
        """The scores as a rich table: fractions in percent, one row per sequence and class."""
        columns = list(columns)
        table = Table(title=title)
        table.add_column("sequence", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for name, row in self._rows():
            style = "bold" if name == COMBINED else None
            table.add_row(name, *(_cell(column, row[column]) for column in columns), style=style)
        return table

    def _rows(self) -> Iterator[tuple[str, dict[str, float]]]:
        yield from ((name, self[name]) for name in self.counts)
        yield from ((f"class {name}", scores.combined) for name, scores in self.classes.items())
        yield from ((f"group {name}", row) for name, row in self.groups.items())
        if self.classes:
            yield "class average", self.class_average
        if len(self.counts) != 1 or self.classes:
            yield COMBINED, self.combined

    def as_dict(self) -> dict[str, object]:
        """Everything as plain dictionaries, lists and numbers."""
        out: dict[str, object] = {
            "scores": {name: self[name] for name in self},
            "curves": {name: self.curves(name) for name in self},
        }
        if self.classes:
            out["classes"] = {name: scores.as_dict() for name, scores in self.classes.items()}
            out["groups"] = self.groups
            out["class_average"] = self.class_average
        return out

    def to_json(self, path: str | Path | None = None) -> str:
        """The scores as json text, also written to `path` where given."""
        text = json.dumps(self.as_dict(), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text


def add(counts: Iterable[MOTCounts]) -> MOTCounts:
    """The sum of at least one."""
    first, *others = counts
    for other in others:
        first = first + other
    return first


def pool(counts: Iterable[MOTCounts]) -> MOTCounts:
    """The sum over classes of one sequence, whose frames are counted once."""
    counts = list(counts)
    total = add(counts)
    return replace(total, clear=replace(total.clear, frames=max(count.clear.frames for count in counts)))


def scores_of(
    sequences: Mapping[str, Mapping[str, MOTCounts]], groups: Mapping[str, tuple[str, ...]] | None = None
) -> MOTScores:
    """Scores from the counts of each sequence and class.

    Raises:
        ValueError: no sequences.
    """
    if not sequences:
        raise ValueError("no sequences to evaluate")
    pooled = {name: pool(by_class.values()) for name, by_class in sequences.items()}
    names = list(dict.fromkeys(key for by_class in sequences.values() for key in by_class))
    if len(names) == 1:
        return MOTScores(pooled)
    classes = {
        key: MOTScores({name: by_class[key] for name, by_class in sequences.items() if key in by_class})
        for key in names
    }
    grouped = {
        group: add(pool(by_class[key] for key in members) for by_class in sequences.values()).scores()
        for group, members in (groups or {}).items()
        if all(key in names for key in members)
    }
    return MOTScores(pooled, classes, grouped)


def _cell(column: str, value: float) -> str:
    if column in RATIOS:
        return f"{100 * value:.2f}"
    return f"{value:.2f}" if column == "FAR" else f"{value:.0f}"
