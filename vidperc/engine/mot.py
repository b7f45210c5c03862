"""Testing trackers: a model over the sequences of a benchmark, one result file each, then the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..data.synthetic import synthetic_videos
from ..evaluation.formats import read_tracks
from ..evaluation.mot import evaluate_mot
from ..evaluation.scores import MOTScores
from ..evaluation.tracks import Tracks
from ..io import Video, VideoError
from ..io.motchallenge import AnnotatedFrames, SequenceInfo, read_seqinfo
from ..io.result_writers import MotWriter
from ..io.results import read_mot
from ..sequence import SequenceModel
from ..structures import Frame

Progress = Callable[[str, int, "int | None"], None]  # sequence, frames done, frames in all


@dataclass
class MOTRecord:
    """A sequence to track, and its ground truth where there is any."""

    name: str
    video: Video
    truth: Tracks | None


class PicturelessFrames:
    """Frames of a sequence whose pictures are not at hand: of the right size and time, all black, no memory.

    For trackers that look at given detections alone.
    """

    def __init__(self, info: SequenceInfo, length: int) -> None:
        self.name, self.fps, self.length = info.name, info.fps, length
        self.size = info.size or (1080, 1920)
        self._black = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, *self.size)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return (self.read(index) for index in range(start, self.length))

    def read(self, index: int) -> Frame:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.name}: frame {index} of {self.length}")
        return Frame(self._black, index, None if self.fps is None else index / self.fps)


def find_sequences(root: str | Path, names: Sequence[str] | None = None) -> list[MOTRecord]:
    """The MOTChallenge sequences below `root` (folders with `det/det.txt`, `img1/` or a video, `gt/gt.txt`).

    Args:
        root: a folder of sequences, or one sequence.
        names: which ones, or parts of their names (as `SDP`); all by default.

    Raises:
        FileNotFoundError: no such folder, no sequence in it, or none of a name.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder of sequences at {root}")
    folders = [root] if is_sequence(root) else sorted(path for path in root.iterdir() if is_sequence(path))
    if not folders:
        raise FileNotFoundError(f"{root}: no folder in it is a sequence (seqinfo.ini, det/det.txt or img1/)")
    found = {folder.name: folder for folder in folders}
    chosen = list(found)
    if names is not None:
        parts = {name: [name] if name in found else [full for full in found if name in full] for name in names}
        missing = [name for name, fitting in parts.items() if not fitting]
        if missing:
            raise FileNotFoundError(f"{root}: no sequence {', '.join(missing)}; there is {', '.join(found)}")
        chosen = list(dict.fromkeys(full for fitting in parts.values() for full in fitting))
    return [open_sequence(found[name]) for name in chosen]


def given_sequences(
    ground_truth: str | Path | None, detections: str | Path | None = None, names: Sequence[str] | None = None
) -> list[MOTRecord]:
    """The sequences of a folder as `find_sequences` has them, or the one of a gt.txt and a det.txt.

    Raises:
        ValueError: a file of one of the two only, or names for files. FileNotFoundError: the data.
    """
    if ground_truth is not None and Path(ground_truth).is_dir():
        if detections is not None:
            raise ValueError(f"{ground_truth}: folders of sequences bring their own detections")
        return find_sequences(ground_truth, names)
    if detections is None:
        raise ValueError(f"{ground_truth}: a file of ground truth needs one of detections")
    truth = None if ground_truth is None else next(iter(read_tracks(Path(ground_truth), truth=True).values()))
    given = read_mot(detections).as_detections()
    last = max([*([] if truth is None else truth.frames.tolist()), *given, -1])
    length = (None if truth is None else truth.length) or int(last) + 1
    name = (None if truth is None else truth.name) or Path(detections).stem
    frames = PicturelessFrames(SequenceInfo(name), length)
    return [MOTRecord(frames.name, Video(AnnotatedFrames(frames, None, given)), truth)]


