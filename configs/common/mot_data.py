"""MOTChallenge's folders as data to learn from and to be scored on; read when a run is built.

MOT17 has every sequence three times, once per public detector; its pictures and truth are the same, so one of them
(FRCNN) is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vidperc.data.datasets import ClipDataset
from vidperc.data.identities import IdentityClips, find_identities, records_of, split_identities
from vidperc.data.readers.motchallenge import half_split, read_crowdhuman, read_mot_sequences
from vidperc.data.transforms import Flip, PhotometricDistortion, RandomCrop, Resize
from vidperc.data.transforms.geometry import crop_whole
from vidperc.engine.experiment import TestData, TrainData
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.evaluation.reid import RetrievalEvaluator, embed_truth
from vidperc.structures import VideoRecord

from .classes import mot_classes
from .yolox_data import mosaics

SIDE = 1088  # of the pictures that MMTracking's detectors learn from


def mot_records(root: str, names: Sequence[str] | None = None, half: int | None = None) -> list[VideoRecord]:
    """The sequences below a folder, or the first (0) or second (1) half of each."""
    records = read_mot_sequences(root, names)
    return records if half is None else half_split(records, half)


def mot_detection_training(root: str, names: Sequence[str] | None = None, half: int | None = None) -> TrainData:
    """Pedestrians, whole ones, in pictures of 0.8 to 1.2 times the usual size."""
    scales = [(side, side) for side in range(int(0.8 * SIDE), int(1.2 * SIDE) + 1)]
    transforms = [Resize(scales), PhotometricDistortion(), RandomCrop((SIDE, SIDE), crop=crop_whole), Flip()]
    return TrainData(ClipDataset(mot_records(root, names, half), transforms=transforms))


def mot_detection_scoring(root: str, names: Sequence[str] | None = None, half: int | None = None) -> TestData:
    """Box AP of pedestrians in all frames."""
    return TestData(mot_records(root, names, half), partial(COCOEvaluator, mot_classes()), "AP50")


def people_training(
    root: str,
    names: Sequence[str] | None = None,
    half: int | None = None,
    crowdhuman: str | None = "data/CrowdHuman",
    side: tuple[int, int] = (1440, 800),
) -> TrainData:
    """Pedestrians of MOTChallenge and people of CrowdHuman, in mosaics mixed with another picture (YOLOX).

    Args:
        root, names, half: as `mot_records`.
        crowdhuman: folder with `annotation_train.odgt` and `Images`; None leaves it out.
        side: (longer, shorter) side that pictures are fitted in.
    """
    records = mot_records(root, names, half)
    if crowdhuman is not None:
        folder = Path(crowdhuman)
        records += read_crowdhuman(folder / "annotation_train.odgt", folder / "Images")
    longer, shorter = side
    steps = round(0.72 * shorter / 32), round(1.28 * shorter / 32)
    return mosaics(records, (shorter, longer), steps, last_epochs=10, crop=crop_whole)


def reid_training(root: str, names: Sequence[str] | None = None, share: float = 0.8) -> TrainData:
    """8 x 4 crops per clip, of the share of identities that is not scored on."""
    train, _ = split_identities(find_identities(mot_records(root, names)), share)
    return TrainData(IdentityClips(train, people=8, views=4, transforms=[Flip()]))


def reid_scoring(root: str, names: Sequence[str] | None = None, share: float = 0.8, stride: int = 10) -> TestData:
    """Retrieval among the identities that are not learnt, in every `stride`-th frame."""
    _, rest = split_identities(find_identities(mot_records(root, names)), share)
    return TestData(records_of(rest), RetrievalEvaluator, "mAP", partial(embed_truth, stride=stride))
