"""What detectors learn from: YOLOX's mosaics and last epochs, the sizes of others' pictures."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch
from vidperc.configs.common.yolox_data import mosaics, sizes_of_steps

from vidperc.data.datasets import ClipDataset
from vidperc.data.synthetic import synthetic_videos
from vidperc.models import get_config


def test_sizes_are_whole_steps_of_the_shape():
    assert sizes_of_steps((640, 640), (15, 16)) == [(480, 480), (512, 512)]
    assert sizes_of_steps((800, 1440), (18, 19)) == [(1024, 576), (1088, 608)]


def test_mosaics_have_more_objects_than_the_pictures_of_the_last_epochs():
    data = mosaics(synthetic_videos("train", 3, 4, (60, 90)), (64, 96), (2, 3), last_epochs=2)
    assert data.last_epochs == 2
    joined, plain = ([part[number, number] for number in range(12)] for part in (data.dataset, data.last))
    assert {clip[0].size for clip in joined} == {(64, 96), (85, 128)}
    # pictures of 60 x 90 have the same ratio
    assert {clip[0].size for clip in plain} == {(64, 96), (85, 128)}
    counts = [sum(len(clip[0].instances) for clip in part) for part in (joined, plain)]
    assert counts[0] > 1.5 * counts[1]
    for clip in joined:
        limits = torch.tensor([clip[0].size[1], clip[0].size[0]] * 2)
        assert (clip[0].instances.boxes >= 0).all()
        assert (clip[0].instances.boxes <= limits).all()


@pytest.mark.parametrize(
    ("name", "factors", "mixup", "flat"),
    [
        ("yolox_s_8x8_300e_coco", None, None, 15 / 300),
        ("yolox_tiny_8x8_300e_coco", (0.5, 1.5), False, 15 / 300),
        ("yolox_x_crowdhuman_mot17-half", None, None, 10 / 80),
    ],
)
def test_recipes(name, factors, mixup, flat):
    config = get_config(name)
    given = fdl.ordered_arguments(config.train_data)
    assert given.get("factors") == factors
    assert given.get("mixup") == mixup
    assert config.schedule.curve.flat == flat


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("yolof_r50_c5_8x8_1x_coco", {(800, 1280)}),
        ("yolact_r50_1x8_coco", {(550, 550)}),
        ("cornernet_hourglass104_mstest_8x6_210e_coco", {(511, 511)}),
    ],
)
def test_pictures_of_a_recipe(name, sizes):
    data = get_config(name).train_data
    transforms = [fdl.build(each) for each in data.transforms]
    dataset = ClipDataset(synthetic_videos("train", 2, 3, (200, 320), "vis"), transforms=transforms)
    clips = [dataset[number, number] for number in range(6)]
    assert {clip[0].size for clip in clips} == sizes
    assert sum(len(clip[0].instances) for clip in clips) > 5
    assert data.masks == ("yolact" in name)
