"""Training and test data of video instance segmentation: YouTube-VIS, OVIS, COCO, and COCO beside videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vidperc.data.datasets import ClipDataset
from vidperc.data.frame_samplers import KeyAndReferences, StridedClip
from vidperc.data.readers.coco_stills import read_coco_stills
from vidperc.data.readers.find_vis import find_youtube_vis
from vidperc.data.readers.youtube_vis import read_youtube_vis
from vidperc.data.transforms import Flip, OneOf, PseudoVideo, RandomCrop, Resize, Transform
from vidperc.engine.experiment import TestData, TrainData
from vidperc.evaluation.vis import VISEvaluator, final_scores

SHORT_SIDES = (288, 320, 352, 392, 416, 448, 480, 512)

# What COCO calls the classes that the benchmarks have too, in the benchmarks' words.
COCO_IN_YOUTUBE_VIS_2019 = {
    "person": "person", "bicycle": "motorbike", "car": "sedan", "motorcycle": "motorbike", "airplane": "airplane",
    "train": "train", "truck": "truck", "boat": "boat", "cat": "cat", "dog": "dog", "horse": "horse", "cow": "cow",
    "elephant": "elephant", "bear": "bear", "zebra": "zebra", "giraffe": "giraffe", "skis": "snowboard",
    "snowboard": "snowboard", "skateboard": "skateboard", "surfboard": "surfboard", "tennis racket": "tennis_racket",
}  # fmt: skip
COCO_IN_YOUTUBE_VIS_2021 = {
    **COCO_IN_YOUTUBE_VIS_2019, "car": "car", "bird": "bird", "frisbee": "flying_disc",
}  # fmt: skip
COCO_IN_OVIS = {
    "person": "Person", "bird": "Bird", "cat": "Cat", "dog": "Dog", "horse": "Horse", "sheep": "Sheep", "cow": "Cow",
    "elephant": "Elephant", "bear": "Bear", "zebra": "Zebra", "giraffe": "Giraffe", "bicycle": "Bicycle",
    "motorcycle": "Motorcycle", "airplane": "Airplane", "boat": "Boat", "car": "Vehical", "bus": "Vehical",
    "truck": "Vehical",
}  # fmt: skip


def youtube_vis_training(data_root: str, classes: Sequence[str], frames: int = 5) -> TrainData:
    """A key frame and others at most 20 off it, in one size drawn for the clip, some of them cropped before."""
    records = read_youtube_vis(*find_youtube_vis(data_root, "train"), classes)
    return TrainData(ClipDataset(records, near_frames(frames), augmentation()))


def joint_training(
    data_root: str, coco_root: str, classes: Sequence[str], names: Mapping[str, str], frames: int = 5
) -> TrainData:
    """As `youtube_vis_training`, and COCO's images with objects of the same classes as videos of a moving camera.

    Args:
        names: COCO's name of a class to that among `classes`.
    """
    records = read_youtube_vis(*find_youtube_vis(data_root, "train"), classes)
    records += read_coco_stills(*find_coco_split(coco_root, "train2017"), classes, names)
    return TrainData(ClipDataset(records, near_frames(frames), [PseudoVideo(), *augmentation()]))


def coco_training(coco_root: str, classes: Sequence[str]) -> TrainData:
    """COCO's images as videos of one frame."""
    records = read_coco_stills(*find_coco_split(coco_root, "train2017"), classes, {name: name for name in classes})
    return TrainData(ClipDataset(records, StridedClip(1), augmentation()))


def coco_scoring(coco_root: str, classes: Sequence[str]) -> TestData:
    """COCO's validation images as videos of one frame, by track AP, which is mask AP there."""
    records = read_coco_stills(*find_coco_split(coco_root, "val2017"), classes, {name: name for name in classes})
    return TestData(records, partial(VISEvaluator, classes), "AP", final_scores)


def youtube_vis_scoring(data_root: str, classes: Sequence[str], split: str = "valid") -> TestData | None:
    """All videos of a split; None where it has no truth, as the public validation sets."""
    records = read_youtube_vis(*find_youtube_vis(data_root, split), classes)
    if not any(record.instances for record in records):
        return None
    return TestData(records, partial(VISEvaluator, classes), "AP", final_scores)


def find_coco_split(root: str, split: str) -> tuple[Path, Path]:
    """`annotations/instances_SPLIT.json` and the folder SPLIT; of a smaller set `annotations/instances.json`, `images`.

    Raises:
        FileNotFoundError: neither is there.
    """
    folder = Path(root)
    for file, images in ((f"instances_{split}.json", split), ("instances.json", "images")):
        if (folder / "annotations" / file).is_file():
            return folder / "annotations" / file, folder / images
    raise FileNotFoundError(
        f"{root}: neither annotations/instances_{split}.json nor annotations/instances.json; "
        "another folder is given as root=DIR, or as coco_root=DIR where videos have their own"
    )


def near_frames(count: int) -> KeyAndReferences:
    """The key frame and others around it; their order means nothing to a softmax over time."""
    return KeyAndReferences(count=count - 1, reach=20, sides="any")


def augmentation() -> list[Transform]:
    """One size for the clip, for half of them of a crop; mirrored or not."""
    scales = [(768, side) for side in SHORT_SIDES]
    crop = [Resize([(1333, 400), (1333, 500), (1333, 600)]), RandomCrop((384, 384), (600, 600)), Resize(scales)]
    return [OneOf([[Resize(scales)], crop]), Flip()]
