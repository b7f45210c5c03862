"""Semantic maps: read beside COCO's images, moved with the picture."""

import json

import cv2
import numpy as np
import pytest
import torch

from vidperc.data.datasets import ClipDataset, read_frame
from vidperc.data.problems import DataError
from vidperc.data.readers.coco_stuff import read_coco_stuff
from vidperc.data.transforms import Expand, Flip, Mosaic, PseudoVideo, Resize
from vidperc.data.transforms.geometry import crop_frame, flip_frame, pad_frame, resize_frame
from vidperc.structures import Clip, Frame, Instances


def coco_stuff(root, size=(4, 6), name="a"):
    """One picture with one object, and its map."""
    (root / "images").mkdir()
    (root / "maps").mkdir()
    cv2.imwrite(str(root / "images" / "a.jpg"), np.zeros((4, 6, 3), np.uint8))
    values = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)
    cv2.imwrite(str(root / "maps" / f"{name}.png"), values)
    square = {"bbox": [1, 1, 3, 2], "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "image_id": 1, "category_id": 1}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": 1, **square}],
    }
    (root / "x.json").write_text(json.dumps(content))
    return root / "x.json", root / "images", root / "maps"


def test_maps_are_read_beside_masks(tmp_path):
    (record,) = read_coco_stuff(*coco_stuff(tmp_path))
    frame = read_frame(record, 0)
    assert frame.semantic.tolist() == np.arange(24).reshape(4, 6).tolist()
    assert frame.semantic.dtype == torch.uint8
    assert frame.instances.masks.sum() == 6
    clip = ClipDataset([record], transforms=[Flip(1.0), Resize((12, 8))])[0, 0]
    assert clip[0].semantic.tolist() == np.arange(24).reshape(4, 6)[:, ::-1].repeat(2, 0).repeat(2, 1).tolist()


def test_missing_and_wrong_maps_are_told(tmp_path):
    for folder in ("none", "other", "size", "colour"):
        (tmp_path / folder).mkdir()
    annotations, images, _ = coco_stuff(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="stuffthingmaps"):
        read_coco_stuff(annotations, images, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"1 of 1 images have no map, as a\.jpg; .*stuffthingmaps"):
        read_coco_stuff(*coco_stuff(tmp_path / "other", name="b"))
    (record,) = read_coco_stuff(*coco_stuff(tmp_path / "size", size=(3, 6)))
    with pytest.raises(DataError, match="a map of 6x3 on a frame of 6x4"):
        read_frame(record, 0)
    (record,) = read_coco_stuff(*coco_stuff(tmp_path / "colour"))
    cv2.imwrite(str(tmp_path / "colour" / "maps" / "a.png"), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(DataError, match="one channel"):
        read_frame(record, 0)


def frame_with_map() -> Frame:
    frame = Frame.from_array(np.zeros((4, 6, 3), np.uint8))
    frame.semantic = torch.arange(24, dtype=torch.uint8).view(4, 6)
    frame.instances = Instances(boxes=torch.tensor([[1.0, 1, 4, 3]]), masks=torch.ones(1, 4, 6, dtype=torch.bool))
    return frame


def test_geometry_by_hand():
    frame = frame_with_map()
    grid = frame.semantic
    assert resize_frame(frame, (2, 3)).semantic.tolist() == grid[::2, ::2].tolist()  # nearest, no new classes
    assert flip_frame(frame).semantic.tolist() == grid.flip(1).tolist()
    assert flip_frame(frame, horizontal=False).semantic.tolist() == grid.flip(0).tolist()
    assert crop_frame(frame, (1, 2, 4, 4)).semantic.tolist() == grid[2:4, 1:4].tolist()
    padded = pad_frame(frame, (1, 0), (5, 8)).semantic
    assert padded[:4, 1:7].tolist() == grid.tolist()
    assert (padded == 255).sum() == 5 * 8 - 24


def test_expansion_is_unknown_and_joined_pictures_have_no_map():
    clip = Clip([frame_with_map()])
    rng = np.random.default_rng(0)
    larger = Expand((2.0, 2.0), probability=1.0)(clip, rng)[0].semantic
    assert larger.shape == (8, 12)
    assert (larger == 255).sum() == 8 * 12 - 24
    assert Mosaic((8, 8))(clip, rng, lambda: clip)[0].semantic is None
    assert PseudoVideo()(clip, rng)[0].semantic is None
