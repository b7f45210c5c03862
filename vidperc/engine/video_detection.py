"""Testing video detectors: ImageNet VID or CocoVID on disk, results as COCO json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.readers.pascal import IMAGENET_VID, read_imagenet_vid
from ..evaluation.coco import numbered
from ..evaluation.vid import VIDEvaluator
from ..export.detections import coco_rows
from ..io.whole_files import write_json
from .detection import find_coco, read_frames
from .experiment import TestData


def find_vid(
    root: str | Path, classes: Sequence[str], split: str = "val", videos: Sequence[str] | None = None
) -> TestData:
    """The videos below `root`: ImageNet's layout (Annotations/VID/SPLIT, Data/VID/SPLIT) or COCO's.

    Args:
        classes: of the model. In ImageNet's files they go by WordNet's id, those that ImageNet VID lacks by name.
        videos: only these, read alone where the layout allows.

    Raises:
        FileNotFoundError: neither is there, or a video is not.
    """
    root = Path(root)
    if (root / "Annotations" / "VID" / split).is_dir():
        ids = {name: identifier for identifier, name in IMAGENET_VID.items()}
        records = read_imagenet_vid(root, split, videos, {ids.get(name, name): name for name in classes})
    else:
        try:
            records = list(find_coco(root, classes).records)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{root}: neither Annotations/VID/{split} (ImageNet VID) nor annotations/instances*.json (CocoVID)"
            ) from error
    names = records[0].classes if records else tuple(classes)
    return TestData(records, lambda: VIDEvaluator(names), "AP50")


def write_coco_results(path: Path, files: Mapping[str, Path], classes: Sequence[str]) -> Path:
    """Predictions of all videos as COCO results with the list of the images they count.

    `annotations` are rows with `score` as COCO's results; images are numbered from 1 in the order of the
    videos and their frames, categories from 1 in the order of the classes.

    Args:
        files: `{video: file}` as `predict_records` gives them.
    """
    categories = numbered(classes)
    ids = [category["id"] for category in categories]
    content: dict[str, Any] = {"videos": [], "images": [], "annotations": [], "categories": categories}
    for video, (name, file) in enumerate(files.items(), 1):
        content["videos"].append({"id": video, "name": name})
        for index, found in enumerate(read_frames(file)):
            image = len(content["images"]) + 1
            content["images"].append(
                {"id": image, "video_id": video, "frame_id": index, "file_name": f"{name}/{index:06d}"}
            )
            content["annotations"] += coco_rows(image, found, ids)
    write_json(path, content)
    return path
