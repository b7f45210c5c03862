"""Results of single-object tracking as the benchmarks take them: GOT-10k, TrackingNet, LaSOT, VOT.

Everything is checked before anything is written, and a file is there whole or not at all.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..io.whole_files import write_text
from ..structures import VideoRecord

Boxes = Mapping[str, np.ndarray]  # by sequence, (T, 4) xyxy


class ExportError(ValueError):
    """Results that the benchmark would refuse; the message names sequence, frame and expectation."""


def check_boxes(results: Boxes, records: Sequence[VideoRecord]) -> dict[str, np.ndarray]:
    """The results as x y w h, in the order of the records.

    Raises:
        ExportError: a sequence too few or too many, another number of frames, boxes that are not finite or have
            no area, or a first box that is not the given one.
    """
    missing = [record.name for record in records if record.name not in results]
    unknown = sorted(set(results) - {record.name for record in records})
    if missing or unknown:
        raise ExportError(
            f"{len(missing)} sequences without results {missing[:5]}, {len(unknown)} unknown {unknown[:5]}"
        )
    return {record.name: _checked(record, np.asarray(results[record.name], dtype=float)) for record in records}


def _checked(record: VideoRecord, boxes: np.ndarray) -> np.ndarray:
    length = record.length if record.length is not None else len(record.frames or ())
    if boxes.shape != (length, 4):
        raise ExportError(f"{record.name}: expected {length} boxes x1 y1 x2 y2, got {boxes.shape}")
    bad = ~np.isfinite(boxes).all(1)
    if bad.any():
        raise ExportError(f"{record.name}, frame {int(bad.argmax())}: the box is not finite")
    sizes = boxes[:, 2:] - boxes[:, :2]
    flat = (sizes <= 0).any(1)
    if flat.any():
        frame = int(flat.argmax())
        raise ExportError(f"{record.name}, frame {frame}: the box has no area: {boxes[frame].tolist()}")
    first = record.instances.get(0)
    if first is not None and len(first):
        given = first.boxes[0].double().numpy()
        if np.abs(given - boxes[0]).max() > 1:
            raise ExportError(f"{record.name}: the first box is {boxes[0].tolist()}, given was {given.tolist()}")
    return np.concatenate([boxes[:, :2], sizes], 1)


def export_got10k(results: Boxes, times: Boxes, records: Sequence[VideoRecord], path: str | Path) -> Path:
    """A GOT-10k archive: `NAME/NAME_001.txt` with x,y,w,h and `NAME/NAME_time.txt` with seconds per frame.

    Raises:
        ExportError: see `check_boxes`; or `times` (T,) that do not fit.
    """
    files = {}
    for name, boxes in check_boxes(results, records).items():
        seconds = np.asarray(times.get(name, ()), dtype=float)
        if seconds.shape != (len(boxes),) or not (np.isfinite(seconds).all() and (seconds >= 0).all()):
            raise ExportError(f"{name}: expected {len(boxes)} times in seconds, got {seconds.shape}")
        files[f"{name}/{name}_001.txt"] = _lines(boxes, ",")
        files[f"{name}/{name}_time.txt"] = "".join(f"{value:.6f}\n" for value in seconds)
    return _write_archive(files, path)


def export_trackingnet(results: Boxes, records: Sequence[VideoRecord], path: str | Path) -> Path:
    """A TrackingNet archive: `NAME.txt` with x,y,w,h per frame.

    Raises:
        ExportError: see `check_boxes`.
    """
    return _write_archive({f"{name}.txt": _lines(b, ",") for name, b in check_boxes(results, records).items()}, path)


def export_lasot(results: Boxes, records: Sequence[VideoRecord], path: str | Path) -> Path:
    """A LaSOT archive: `NAME.txt` with x,y,w,h per frame.

    Raises:
        ExportError: see `check_boxes`.
    """
    return _write_archive({f"{name}.txt": _lines(b, ",") for name, b in check_boxes(results, records).items()}, path)


def export_vot(
    runs: Mapping[str, Sequence[Sequence[np.ndarray | int]]],
    records: Sequence[VideoRecord],
    path: str | Path,
    experiment: str = "baseline",
    times: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> Path:
    """A VOT result folder: `EXPERIMENT/NAME/NAME_001.txt`, a file per repetition, and `NAME_time.txt`.

    Args:
        runs: by sequence, repetitions of entries per frame: a region (4, 2), or 0 skipped, 1 started, 2 failed.
        records: the sequences.
        path: the tracker's folder, must not have this experiment yet.
        experiment: name of the subfolder.
        times: by sequence, (T,) seconds per frame of each repetition; without them there is no `NAME_time.txt`.

    Raises:
        ExportError: sequences, frames or times that do not fit, a region that is none, an order that cannot be.
        FileExistsError: the experiment is there already.
    """
    missing = [record.name for record in records if not runs.get(record.name)]
    unknown = sorted(set(runs) - {record.name for record in records})
    if missing or unknown:
        raise ExportError(f"{len(missing)} sequences without runs {missing[:5]}, {len(unknown)} unknown {unknown[:5]}")
    files = {
        f"{record.name}/{record.name}_{number:03d}.txt": vot_lines(record, entries)
        for record in records
        for number, entries in enumerate(runs[record.name], 1)
    }
    if times is not None:
        for record in records:
            files[f"{record.name}/{record.name}_time.txt"] = time_lines(
                record, times.get(record.name, ()), len(runs[record.name])
            )
    base = Path(path) / experiment
    if base.exists():
        raise FileExistsError(f"{base} exists already")
    for name, text in files.items():
        write_text(base / name, text)
    return base


def time_lines(record: VideoRecord, times: Sequence[np.ndarray], repetitions: int = 1) -> str:
    """The text of VOT's file of times: a line per frame, with the seconds of each repetition.

    Raises:
        ExportError: another number of repetitions or frames, or times that are negative or not finite.
    """
    length = record.length if record.length is not None else len(record.frames or ())
    table = np.asarray(times, dtype=float)
    if table.shape != (repetitions, length) or not (np.isfinite(table).all() and (table >= 0).all()):
        raise ExportError(f"{record.name}: expected {repetitions} x {length} times in seconds, got {table.shape}")
    return "".join(",".join(f"{value:.6f}" for value in row) + "\n" for row in table.T)


def vot_lines(record: VideoRecord, entries: Sequence[np.ndarray | int]) -> str:
    """The text of one run: a line per frame, a code or a region.

    Raises:
        ExportError: see `export_vot`.
    """
    length = record.length if record.length is not None else len(record.frames or ())
    if len(entries) != length:
        raise ExportError(f"{record.name}: {len(entries)} entries for {length} frames")
    lines, running = [], False
    for frame, entry in enumerate(entries):
        if isinstance(entry, int):
            possible = {1} if frame == 0 else {0, 2} if running else {0, 1}
            if entry not in possible:
                raise ExportError(f"{record.name}, frame {frame}: code {entry} cannot be here")
            running = entry == 1
            lines.append(f"{entry}\n")
            continue
        region = np.asarray(entry, dtype=float)
        if not running or region.shape != (4, 2) or not np.isfinite(region).all():
            raise ExportError(f"{record.name}, frame {frame}: expected a code or a region (4, 2) after a start")
        lines.append(_region(region) + "\n")
    return "".join(lines)


def _region(corners: np.ndarray) -> str:
    """x,y,w,h of an upright box, else the eight coordinates."""
    (x1, y1), (x2, y2) = corners.min(0), corners.max(0)
    upright = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    values = [x1, y1, x2 - x1, y2 - y1] if np.array_equal(corners, upright) else corners.reshape(-1)
    return ",".join(f"{value:.4f}" for value in values)


def _lines(boxes: np.ndarray, separator: str) -> str:
    return "".join(separator.join(f"{value:.4f}" for value in box) + "\n" for box in boxes)


def write_boxes(path: Path, boxes: np.ndarray) -> None:
    """Boxes (T, 4) xyxy as lines `x,y,w,h`; the file is whole or not there."""
    write_text(path, _lines(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), ","))


def _write_archive(files: Mapping[str, str], path: str | Path) -> Path:
    """A zip archive, written beside its place and moved there when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
