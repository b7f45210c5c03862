"""Data sets numbered through as one."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from vidperc.data.datasets import ClipDataset
from vidperc.data.loader import TrainingBatches, make_loader
from vidperc.data.mixed import MixedClips
from vidperc.data.synthetic import synthetic_videos


def small(split, length):
    return ClipDataset(synthetic_videos(split, 1, length, (48, 64)))


def test_numbers_go_through_the_parts_in_order():
    first, second = small("train", 3), small("val", 2)
    mixed = MixedClips([first, second])
    assert len(mixed) == 5
    for number, expected in enumerate([*((first, k) for k in range(3)), *((second, k) for k in range(2))]):
        part, local = expected
        clip, wanted = mixed[number, 7], part[local, 7]
        assert clip.video == wanted.video
        assert np.array_equal(clip[0].array, wanted[0].array)
    for outside in (-1, 5):
        with pytest.raises(IndexError, match="of 5"):
            mixed[outside, 0]


def test_the_loader_takes_them():
    mixed = MixedClips([small("train", 2), small("val", 2)])
    batches = islice(make_loader(mixed, TrainingBatches(4, 2, seed=0)), 2)
    assert sorted(clip.video for batch in batches for clip in batch) == sorted(mixed[k, 0].video for k in range(4))
