"""Testing video instance segmentation: YouTube-VIS, OVIS or DAVIS on disk, results in the servers' form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from ..data.datasets import read_frame
from ..data.readers.davis import read_davis
from ..data.readers.find_vis import find_youtube_vis
from ..data.readers.youtube_vis import read_youtube_vis
from ..evaluation.davis import DavisEvaluator
from ..evaluation.vis import FrameMasks, VISEvaluator, VISScores
from ..evaluation.youtube_vis import evaluate_youtube_vis, read_json
from ..export.youtube_vis import VideoEntry, youtube_vis_results
from ..io import open_record
from ..io.whole_files import write_json
from ..structures import Instances, Video, VideoRecord
from .test import record_frames

Progress = Callable[[str, int, "int | None"], None]
Entry = dict[str, Any]


class Segmenter(Protocol):
    """A model that gives the objects of a whole video, with the scores known at its end."""

    def segment(self, video: Video) -> Sequence[Instances]: ...


@dataclass
class SegmentationData:
    """Videos to segment, and how what is found is scored.

    Args:
        category_ids: of each label.
        annotations: YouTube-VIS's file with the truth; else the truth comes with the records' frames.
        evaluator: for truth that comes with the frames. None for neither: there is no truth.
    """

    records: list[VideoRecord]
    category_ids: tuple[int, ...]
    annotations: Path | None = None
    evaluator: Callable[[], VISEvaluator | DavisEvaluator] | None = None

    @staticmethod
    def of(records: Sequence[VideoRecord], classes: Sequence[str]) -> SegmentationData:
        """Of records whose truth comes with their frames; categories are numbered from 1 where they have no ids."""
        ids = records[0].attributes.get("category_ids") if records else None
        numbers = ids if isinstance(ids, tuple) else tuple(range(1, len(classes) + 1))
        return SegmentationData(list(records), numbers, evaluator=lambda: VISEvaluator(classes))

    @property
    def has_truth(self) -> bool:
        return self.annotations is not None or self.evaluator is not None

    def entries(self) -> dict[str, VideoEntry]:
        """By the records' names; videos without an id of their own are numbered from 1."""
        found = {}
        for number, record in enumerate(self.records, 1):
            assert record.size is not None
            video_id = record.attributes.get("video_id", number)
            assert isinstance(video_id, int)
            found[record.name] = VideoEntry(video_id, record_frames(record), record.size)
        return found


def find_segmentation(root: str | Path, classes: Sequence[str], split: str = "valid") -> SegmentationData:
    """The videos below `root`: YouTube-VIS's or OVIS's layout, or that of DAVIS.

    Args:
        classes: of the model; those of the file must have the same names.

    Raises:
        FileNotFoundError: neither is there. DataError: a class that the file does not have.
    """
    root = Path(root)
    if not list(root.glob("**/*.json")) and (root / "Annotations").is_dir():
        records = read_davis(root)
        return SegmentationData(records, tuple(range(1, len(classes) + 1)), evaluator=DavisEvaluator)
    annotations, images = find_youtube_vis(root, split)
    records = read_youtube_vis(annotations, images, classes)
    ids = records[0].attributes["category_ids"] if records else ()
    assert isinstance(ids, tuple)
    annotated = any(record.instances for record in records)
    return SegmentationData(records, ids, annotations if annotated else None)


def segment_records(
    model: Any, data: SegmentationData, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Path]:
    """Run a model, a `Segmenter`, over all videos; `{name: file}` of its results in the servers' form.

    With `resume` videos whose file is there are left out.
    """
    files = {}
    entries = data.entries()
    for record in data.records:
        path = out / "predictions" / f"{record.name}.json"
        files[record.name] = path
        if resume and path.is_file():
            continue
        segmenter: Segmenter = model
        objects = segmenter.segment(Video(open_record(record)))
        rows = youtube_vis_results(entries[record.name], _watched(objects, record, progress), data.category_ids)
        write_json(path, rows)
    return files


def _watched(objects: Sequence[Instances], record: VideoRecord, progress: Progress | None) -> Iterator[Instances]:
    for done, instances in enumerate(objects, 1):
        yield instances
        if progress is not None:
            progress(record.name, done, len(objects))


def read_entries(files: Mapping[str, Path]) -> list[Entry]:
    """The results of all videos."""
    return [entry for path in files.values() for entry in read_json(path)]


def score_segmentation(data: SegmentationData, files: Mapping[str, Path]) -> VISScores | dict[str, float]:
    """The scores of results in files: `VISScores`, of DAVIS J and F.

    Raises:
        ValueError: there is no truth, or results that do not fit it.
    """
    if data.annotations is not None:
        known = {record.attributes["video_id"] for record in data.records}
        content = read_json(data.annotations)
        content["videos"] = [video for video in content["videos"] if video["id"] in known]
        content["annotations"] = [entry for entry in content["annotations"] if entry["video_id"] in known]
        return evaluate_youtube_vis(content, read_entries(files))
    if data.evaluator is None:
        raise ValueError("these videos have no truth to score with; --format-only writes the results alone")
    evaluator = data.evaluator()
    for record in data.records:
        truths = [_truth(record, t) for t in range(record_frames(record))]
        evaluator.process(record.name, _frames(read_json(files[record.name]), len(truths), data.category_ids), truths)
    return evaluator.scores() if isinstance(evaluator, VISEvaluator) else evaluator.evaluate()


def _truth(record: VideoRecord, index: int) -> FrameMasks | None:
    objects = read_frame(record, index).instances
    return None if objects is None else FrameMasks.of(objects, f"{record.name}, frame {index}")


def _frames(entries: Sequence[Entry], length: int, category_ids: Sequence[int]) -> list[FrameMasks]:
    """What the entries of one video show in each frame."""
    labels = {number: label for label, number in enumerate(category_ids)}
    frames = []
    for t in range(length):
        seen = [(number, entry) for number, entry in enumerate(entries) if entry["segmentations"][t] is not None]
        frames.append(
            FrameMasks(
                [number for number, _ in seen],
                [labels[entry["category_id"]] for _, entry in seen],
                [entry["score"] for _, entry in seen],
                [entry["segmentations"][t] for _, entry in seen],
                [False] * len(seen),
            )
        )
    return frames


def table_of(scores: VISScores | Mapping[str, float]) -> Table:
    """For people, in percent."""
    if isinstance(scores, VISScores):
        return scores.table()
    table = Table("score", "value")
    for name, value in scores.items():
        table.add_row(name, f"{100 * value:.1f}")
    return table
