"""Readers of tracks: MOTChallenge and KITTI text, Scalabel json, arrays and Instances; files, folders, dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from pathlib import Path

import numpy as np

from ..structures import Instances
from .scalabel import read_scalabel
from .tracks import Tracks

PathLike = str | Path
InMemory = np.ndarray | Sequence[Instances] | Tracks
Source = PathLike | InMemory | Mapping[str, InMemory]
KITTI_COLUMNS = (0, 1, 3, 4, 6, 7, 8, 9)  # frame, id, truncated, occluded, x1, y1, x2, y2


def read_tracks(source: Source, *, truth: bool) -> dict[str, Tracks]:
    """Tracks by sequence name from whatever holds them.

    Args:
        source: a text or json file; a folder of them; a MOTChallenge folder of sequences
            (`NAME/gt/gt.txt`) or one such sequence; MOTChallenge rows (N, >= 6); `Instances` per frame;
            or a dictionary from sequence name to either of the last two.
        truth: whether this is ground truth, whose extra columns then are read.

    Raises:
        FileNotFoundError: no such file, or a folder without tracks.
        ValueError: a broken file (file and line are named) or invalid tracks.
        TypeError: another kind of source.
    """
    if isinstance(source, (str, Path)):
        return _read_path(Path(source), truth)
    named = source if isinstance(source, Mapping) else {"sequence": source}
    return {str(name): _from_memory(value, str(name), truth) for name, value in named.items()}


def _from_memory(value: object, name: str, truth: bool) -> Tracks:
    source = "ground truth" if truth else "predictions"
    if isinstance(value, Tracks):
        return value.sorted()
    if isinstance(value, np.ndarray):
        return _mot_tracks(value, name, source, truth)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return Tracks.from_instances(value, name, source)
    got = type(value).__name__
    raise TypeError(f"{source} of sequence '{name}': expected an array or Instances per frame, got {got}")


def _read_path(path: Path, truth: bool) -> dict[str, Tracks]:
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder of {'ground truth' if truth else 'predictions'}: {path}")
    if path.is_file():
        if path.suffix == ".json":
            return read_scalabel([path], truth=truth)
        return _read_texts([path], truth, _seqmap(path.parent.parent))
    if truth and (path / "gt" / "gt.txt").is_file():
        return _read_texts([path / "gt" / "gt.txt"], truth, {})
    for inner in ("label_02", "data"):  # of KITTI's labels, of a tracker's results as TrackEval keeps them
        if (path / inner).is_dir():
            return _read_path(path / inner, truth)
    texts = sorted(path.glob("*/gt/gt.txt")) if truth else []
    texts = texts or sorted(path.glob("*.txt"))
    jsons = sorted(path.glob("*.json"))
    if texts:
        return _read_texts(texts, truth, _seqmap(path.parent))
    if jsons:
        return read_scalabel(jsons, truth=truth)
    raise FileNotFoundError(f"{path}: expected NAME/gt/gt.txt, *.txt or *.json, found none")


def _read_texts(files: Sequence[Path], truth: bool, lengths: Mapping[str, int]) -> dict[str, Tracks]:
    out = {}
    for file in files:
        in_sequence = file.name == "gt.txt" and file.parent.name == "gt"
        folder = file.parent.parent
        name = folder.resolve().name if in_sequence else file.stem
        tracks = read_kitti(file, name, truth=truth) if _is_kitti(file) else read_mot(file, name, truth=truth)
        tracks.length = lengths.get(name, _sequence_length(folder) if in_sequence else None)
        out[name] = tracks
    return out


def read_mot(path: PathLike, name: str | None = None, *, truth: bool = False) -> Tracks:
    """A MOTChallenge file: rows frame (from 1), id, x, y, width, height, score, class, visibility.

    Ground truth marks rows that are not scored with score 0. With 10 columns (MOT15) the last three are
    world coordinates and there are no classes. Results may separate columns by blanks.

    Raises:
        ValueError: a broken row; file and line are named.
    """
    path = Path(path)
    rows = _read_table(path)
    if rows.shape[1] < 6 or (truth and rows.shape[1] < 7):
        raise ValueError(f"{path}, line 1: expected at least {7 if truth else 6} columns, got {rows.shape[1]}")
    bad = ~np.isfinite(rows[:, :6]).all(1) | (rows[:, 0] != np.floor(rows[:, 0])) | (rows[:, 1] != np.floor(rows[:, 1]))
    if bad.any():
        row = int(np.argmax(bad))
        line = _line_numbers(path)[row]
        raise ValueError(f"{path}, line {line}: expected whole frame and id and a finite box, got {rows[row, :6]}")
    return _mot_tracks(rows, name or path.stem, str(path), truth)


def _mot_tracks(rows: np.ndarray, name: str, source: str, truth: bool) -> Tracks:
    """Tracks of MOTChallenge rows, whose columns from the 7th on tell of ground truth what is scored."""
    tracks = Tracks.from_array(rows, name, source)
    if rows.size == 0 or rows.shape[1] < 7:
        return tracks
    order = np.argsort(rows[:, 0], kind="stable")
    if not truth:
        tracks.scores = rows[order, 6].astype(float)
        return tracks
    tracks.ignored = rows[order, 6].astype(np.int64) == 0
    tracks.layout = "mot15" if rows.shape[1] >= 10 else "mot"
    if tracks.layout == "mot" and rows.shape[1] >= 8:
        tracks.labels = rows[order, 7].astype(np.int64)
        tracks.visibilities = rows[order, 8].astype(float) if rows.shape[1] == 9 else None
    return tracks


def _read_table(path: Path) -> np.ndarray:
    """All numbers of a text file as (N, C) float64."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        return np.zeros((0, 10))
    delimiter = "," if "," in text[: text.find("\n") + 1 or None] else None
    try:
        return np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:
        return _read_rows(path, lines, delimiter)


