"""The published models: what they scored, what they cost, where their checkpoints are.

`table.json` holds facts of the published model zoos; the names are those of the published configs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class ZooRow:
    """One published result."""

    config: str  # the published config's name
    method: str
    task: str  # det, instance-seg, rpn, vid, vis, cls
    dataset: str
    backbone: str | None = None
    schedule: str | None = None
    variant: str | None = None
    metrics: dict[str, float] = field(default_factory=dict, hash=False)  # as box_ap, mask_ap, ap50, ar1000
    mem_gb: float | None = None  # of a training GPU
    fps: float | None = None  # as published, on its authors' GPU
    checkpoint: str | None = None  # URL
    source: str | None = None  # of the figures, where they are not of this very config: "paper"

    @property
    def name(self) -> str:
        """The config's name here: other characters than letters, digits and `_` become `_`."""
        return re.sub(r"\W", "_", self.config)


@cache
def zoo_table() -> tuple[ZooRow, ...]:
    """All rows, in the order they were published."""
    text = (resources.files(__name__) / "table.json").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return tuple(ZooRow(**row) for row in rows)


def zoo_rows(
    task: str | None = None, method: str | None = None, *, where: Callable[[ZooRow], bool] | None = None
) -> list[ZooRow]:
    """The rows of a task, of methods or configs that contain `method` (any case), or that fit a predicate."""

    def fits(row: ZooRow) -> bool:
        text = f"{row.method} {row.config}".lower()
        return (
            (task is None or row.task == task)
            and (method is None or method.lower() in text)
            and (where is None or where(row))
        )

    return [row for row in zoo_table() if fits(row)]


def published_checkpoint(name: str) -> str:
    """The URL of a config's published checkpoint.

    Raises:
        KeyError: the table has no row of this name, or one without a checkpoint.
    """
    wanted = re.sub(r"\W", "_", name.removesuffix(".py"))
    rows = [row for row in zoo_table() if row.name == wanted]
    for row in rows:
        if row.checkpoint is not None:
            return row.checkpoint
    reason = "its row has no checkpoint" if rows else "it is not in the table"
    raise KeyError(f"no published checkpoint of '{name}': {reason}")
