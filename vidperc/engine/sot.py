"""Testing single-object trackers: benchmarks on disk, a result file per video, scores, curves, submissions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.datasets import read_frame
from ..data.problems import DataError
from ..data.readers.got10k import read_got10k
from ..data.readers.lasot import read_lasot
from ..data.readers.otb import read_otb
from ..data.readers.sot_files import read_table
from ..data.readers.trackingnet import read_trackingnet
from ..data.readers.uav123 import read_uav123
from ..data.readers.vot import as_polygons, read_vot, upright_box
from ..evaluation.polygons import polygon_overlap
from ..evaluation.sot import SOTTruth
from ..evaluation.sot_evaluator import one_pass, only, target_of
from ..evaluation.vot import FAILED, TYPICAL_LENGTHS, RestartRun, run_with_restarts
from ..export.sot import time_lines, vot_lines, write_boxes
from ..io import open_record
from ..io.whole_files import write_text
from ..sequence import SequenceModel
from ..structures import Frame, Video, VideoRecord
from .test import record_frames

Progress = Callable[[str, int, "int | None"], None]


@dataclass(slots=True)
class SOTBenchmark:
    """Videos, and whose rules they are scored by: "ope", "got10k", or a challenge such as "vot2018"."""

    records: list[VideoRecord]
    rules: str
    name: str  # of the benchmark: otb, lasot, uav123, trackingnet, got10k, vot


def find_sot(root: str | Path) -> SOTBenchmark:
    """The benchmark below `root`, known by its layout; the test split where there are several.

    VOT's year is taken from the folder's name (`VOT2016`), 2018 where it has none.

    Raises:
        FileNotFoundError: no layout fits. DataError: a missing or broken file in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    if (root / "anno" / "UAV123").is_dir():
        return SOTBenchmark(read_uav123(root), "ope", "uav123")
    if (root / "TEST").is_dir() or any(root.glob("TRAIN_*")):
        split = "test" if (root / "TEST").is_dir() else "train"
        return SOTBenchmark(read_trackingnet(root, split), "ope", "trackingnet")
    for split in ("test", "val", "train"):
        if (root / split / "list.txt").is_file():
            return SOTBenchmark(read_got10k(root, split), "got10k", "got10k")
    if any(root.glob("*/groundtruth_rect*.txt")):
        return SOTBenchmark(read_otb(root), "ope", "otb")
    if (root / "testing_set.txt").is_file():
        return SOTBenchmark(read_lasot(root, "test"), "ope", "lasot")
    if any(any(root.glob(f"{folders}/full_occlusion.txt")) for folders in ("*/*", "*")):
        return SOTBenchmark(read_lasot(root), "ope", "lasot")
    if any(root.glob("*/groundtruth.txt")):
        year = root.resolve().name.lower().replace("-", "")
        return SOTBenchmark(read_vot(root), year if year in TYPICAL_LENGTHS else "vot2018", "vot")
    raise FileNotFoundError(
        f"{root}: no single-object benchmark is laid out like this; known are OTB (NAME/groundtruth_rect.txt), LaSOT"
        " (CLASS/NAME/groundtruth.txt), UAV123 (anno/UAV123), TrackingNet (TEST/anno), GOT-10k (val/list.txt) and VOT"
        " (NAME/groundtruth.txt)"
    )


