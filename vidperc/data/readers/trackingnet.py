"""TrackingNet (https://arxiv.org/abs/1803.10794): `TRAIN_k/frames/NAME/*.jpg`, `TRAIN_k/anno/NAME.txt`, and `TEST`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_table, sot_record


def read_trackingnet(
    root: str | Path, split: str = "test", chunks: Sequence[int] = tuple(range(12))
) -> list[VideoRecord]:
    """Videos of a split; of the test videos the first box is known only.

    Args:
        root: folder of the benchmark.
        split: "train" or "test".
        chunks: which of the training set's twelve parts; those that are not there are left out.

    Raises:
        DataError: a missing or broken file, or none of the parts.
    """
    if split not in ("train", "test"):
        raise DataError(f"TrackingNet split '{split}': expected train or test")
    base = folder(root)
    wanted = [base / "TEST"] if split == "test" else [base / f"TRAIN_{chunk}" for chunk in chunks]
    there = [path for path in wanted if path.is_dir()]
    if not there:
        raise DataError(f"{base}: none of {', '.join(path.name for path in wanted)}")
    return [
        sot_record(truth.stem, pictures(part / "frames" / truth.stem), read_table(truth, (4,)), part=part.name)
        for part in there
        for truth in sorted(folder(part, "anno").glob("*.txt"))
    ]