def half_sequence(record: MOTRecord, half: str) -> MOTRecord:
    """The first ("train") or second ("val") half of a sequence as a sequence of its own, as `half_split` cuts.

    Raises:
        ValueError: another half.
    """
    length = len(record.video)
    spans = {"train": slice(0, length // 2 + 1), "val": slice(length // 2 + 1, length)}
    if half not in spans:
        raise ValueError(f"half '{half}': expected train or val")
    start, stop = spans[half].start, spans[half].stop
    truth = record.truth
    if truth is not None:
        truth = truth[(truth.frames >= start) & (truth.frames < stop)]
        regions = None if truth.regions is None else truth.regions[truth.regions.frames >= start].up_to(stop)
        if regions is not None:
            regions = replace(regions, frames=regions.frames - start)
        truth = replace(truth, frames=truth.frames - start, length=stop - start, regions=regions)
    return MOTRecord(record.name, record.video[start:stop], truth)  # type: ignore[arg-type]


def is_sequence(folder: Path) -> bool:
    """Whether a folder looks like a MOTChallenge sequence."""
    return any((folder / name).exists() for name in ("seqinfo.ini", "det/det.txt", "img1"))


def open_sequence(folder: Path) -> MOTRecord:
    """One sequence, with whatever of pictures, detections and ground truth is there."""
    truth = folder / "gt" / "gt.txt"
    tracks = next(iter(read_tracks(truth, truth=True).values())) if truth.is_file() else None
    try:
        video = Video(folder)
    except VideoError:
        video = _without_pictures(folder, tracks)
    return MOTRecord(folder.name, video, tracks)


def _without_pictures(folder: Path, truth: Tracks | None) -> Video:
    given = folder / "det" / "det.txt"
    detections = read_mot(given).as_detections() if given.is_file() else {}
    info = SequenceInfo(folder.name)
    if (folder / "seqinfo.ini").is_file():
        info = read_seqinfo(folder)
    last = max([*detections, -1]) + 1
    length = info.length or max(last, 0 if truth is None else truth.length or 0)
    if not length:
        raise VideoError(f"{folder}: no pictures, no detections and no seqinfo.ini that says its length")
    return Video(AnnotatedFrames(PicturelessFrames(info, length), None, detections))


def run_sequences(
    model: SequenceModel,
    sequences: Iterable[MOTRecord],
    out: str | Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Track each sequence and write `out/NAME.txt` (MOTChallenge rows) as soon as it is finished.

    Args:
        resume: leave out sequences whose file is there already.

    Returns:
        The result file of each sequence.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = {}
    for sequence in sequences:
        path = files[sequence.name] = out / f"{sequence.name}.txt"
        if resume and path.is_file():
            continue
        partial = path.with_suffix(".partial")
        with MotWriter(partial) as writer:
            for frame, tracks in model.stream_frames(sequence.video):
                writer.write(frame.index, tracks, frame.time)
                if progress is not None:
                    progress(sequence.name, frame.index + 1, sequence.video.length)
        partial.replace(path)
    return files


def score_sequences(sequences: Iterable[MOTRecord], files: dict[str, Path], out: str | Path) -> MOTScores | None:
    """The scores of result files where there is ground truth, also as `out/scores.json`; else None."""
    truths = {sequence.name: sequence.truth for sequence in sequences if sequence.truth is not None}
    if not truths:
        return None
    predictions = {}
    for name in truths:
        predictions.update(read_tracks(files[name], truth=False))
    scores = evaluate_mot(truths, predictions)
    scores.to_json(Path(out) / "scores.json")
    return scores


def synthetic_sequences(count: int = 4, length: int = 150) -> list[MOTRecord]:
    """Test sequences drawn on the fly, with a fixed camera."""
    records = []
    for record in synthetic_videos("test", count, length, (360, 640), "mot"):
        video = Video(record)
        truth = [frame.instances for frame in video if frame.instances is not None]
        tracks = Tracks.from_instances(truth, record.name, "synthetic truth")
        tracks.labels = None  # its classes are not told apart by a detector of motion
        records.append(MOTRecord(record.name, video, tracks))
    return records