def follow_videos(
    model: SequenceModel,
    records: Sequence[VideoRecord],
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Follow the object of each video from its first box; `{name: file}`.

    A file has a line `x,y,w,h` per frame; `NAME_time.txt` beside it the seconds of each, with reading. With `resume`
    videos whose files are there are left out.
    """
    files = {}
    for record in records:
        path = out / "results" / f"{record.name}.txt"
        files[record.name] = path
        if resume and path.is_file():
            continue
        boxes, times, began = [], [], time.perf_counter()
        for _, predicted in one_pass(model, Video(EveryFrame(record))):
            times.append(time.perf_counter() - began)
            boxes.append(predicted.boxes[0].double().cpu().numpy())
            if progress is not None:
                progress(record.name, len(boxes), record_frames(record))
            began = time.perf_counter()
        write_text(path.with_name(f"{record.name}_time.txt"), "".join(f"{value:.6f}\n" for value in times))
        write_boxes(path, np.stack(boxes))
    return files


class EveryFrame:
    """The frames of a record, none of which may be missing: a result file has a line for each.

    Raises:
        DataError: while iterating, a picture that cannot be read, or an end before that of the record.
    """

    def __init__(self, record: VideoRecord) -> None:
        self._record, self._source = record, open_record(record)
        self.name, self.fps, self.size = self._source.name, self._source.fps, self._source.size
        self.length = self._source.length

    def frames(self, start: int = 0) -> Iterator[Frame]:
        expected = start
        for frame in self._source.frames(start):
            if frame.index != expected:
                break
            yield frame
            expected += 1
        if expected < record_frames(self._record):
            files = self._record.frames
            place = f" ({files[expected]})" if files is not None else ""
            raise DataError(f"{self.name}: frame {expected}{place} cannot be read")

    def read(self, index: int) -> Frame:
        return self._source.read(index)


def read_boxes(path: Path, length: int) -> np.ndarray:
    """The boxes (T, 4) xyxy of a result file.

    Raises:
        DataError: broken lines, or not `length` of them.
    """
    table = read_table(path, (4,))
    if len(table) != length:
        raise DataError(f"{path}: {len(table)} boxes for {length} frames")
    return np.concatenate([table[:, :2], table[:, :2] + table[:, 2:]], 1)


def truth_of(record: VideoRecord) -> SOTTruth:
    """The truth of a record's object, read from its frames where the record has none itself.

    Raises:
        ValueError: the first frame has no object.
    """
    if record.instances:
        return SOTTruth.of(record)
    first = read_frame(record, 0).instances
    row, identity = target_of(first, record.name)
    assert first is not None
    rest = [read_frame(record, index).instances for index in range(1, record_frames(record))]
    followed = [first[row], *(None if each is None else only(each, identity) for each in rest)]
    return replace(SOTTruth.of_frames(followed), size=record.size)


def is_withheld(record: VideoRecord) -> bool:
    """Whether only the first box of a video of several frames is known, as in test sets scored by a server."""
    return bool(record.instances) and max(record.instances) == 0 and record_frames(record) > 1


def follow_with_restarts(
    model: SequenceModel,
    records: Sequence[VideoRecord],
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, RestartRun]:
    """VOT's reset-based protocol over all videos; each run in `out`/baseline/NAME as VOT keeps it."""
    runs = {}
    for record in records:
        path = out / "baseline" / record.name / f"{record.name}_001.txt"
        polygons = np.asarray(record.attributes["polygons"])
        video = Video(EveryFrame(record))
        if not (resume and path.is_file()):
            run = run_with_restarts(model.stream, video, polygons, start_box)
            assert run.seconds is not None
            write_text(path.with_name(f"{record.name}_time.txt"), time_lines(record, [run.seconds]))
            write_text(path, vot_lines(record, run.regions))
            if progress is not None:
                progress(record.name, len(polygons), len(polygons))
        runs[record.name] = read_restart_run(path, polygons, video.size)
    return runs


def start_box(polygon: np.ndarray) -> np.ndarray:
    """The xyxy box (4,) that a tracker without rotation is started with on a polygon (4, 2)."""
    x, y, w, h = upright_box(polygon[None])[0]
    return np.array([x, y, x + w, y + h])


def read_restart_run(path: Path, truth: np.ndarray, size: tuple[int, int] | None) -> RestartRun:
    """A run in VOT's form: a line per frame, a code (0 skipped, 1 started, 2 failed), a box x,y,w,h, or a polygon.

    Args:
        path: the file.
        truth: (T, K, 2) polygons.
        size: (height, width) of the picture; only what lies in it counts.

    Raises:
        DataError: a line that is none of these, or another number of lines than frames.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    if len(lines) != len(truth):
        raise DataError(f"{path}: {len(lines)} lines for {len(truth)} frames")
    regions: list[np.ndarray | int] = []
    overlaps = np.full(len(truth), np.nan)
    for number, line in enumerate(lines):
        try:
            values = [float(word) for word in line.split(",")]
        except ValueError:
            raise DataError(f"{path}:{number + 1}: expected numbers, got '{line[:60]}'") from None
        if len(values) == 1 and values[0] in (0, 1, 2):
            regions.append(int(values[0]))
            overlaps[number] = 0.0 if values[0] == FAILED else np.nan
        elif len(values) in (4, 8):
            regions.append(as_polygons(np.array([values]))[0])
            overlaps[number] = polygon_overlap(truth[number], regions[-1], size)  # type: ignore[arg-type]
        else:
            raise DataError(f"{path}:{number + 1}: expected a code 0, 1, 2 or 4 or 8 numbers, got '{line[:60]}'")
    return RestartRun(regions, overlaps)
