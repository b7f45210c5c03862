"""UAV123 (Mueller et al., ECCV 2016): `data_seq/UAV123/VIDEO/*.jpg`, `anno/UAV123/NAME.txt`, `configSeqs.m`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_table, sot_record

ENTRY = re.compile(r"struct\(([^)]*'startFrame'[^)]*)\)")


def read_uav123(root: str | Path, names: Sequence[str] | None = None) -> list[VideoRecord]:
    """Sequences of UAV123; several may be parts of one video, as `configSeqs.m` says.

    Frames whose truth is NaN are those the object is absent from.

    Raises:
        DataError: a missing or broken file, or a sequence whose frames are not known.
    """
    base = folder(root)
    truths = {path.stem: path for path in sorted(folder(base, "anno/UAV123").glob("*.txt"))}
    parts = _parts(base / "configSeqs.m")
    videos = folder(base, "data_seq/UAV123")
    records = []
    for name in truths if names is None else names:
        if name not in truths:
            raise DataError(f"{base}: no truth of '{name}' in anno/UAV123")
        video, first, last = parts.get(name, (name, 1, None))
        if not (videos / video).is_dir():
            raise DataError(f"{videos / video}: no such folder, and configSeqs.m does not say where '{name}' is")
        frames = pictures(videos / video)[first - 1 : last]
        boxes = read_table(truths[name], (4,))
        tags = base / "anno/UAV123/att" / f"{name}.txt"
        flags = read_table(tags).reshape(-1).astype(int).tolist() if tags.is_file() else []
        records.append(sot_record(name, frames, boxes, absent=np.isnan(boxes).any(1), tags=flags))
    return records


def _parts(path: Path) -> dict[str, tuple[str, int, int | None]]:
    """{sequence: (video, first frame, last frame)} from the benchmark's own list, frames counted from 1.

    The list also has the sequences of UAV123 at 10 Hz and of UAV20L, in part by the same names.
    """
    if not path.is_file():
        return {}
    parts: dict[str, tuple[str, int, int | None]] = {}
    for entry in ENTRY.findall(path.read_text(encoding="utf-8", errors="replace")):
        name = re.search(r"'name'\s*,\s*'([^']+)'", entry)
        video = re.search(r"'path'\s*,\s*'([^']+)'", entry)
        first = re.search(r"'startFrame'\s*,\s*(\d+)", entry)
        last = re.search(r"'endFrame'\s*,\s*(\d+)", entry)
        if name and video and first and last:
            folders = re.split(r"[\\/]+", video[1].strip("\\/"))
            if name[1] not in parts and "UAV123_10fps" not in folders:
                parts[name[1]] = (folders[-1], int(first[1]), int(last[1]))
    return parts
