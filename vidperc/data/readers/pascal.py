"""XML annotations: PASCAL VOC (http://host.robots.ox.ac.uk/pascal/VOC) and ImageNet DET + VID.

VOC counts pixels from 1 and means both corner pixels to belong to the object: `xmin` and `ymin` less 1 are
the corner in pixels from 0, `xmax` and `ymax` are the other corner as they are. ImageNet's boxes are taken
as they stand, as all published video detectors do.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...structures import Instances, VideoRecord
from ..problems import DataError, Problems
from .common import build_instances, require_folder

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

# ImageNet VID's 30 classes: WordNet id -> name, in the order of the published checkpoints.
IMAGENET_VID = {
    "n02691156": "airplane", "n02419796": "antelope", "n02131653": "bear", "n02834778": "bicycle",
    "n01503061": "bird", "n02924116": "bus", "n02958343": "car", "n02402425": "cattle", "n02084071": "dog",
    "n02121808": "domestic_cat", "n02503517": "elephant", "n02118333": "fox", "n02510455": "giant_panda",
    "n02342885": "hamster", "n02374451": "horse", "n02129165": "lion", "n01674464": "lizard",
    "n02484322": "monkey", "n03790512": "motorcycle", "n02324045": "rabbit", "n02509815": "red_panda",
    "n02411705": "sheep", "n01726692": "snake", "n02355227": "squirrel", "n02129604": "tiger",
    "n04468005": "train", "n01662784": "turtle", "n04530566": "watercraft", "n02062744": "whale",
    "n02391049": "zebra",
}  # fmt: skip


@dataclass
class _Rules:
    """How a data set's XML is read: name in the file -> label, and what its corners mean."""

    labels: Mapping[str, int]
    problems: Problems
    tracked: bool = False  # objects have a `trackid`, of the snippet
    first_pixel: int = 0
    difficult_is_ignored: bool = False


def read_voc(root: str | Path, split: str = "trainval", classes: Sequence[str] = VOC_CLASSES) -> list[VideoRecord]:
    """One year of VOC (a folder with Annotations, ImageSets, JPEGImages); difficult objects are ignored.

    Raises:
        FileNotFoundError: the folder or the split's list.
    """
    root = require_folder(root, "Annotations, ImageSets and JPEGImages")
    rules = _Rules(_labels(classes), Problems(str(root)), first_pixel=1, difficult_is_ignored=True)
    records = []
    for name in read_list(root / "ImageSets" / "Main" / f"{split}.txt"):
        size, objects = _read_objects(root / "Annotations" / f"{name}.xml", rules)
        picture = root / "JPEGImages" / f"{name}.jpg"
        records.append(
            VideoRecord(name, frames=[picture], length=1, size=size, instances={0: objects}, classes=tuple(classes))
        )
    rules.problems.warn()
    return records


def read_imagenet_det(root: str | Path, lists: Sequence[str] | None = None) -> list[VideoRecord]:
    """ImageNet DET's images that show classes of ImageNet VID, a record of one frame each.

    Args:
        root: the folder ILSVRC with Annotations/DET, Data/DET, ImageSets.
        lists: files below ImageSets/DET, or anywhere by whole paths, as the `DET_train_30classes.txt` of published
            detectors; by default all `train_*.txt` (lines `name 1`) and `train.txt`.

    Raises:
        FileNotFoundError: the folder or a list.
    """
    root = require_folder(root, "Annotations/DET, Data/DET and ImageSets/DET")
    folder = root / "ImageSets" / "DET"
    files = [folder / name for name in lists] if lists is not None else sorted(folder.glob("train*.txt"))
    rules = _Rules(_labels(list(IMAGENET_VID)), Problems(str(root)))
    names = dict.fromkeys(name for file in files for name in read_list(file, positive_only=True))
    records = []
    for name in names:
        path = _det_annotation(root, name)
        if not path.is_file():
            rules.problems.add("images without an annotation file", path)
            continue
        size, objects = _read_objects(path, rules)
        if len(objects):
            picture = root / "Data" / "DET" / path.relative_to(root / "Annotations" / "DET").with_suffix(".JPEG")
            records.append(_record(name, [picture], size, {0: objects}))
    rules.problems.warn()
    return records


def _det_annotation(root: Path, name: str) -> Path:
    """Lists name DET images with or without their folder `train/` or `val/`."""
    base = root / "Annotations" / "DET"
    places = [base / f"{name}.xml", base / "val" / f"{name}.xml", base / "train" / f"{name}.xml"]
    return next((place for place in places if place.is_file()), places[-1])


