"""Data sets of images to test detectors on, found by their layout on disk, with their own scores and result files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..data.readers.bdd100k import read_bdd100k
from ..data.readers.coco import read_coco
from ..data.readers.pascal import read_voc
from ..evaluation.coco import Backend
from ..evaluation.detection_files import coco_truth, only_images, scalabel_truth, score_detections, score_proposals
from ..evaluation.evaluators import Evaluator
from ..evaluation.voc import VOCEvaluator
from ..structures import VideoRecord
from .test import chosen_records

Layout = Literal["coco", "voc", "bdd100k"]
COCO_LAYOUT = "annotations/instances*.json with images/ or a folder named like the split (COCO)"
BDD100K_LAYOUT = "labels/det_20/det_val.json or labels/det_val.json with images/100k/val or images/ (BDD100K)"
VOC_LAYOUT = "Annotations, ImageSets/Main and JPEGImages, or VOC2007 or VOCdevkit/VOC2007 with them (PASCAL VOC)"


@dataclass
class ImageSet:
    """Pictures with their truth, each a record, or the frames of a video's record.

    `ids` are the numbers of each record's pictures. `truth` is COCO's dictionary of the annotation file;
    PASCAL VOC has an evaluator instead.
    """

    layout: Layout
    records: list[VideoRecord]
    classes: tuple[str, ...]
    ids: dict[str, list[int]]
    truth: dict[str, Any] | None = None
    evaluator: Evaluator | None = None

    def only(self, names: Sequence[str] | None) -> ImageSet:
        """The records of these names, all for None.

        Raises:
            ValueError: a name that there is not.
        """
        if names is None:
            return self
        records = chosen_records(self.records, names, "picture")
        ids = {record.name: self.ids[record.name] for record in records}
        numbers = [number for own in ids.values() for number in own]
        truth = None if self.truth is None else only_images(self.truth, numbers)
        return replace(self, records=records, ids=ids, truth=truth)

    def category_ids(self) -> list[int]:
        """The number of each class."""
        if self.truth is None:
            return list(range(1, len(self.classes) + 1))
        return [category["id"] for category in self.truth["categories"]]

    def score_rows(
        self, rows: Sequence[dict[str, Any]], *, proposals: bool = False, backend: Backend = "pycocotools"
    ) -> dict[str, float]:
        """COCO's scores of COCO's result rows, of masks too where they have some; of proposals average recall."""
        assert self.truth is not None, "PASCAL VOC has an evaluator of its own"
        if proposals:
            return score_proposals(self.truth, rows, backend)
        masks = any("segmentation" in row for row in rows)
        return score_detections(self.truth, rows, ("bbox", "segm") if masks else ("bbox",), backend)


def find_images(root: str | Path, classes: Sequence[str] | None) -> ImageSet:
    """The data set of images below `root`: of COCO's, BDD100K's or PASCAL VOC's layout.

    Args:
        classes: of the model; None takes all that COCO's file has.

    Raises:
        FileNotFoundError: it is none of them. DataError: its files are broken, or lack a class.
    """
    root = Path(root)
    for find in (_find_coco, _find_bdd100k, _find_voc):
        found = find(root, classes)
        if found is not None:
            return found
    layouts = "\n  ".join((COCO_LAYOUT, BDD100K_LAYOUT, VOC_LAYOUT))
    raise FileNotFoundError(f"{root}: there are no images to test on; expected one of\n  {layouts}")


def coco_files(root: Path) -> tuple[Path, Path] | None:
    """Annotations, those of val where there are several, and the folder of the pictures."""
    files = sorted(root.glob("annotations/instances*.json"), key=lambda path: ("val" not in path.name, path.name))
    if not files:
        return None
    split = files[0].stem.removeprefix("instances").strip("_")
    return files[0], next((root / name for name in (split, "images") if name and (root / name).is_dir()), root)


def _find_coco(root: Path, classes: Sequence[str] | None) -> ImageSet | None:
    files = coco_files(root)
    if files is None:
        return None
    records = read_coco(*files, classes or None)
    truth = coco_truth(files[0], classes or None)
    videos: dict[int, list[int]] = defaultdict(list)
    for image in sorted(truth["images"], key=lambda image: image.get("frame_id", 0)):
        videos[image.get("video_id", -1)].append(image["id"])
    ids = {record.name: _numbers(record.attributes, videos) for record in records}
    return ImageSet("coco", records, tuple(category["name"] for category in truth["categories"]), ids, truth)


def _numbers(attributes: dict[str, Any], videos: dict[int, list[int]]) -> list[int]:
    return [attributes["image_id"]] if "image_id" in attributes else videos[attributes["video_id"]]


def _find_bdd100k(root: Path, classes: Sequence[str] | None) -> ImageSet | None:
    labels = next((p for p in (root / "labels/det_20/det_val.json", root / "labels/det_val.json") if p.is_file()), None)
    if labels is None:
        return None
    images = next((p for p in (root / "images/100k/val", root / "images/val") if p.is_dir()), root / "images")
    names = tuple(classes) if classes else None
    records = read_bdd100k(labels, images, names) if names else read_bdd100k(labels, images)
    names = names or records[0].classes
    truth = scalabel_truth(labels, names)
    numbers = {image["file_name"]: image["id"] for image in truth["images"]}
    ids = {record.name: [numbers[Path(frame).name] for frame in record.frames or ()] for record in records}
    return ImageSet("bdd100k", records, names, ids, truth)


def _find_voc(root: Path, classes: Sequence[str] | None) -> ImageSet | None:
    for folder in (root, *sorted(root.glob("VOC2*")), *sorted(root.glob("VOCdevkit/VOC2*"))):
        lists = folder / "ImageSets" / "Main"
        split = next((name for name in ("test", "val") if (lists / f"{name}.txt").is_file()), None)
        if split is not None:
            records = read_voc(folder, split, classes) if classes else read_voc(folder, split)
            names = tuple(classes or records[0].classes)
            early = any(year in folder.name for year in ("2005", "2006", "2007"))
            ids = {record.name: [number] for number, record in enumerate(records, 1)}
            return ImageSet("voc", records, names, ids, evaluator=VOCEvaluator(names, eleven_points=early))
    return None
