"""COCO's images as stills of a video benchmark's classes, to train on beside its videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...structures import VideoRecord
from ..problems import DataError
from .coco import MaskedFrames, read_coco


def read_coco_stills(
    annotations: str | Path, images: str | Path, classes: Sequence[str], names: Mapping[str, str]
) -> list[VideoRecord]:
    """The images with an object of a wanted class, their masks and ids counted within the image; others are left out.

    Args:
        annotations, images: as `read_coco`.
        classes: of the benchmark, in the order of the labels.
        names: COCO's name of a class to the benchmark's.

    Raises:
        DataError: no image has such an object. Else as `read_coco`.
    """
    found = read_coco(annotations, images, masks=True)
    known = found[0].classes if found else ()
    label = {name: classes.index(own) for name, own in names.items()}
    labels = torch.tensor([label.get(name, -1) for name in known])
    records = [still for record in found if (still := _still(record, labels, tuple(classes))) is not None]
    if not records:
        raise DataError(f"{annotations}: no image has an object of {', '.join(list(names)[:10])} ...")
    return records


def _still(record: VideoRecord, labels: torch.Tensor, classes: tuple[str, ...]) -> VideoRecord | None:
    objects, load = record.instances[0], record.load
    assert objects.labels is not None and isinstance(load, MaskedFrames)
    own = labels[objects.labels]
    keep = own >= 0 if objects.ignored is None else (own >= 0) & ~objects.ignored
    rows = keep.nonzero().flatten()
    if not len(rows):
        return None
    kept = objects[rows].replace(labels=own[rows], ids=torch.arange(len(rows)))
    segments = [load.segments[0][row] for row in rows.tolist()]
    return replace(
        record, instances={0: kept}, classes=classes, load=MaskedFrames(load.paths, {0: kept}, {0: segments})
    )