def read_imagenet_vid(
    root: str | Path,
    split: str = "train",
    videos: Sequence[str] | None = None,
    classes: Mapping[str, str] = IMAGENET_VID,
) -> list[VideoRecord]:
    """ImageNet VID's snippets, with track ids; every frame is annotated, some with no object.

    Args:
        root: the folder ILSVRC with Annotations/VID, Data/VID.
        split: train or val.
        videos: folders below the split, all that hold annotations by default.
        classes: name in the files -> name of the class, in the order of the labels.

    Raises:
        FileNotFoundError: the folder, or a video.
    """
    base = require_folder(Path(root) / "Annotations" / "VID" / split, "a folder of XML files for each snippet")
    if videos is None:
        videos = sorted({str(path.parent.relative_to(base)) for path in base.rglob("*.xml")})
    rules = _Rules(_labels(list(classes)), Problems(str(base)), tracked=True)
    records = []
    for name in videos:
        files = sorted(require_folder(base / name, "XML files").glob("*.xml"))
        if not files:
            rules.problems.add("snippets without annotations", base / name)
            continue
        parts = [_read_objects(file, rules) for file in files]
        pictures = [Path(root) / "Data" / "VID" / split / name / f"{file.stem}.JPEG" for file in files]
        instances = {index: part[1] for index, part in enumerate(parts)}
        records.append(_record(name, pictures, parts[0][0], instances, classes))
    rules.problems.warn()
    return records


def imagenet_vid_mix(vid: Sequence[VideoRecord], det: Sequence[VideoRecord], per_video: int = 15) -> list[VideoRecord]:
    """What the published video detectors train on: DET's images, and VID's snippets with `per_video` key frames.

    A snippet keeps all its pictures as references; only the chosen frames, evenly spread, stay annotated.
    """
    mixed = list(det)
    for record in vid:
        shown = sorted(index for index, objects in record.instances.items() if len(objects))
        step = max(len(shown) / per_video, 1)
        chosen = {shown[int(i * step)] for i in range(min(per_video, len(shown)))}
        if chosen:
            mixed.append(
                VideoRecord(
                    record.name,
                    frames=record.frames,
                    length=record.length,
                    size=record.size,
                    instances={index: record.instances[index] for index in sorted(chosen)},
                    classes=record.classes,
                )
            )
    return mixed


def read_list(path: str | Path, positive_only: bool = False) -> list[str]:
    """The first words of a list's lines; `positive_only` leaves out lines whose second word is -1 or 0.

    Raises:
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list of images")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row[0] for row in rows if not (positive_only and len(row) == 2 and row[1] in ("-1", "0"))]


def _labels(names: Sequence[str]) -> dict[str, int]:
    return {name: label for label, name in enumerate(names)}


def _record(
    name: str,
    frames: Sequence[str | Path],
    size: tuple[int, int],
    instances: dict[int, Instances],
    classes: Mapping[str, str] = IMAGENET_VID,
) -> VideoRecord:
    return VideoRecord(
        name, frames=list(frames), length=len(frames), size=size, instances=instances, classes=tuple(classes.values())
    )


def _read_objects(path: Path, rules: _Rules) -> tuple[tuple[int, int], Instances]:
    """Size (height, width) and objects of one XML file.

    Raises:
        FileNotFoundError: no such file. DataError: not such a file; names it and what is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not XML: {error}") from error
    size = (int(_number(root, "size/height", path)), int(_number(root, "size/width", path)))
    boxes, labels, names, ids, ignored = [], [], [], [], []
    for number, item in enumerate(root.findall("object")):
        label = rules.labels.get(_text(item, "name", path))
        if label is None:
            continue
        x0, y0, x1, y1 = (_number(item, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append([x0 - rules.first_pixel, y0 - rules.first_pixel, x1, y1])
        labels.append(label)
        names.append(f"{path}, object {number}")
        ids.append(int(_number(item, "trackid", path)) if rules.tracked else -1)
        ignored.append(rules.difficult_is_ignored and item.findtext("difficult", "0").strip() == "1")
    instances, _ = build_instances(
        boxes, labels, names, rules.problems, size if min(size) > 0 else None, ids=ids if rules.tracked else None,
        ignored=ignored,
    )  # fmt: skip
    return size, instances


def _number(node: ElementTree.Element, path: str, file: Path) -> float:
    text = _text(node, path, file)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{file}: '{path}' in <{node.tag}> must be a number, got '{text}'") from None


def _text(node: ElementTree.Element, path: str, file: Path) -> str:
    text = node.findtext(path)
    if text is None:
        raise DataError(f"{file}: an element '{path}' is expected in <{node.tag}>")
    return text.strip()