def _read_rows(path: Path, lines: Sequence[str], delimiter: str | None) -> np.ndarray:
    """Row by row: takes rows of different length (cut to the shortest), and names the line that is broken."""
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.strip().rstrip(",").split(delimiter)
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error} in '{line.strip()[:80]}'") from None
        if len(cells) < 6:
            raise ValueError(f"{path}, line {number}: expected at least 6 columns, got '{line.strip()[:80]}'")
    width = min(map(len, rows))
    return np.array([row[:width] for row in rows])


def _line_numbers(path: Path) -> list[int]:
    """Line number of each row that is not blank."""
    return [i for i, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1) if line.strip()]


def _is_kitti(path: Path) -> bool:
    """Whether the first row names its class in the third column."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        cells = next((line for line in file if line.strip()), "").split()
    return len(cells) >= 10 and cells[2].replace("_", "").isalpha()


def read_kitti(path: PathLike, name: str | None = None, *, truth: bool = False) -> Tracks:
    """A KITTI tracking file: frame (from 0), id, class, truncated, occluded, alpha, x1, y1, x2, y2, ...

    DontCare rows become regions; other rows with a negative id are left out. Class names become lower case.

    Raises:
        ValueError: a broken row; file and line are named.
    """
    path = Path(path)
    numbers, classes = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        try:
            row = [float(cells[i]) for i in KITTI_COLUMNS]
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path}, line {number}: {error} in '{line[:80]}'") from None
        if not np.isfinite(row).all():
            raise ValueError(f"{path}, line {number}: a value is not finite in '{line[:80]}'")
        numbers.append(row)
        classes.append(cells[2].lower())
    table, labels = np.array(numbers).reshape(-1, len(KITTI_COLUMNS)), np.array(classes, dtype=str)
    tracks = Tracks(
        frames=table[:, 0].astype(np.int64),
        ids=table[:, 1].astype(np.int64),
        boxes=table[:, 4:8],
        labels=labels,
        truncations=table[:, 2].astype(np.int64),
        occlusions=table[:, 3].astype(np.int64),
        name=name or path.stem,
        source=str(path),
        layout="kitti",
    ).sorted()
    assert tracks.labels is not None
    kept = tracks[(tracks.ids >= 0) & (tracks.labels != "dontcare")]
    if truth:
        kept.regions = tracks[tracks.labels == "dontcare"]
    return kept


def _sequence_length(folder: Path) -> int | None:
    """The length that a sequence's `seqinfo.ini` states, if there is one."""
    info = ConfigParser()
    info.read(folder / "seqinfo.ini", encoding="utf-8")
    return info.getint("Sequence", "seqLength", fallback=None) if info.has_section("Sequence") else None


def _seqmap(folder: Path) -> dict[str, int]:
    """Lengths by sequence from KITTI's `evaluate_tracking.seqmap*` beside the labels, where there is one."""
    out = {}
    for file in sorted(folder.glob("evaluate_tracking.seqmap*")):
        for cells in map(str.split, file.read_text(encoding="utf-8").splitlines()):
            if len(cells) >= 4:
                out[cells[0]] = int(cells[3])
    return out
