"""Checkpoints that ship with the package: a run's best weights in half precision, with what made and scored them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import fiddle as fdl
import torch
from fiddle.experimental import serialization

from .checkpoint import CheckpointError, read_checkpoint
from .checkpoint.load import load_checkpoint
from .checkpoint.save import write_checkpoint
from .checkpoint.sources import SHIPPED
from .engine.log import read_log
from .engine.test import Progress, test
from .models import prepare

LARGEST = 3 * 10**6  # bytes


def ship(run: str | Path, name: str, out: str | Path = SHIPPED, progress: Progress | None = None) -> Path:
    """Write `NAME.pt`, the weights of a run's `best.pt` as float16, and `NAME.json` beside it.

    The JSON holds the command, seed and versions of the run, its length and time, and the scores of the
    written file, loaded again, on the test data of the run's resolved config.

    Raises:
        FileNotFoundError: no such run. ValueError: it is of another config, or the config has no test data.
        CheckpointError: the file would be larger than 3 MB, or does not fit the config.
    """
    run, out = Path(run), Path(out)
    command = json.loads((run / "command.json").read_text(encoding="utf-8"))
    if command["name"] != name:
        raise ValueError(f"{run} is a run of {command['name']}, not of {name}")
    config = serialization.load_json((run / "config.json").read_text(encoding="utf-8"))
    if config.test_data is None:
        raise ValueError(f"'{name}' has no test data to score it on")
    content = read_checkpoint(run / "best.pt")
    small = {key: value.half() if value.is_floating_point() else value for key, value in content["state_dict"].items()}
    meta = {"config": name, "classes": list(config.classes), "iteration": content["meta"]["iteration"]}
    path = write_checkpoint(out / f"{name}.pt", small, meta)
    if path.stat().st_size > LARGEST:
        size = path.stat().st_size
        path.unlink()
        raise CheckpointError(f"{path} would have {size} bytes, more than {LARGEST}")
    model = fdl.build(config.model)
    load_checkpoint(model, path)
    scores = test(prepare(model), fdl.build(config.test_data), progress=progress)
    facts = {
        "command": _command_line(command["arguments"]),
        **{key: value for key, value in command.items() if key != "arguments"},
        "seed": content["meta"]["seed"], **_length(run, config.test_data.metric),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "scores": {key: round(value, 4) for key, value in scores.items()}, "threads": torch.get_num_threads(),
    }  # fmt: skip
    (out / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


def _command_line(arguments: list[str]) -> str:
    """What was typed, as a call of tools/train.py, without where the run was kept."""
    words = [word for word in arguments if word != "train"]
    kept = [word for i, word in enumerate(words) if word != "--out" and (i == 0 or words[i - 1] != "--out")]
    return " ".join(["python tools/train.py", *kept])


def _length(run: Path, metric: str) -> dict[str, Any]:
    """Steps of a run and the seconds they took, by its log, and the curve of its scores."""
    rows = read_log(run)
    steps = [row for row in rows if row["kind"] == "train"]
    if not steps:
        return {}
    mean = sum(row["step_time"] for row in steps) / len(steps)
    total = steps[-1]["iteration"] + 1
    curve = [{key: row[key] for key in ("iteration", metric) if key in row} for row in rows if row["kind"] == "test"]
    return {"steps": total, "seconds_of_steps": round(mean * total), "validation": curve}
