"""Stills of COCO as videos, and where YouTube-VIS's splits are found."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from vidperc.data.datasets import read_frame
from vidperc.data.problems import DataError
from vidperc.data.readers.coco_stills import read_coco_stills
from vidperc.data.readers.find_vis import find_youtube_vis
from vidperc.data.transforms import PseudoVideo
from vidperc.structures import Clip, Frame, Instances


def still(frames=3):
    """A square of 20 pixels on a picture of 60x80, shown again and again."""
    masks = torch.zeros(1, 60, 80, dtype=torch.bool)
    masks[0, 20:40, 30:50] = True
    objects = Instances(
        torch.tensor([[30.0, 20, 50, 40]]), torch.zeros(1).long(), masks=masks, ids=torch.zeros(1).long()
    )
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[20:40, 30:50] = 200
    return Clip([Frame.from_array(picture) for _ in range(frames)]), objects


def moved(transform, frames=3):
    clip, objects = still(frames)
    for frame in clip.frames:
        frame.instances = objects
    return transform(clip, np.random.default_rng(0))


def test_frames_move_each_by_itself_and_masks_with_the_picture():
    clip = moved(PseudoVideo(rotation=20, scale=(0.8, 1.2), shift=0.1, fill=(0, 0, 0)))
    assert len({frame.array.tobytes() for frame in clip.frames}) == 3
    for frame in clip.frames:
        mask = frame.instances.masks[0].numpy()
        bright = frame.array[..., 0] > 100
        assert (mask & bright).sum() / (mask | bright).sum() > 0.93
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert frame.instances.boxes[0].tolist() == expected
        assert frame.instances.ids.tolist() == [0]


def test_without_motion_nothing_changes_and_what_leaves_is_gone():
    clip = moved(PseudoVideo(rotation=0, scale=(1, 1), shift=0))
    assert clip[0].instances.boxes.tolist() == [[30, 20, 50, 40]]
    clip = moved(PseudoVideo(rotation=0, scale=(20, 20), shift=0.0), frames=1)  # one object fills all
    assert clip[0].instances.masks.all()
    gone, _ = still(1)
    gone[0].instances = Instances(
        torch.tensor([[0.0, 0, 2, 2]]),
        torch.zeros(1).long(),
        masks=torch.zeros(1, 60, 80).bool(),
        ids=torch.zeros(1).long(),
    )
    assert len(PseudoVideo()(gone, np.random.default_rng(0))[0].instances) == 0


def test_videos_stay_as_they_are():
    clip, _ = still(2)
    clip.frames[1].index = 1
    assert PseudoVideo()(clip, np.random.default_rng(0)) is clip


def test_stills_of_the_wanted_classes(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    polygon = [[10, 10, 20, 10, 20, 30, 10, 30]]
    box = {"bbox": [10, 10, 10, 20], "segmentation": polygon}
    content = {
        "images": [{"id": n, "file_name": "a.png", "height": 40, "width": 60} for n in (1, 2)],
        "categories": [{"id": 3, "name": "car"}, {"id": 90, "name": "kite"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 90, **box},
            {"id": 2, "image_id": 1, "category_id": 3, **box},
            {"id": 3, "image_id": 2, "category_id": 90, **box},
        ],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    names = {"car": "sedan", "dog": "dog"}
    (record,) = read_coco_stills(tmp_path / "x.json", tmp_path, ("dog", "sedan"), names)
    objects = read_frame(record, 0).instances
    assert (objects.labels.tolist(), objects.ids.tolist()) == ([1], [0])
    assert objects.masks.sum() == 200
    with pytest.raises(DataError, match="no image has an object of dog"):
        read_coco_stills(tmp_path / "x.json", tmp_path, ("dog",), {"dog": "dog"})


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("valid/instances.json", "valid/JPEGImages"),
        ("valid.json", "valid/JPEGImages"),
        ("annotations_valid.json", "valid"),
        ("annotations/instances_val.json", "JPEGImages"),
        ("instances.json", "JPEGImages"),
    ],
)
def test_splits_are_found(tmp_path, file, images):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / images).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no valid/instances\.json"):
        find_youtube_vis(tmp_path)
    (tmp_path / file).write_text("{}")
    assert find_youtube_vis(tmp_path) == (tmp_path / file, tmp_path / images)
