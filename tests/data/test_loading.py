"""Frame samplers, clip data sets and the order of batches."""

import itertools
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from vidperc.data.datasets import ClipDataset, VideoDataset, key_frames, read_frame
from vidperc.data.frame_samplers import KeyAndReferences, KeyFrame, Pair, SpreadReferences, StridedClip
from vidperc.data.loader import (
    TrainingBatches,
    aspect_groups,
    balanced_factors,
    make_loader,
    repeat_factors,
    shard_videos,
)
from vidperc.data.packing import pack, unpack
from vidperc.data.problems import DataError, DataWarning, Problems, clean_boxes
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms import Flip, Resize, ResizeRange
from vidperc.structures import Frame, Instances, VideoRecord

SAMPLERS = [
    KeyFrame(),
    KeyAndReferences(2, 9),
    KeyAndReferences(3, 4, "before"),
    KeyAndReferences(3, 4, "after"),
    KeyAndReferences(4, 2, "any"),
    SpreadReferences(4),
    Pair(5),
    StridedClip(5, 3),
    StridedClip(7),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("length", [1, 2, 5, 100])
def test_frames_lie_inside_and_the_key_is_among_them(sampler, length):
    for key in {0, length // 2, length - 1}:
        for seed in range(5):
            numbers, position = sampler.sample(length, key, np.random.default_rng(seed))
            assert numbers[position] == key
            assert all(0 <= number < length for number in numbers)
            assert sampler.sample(length, key, np.random.default_rng(seed)) == (numbers, position)


def test_references_on_either_side():
    numbers, _ = KeyAndReferences(2, 9).sample(100, 50, np.random.default_rng(0))
    assert 41 <= numbers[1] < 50 < numbers[2] <= 59
    numbers, _ = KeyAndReferences(1, 9, "before").sample(100, 50, np.random.default_rng(0))
    assert 41 <= numbers[1] < 50


def test_a_strided_clip_is_in_order():
    numbers, _ = StridedClip(4, 3).sample(100, 50, np.random.default_rng(0))
    assert np.diff(numbers).tolist() == [3, 3, 3]
    assert StridedClip(4).sample(2, 1, np.random.default_rng(0))[0] in ([0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1])


def picture_record(name="a", boxes=((1.0, 2, 10, 12),), size=(20, 30), labels=None) -> VideoRecord:
    objects = Instances(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64) if labels is None else torch.tensor(labels),
    )
    return VideoRecord(
        name=name, length=1, size=size, instances={0: objects}, load=PlainFrame(size)
    )  # fmt: skip


class PlainFrame:
    def __init__(self, size):
        self.size = size

    def __call__(self, index):
        return Frame.from_array(np.full((*self.size, 3), 7, np.uint8), index)


def broken(index):
    raise FileNotFoundError("gone.jpg: no such file")


def test_clip_is_a_function_of_number_and_seed():
    data = ClipDataset(synthetic_videos("train", 2, 6, (64, 96)), KeyAndReferences(2, 2), [Flip(), Resize((90, 60))])
    one, two, other = data[3, 11], data[3, 11], data[3, 12]
    assert len(one) == 3
    assert all(torch.equal(a.image, b.image) for a, b in zip(one.frames, two.frames))
    assert any(not torch.equal(a.image, b.image) for a, b in zip(one.frames, other.frames))
    assert len(data) == 12
    assert len(pickle.loads(pickle.dumps(data))) == 12  # workers may be started afresh


def test_a_bad_sample_is_replaced_and_counted(caplog):
    records = [VideoRecord("bad", length=1, load=broken), picture_record("good")]
    data = ClipDataset(records)
    assert data[0, 5].video == "good"
    assert list(data.failures) == ["bad, frame 0"]
    for seed in range(6):
        data[0, seed]
    assert data.failures["bad, frame 0"] >= 7
    assert caplog.text.count("left out (1 of 2 so far): bad, frame 0: gone.jpg: no such file") == 1
    with pytest.raises(DataError, match=r"20 bad samples in a row, the last one bad, frame 0: .*gone\.jpg"):
        ClipDataset(records[:1])[0, 0]


def test_bad_boxes_are_left_out_with_a_warning():
    record = picture_record(boxes=((1.0, 2, 10, 12), (5.0, 5, 5, 9), (float("nan"), 0, 1, 1), (9.0, 9, 3, 3)))
    with pytest.warns(DataWarning, match="a, frame 0: 3 boxes"):
        clip = ClipDataset([record])[0, 0]
    assert clip[0].instances.boxes.tolist() == [[1, 2, 10, 12]]


def test_key_frames_are_those_with_counted_objects():
    some = Instances(boxes=torch.tensor([[0.0, 0, 5, 5]]))
    crowd = some.replace(ignored=torch.tensor([True]))
    record = VideoRecord("v", length=6, instances={0: some, 1: Instances.empty(), 3: crowd, 4: some}, load=broken)
    assert key_frames(record, 1, keep_empty=False) == [0, 4]
    assert key_frames(record, 1, keep_empty=True) == [0, 1, 3, 4]
    assert key_frames(record, 3, keep_empty=True) == [0, 3]
    with pytest.raises(DataError, match="no frames to train on"):
        ClipDataset([VideoRecord("v", length=2, frames=["a.jpg", "b.jpg"])])


def test_read_frame_names_video_and_frame():
    with pytest.raises(DataError, match=r"v, frame 0: .*missing\.jpg"):
        read_frame(VideoRecord("v", frames=["missing.jpg"]), 0)


def test_video_dataset():
    video = VideoDataset(synthetic_videos("test", 2, 4, (64, 64)))[1]
    assert len(video) == 4
    assert all(frame.instances is not None for frame in video)


def take(batches, count):
    return list(itertools.islice(batches, count))


def test_batches_cover_each_epoch():
    numbers = [n for batch in take(TrainingBatches(10, 2, seed=3), 10) for n, _ in batch]
    assert sorted(numbers[:10]) == list(range(10)) == sorted(numbers[10:])
    assert numbers[:10] != numbers[10:]


def test_batches_resume():
    whole = take(TrainingBatches(10, 3, seed=1), 12)
    assert take(TrainingBatches(10, 3, seed=1, start=7), 5) == whole[7:]
    assert take(TrainingBatches(10, 3, seed=2), 12) != whole


def test_two_processes_share_the_batch_of_one():
    one = take(TrainingBatches(10, 4, seed=1), 6)
    parts = [take(TrainingBatches(10, 2, seed=1, rank=rank, world_size=2), 6) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts)] == one


def test_repeats_and_groups():
    numbers = [n for batch in take(TrainingBatches(3, 1, repeats=[1, 2, 0.5]), 350) for n, _ in batch]
    counts = np.bincount(numbers) / 100
    assert counts == pytest.approx([1, 2, 0.5], abs=0.1)
    batches = take(TrainingBatches(9, 2, groups=[0, 1] * 4 + [0]), 50)
    assert all(a % 2 == b % 2 for (a, _), (b, _) in batches)


def test_factors_by_hand():
    # class 0 in all of 4 samples, class 1 in one: sqrt(0.5 / 0.25)
    assert repeat_factors([[0], [0], [0, 1], [0]], 0.5) == pytest.approx([1, 1, 2**0.5, 1])
    assert balanced_factors([[0], [0], [0], [1]]) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_aspect_groups():
    data = ClipDataset([picture_record("wide"), picture_record("high", size=(30, 20))])
    assert aspect_groups(data) == [0, 1]


def test_videos_are_shared_out_whole():
    shares = shard_videos([100, 10, 20, 70, 5], 2)
    assert shares == [[0, 4], [1, 2, 3]]  # 105 and 100 frames
    assert shard_videos([3], 3) == [[0], [], []]


def test_workers_change_nothing():
    data = ClipDataset(synthetic_videos("train", 2, 4, (64, 96)), transforms=[Flip()])
    loaders = [make_loader(data, TrainingBatches(len(data), 2, seed=4), workers) for workers in (0, 2)]
    for _ in range(3):
        own, workers = (next(loader) for loader in loaders)
        for a, b in zip(own, workers):
            assert torch.equal(a[0].image, b[0].image)
            assert torch.equal(a[0].instances.boxes, b[0].instances.boxes)


FAILING = """
import torch
from vidperc.data.datasets import ClipDataset
from vidperc.data.loader import TrainingBatches, make_loader
from vidperc.structures import Instances, VideoRecord

one = Instances(boxes=torch.tensor([[0.0, 0, 5, 5]]))
data = ClipDataset([VideoRecord("v", frames=["gone.jpg"], instances={0: one})])
held = []
try:
    next(make_loader(data, TrainingBatches(1, 1), workers=1))
except ValueError as error:
    held.append(error)  # as a debugger or a caller may
    print(type(error).__name__, error)
"""


def test_a_program_ends_although_its_data_are_bad():
    """Workers ignore signals: none may be left when the interpreter waits for them at its end."""
    ran = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    expected = "DataError 20 bad samples in a row, the last one v, frame 0: gone.jpg: no such file"
    assert ran.stdout.strip() == expected


def mixed_data():
    """Wide and high pictures; one in eight has the rare class 1. Several sizes are drawn."""
    records = [
        picture_record(f"{n}", size=(20, 30) if n % 3 else (30, 20), labels=[int(n % 8 == 0)]) for n in range(17)
    ]
    transforms = [Resize([(60, 40), (75, 50), (90, 60)]), Flip(), ResizeRange((30, 20), (90, 60)), Flip(1.0)]
    return ClipDataset(records, transforms=transforms)


@pytest.mark.parametrize("start", [1, 4, 9, 14])
def test_all_at_once_resumes_within_an_epoch(start):
    """Multi-scale, grouped by aspect, rare classes repeated, two processes: from any step on the same batches."""
    data = mixed_data()
    settings = {
        "repeats": repeat_factors([data.labels(n) for n in range(len(data))], 0.5),
        "groups": aspect_groups(data), "seed": 3, "world_size": 2,
    }  # fmt: skip
    assert max(settings["repeats"]) > 1.5
    assert TrainingBatches(len(data), 2, **settings).batches_per_epoch > 4
    for rank in (0, 1):
        whole = take(make_loader(data, TrainingBatches(len(data), 2, rank=rank, **settings)), 16)
        rest = TrainingBatches(len(data), 2, rank=rank, start=start, **settings)
        for clips, again in zip(whole[start:], make_loader(data, rest)):
            assert [clip.video for clip in clips] == [clip.video for clip in again]
            for clip, other in zip(clips, again):
                assert torch.equal(clip[0].image, other[0].image)
                assert torch.equal(clip[0].instances.boxes, other[0].instances.boxes)
        assert all(len({clip[0].size[0] > clip[0].size[1] for clip in clips}) == 1 for clips in whole)
    assert len({clip[0].size for clips in whole for clip in clips}) > 8
    counts = Counter(clip.video for clips in whole for clip in clips)
    assert {"0", "8", "16"} <= set(counts)


def test_packed_values_come_back_as_they_were():
    picture = torch.arange(24, dtype=torch.uint8).view(2, 4, 3).permute(2, 0, 1)  # (3, 2, 4), channels innermost
    value = {
        "name": "a", "picture": picture, "masks": torch.ones(2, 3, 3, dtype=torch.bool), "none": torch.zeros(0, 4),
        "number": torch.tensor(7), "part": torch.arange(10)[2:8:2],
    }  # fmt: skip
    back = unpack(pack(value))
    assert back["name"] == "a"
    assert back["picture"].stride() == picture.stride()
    for name in ("picture", "masks", "none", "number", "part"):
        assert back[name].dtype == value[name].dtype
        assert torch.equal(back[name], value[name])


def test_clean_boxes_counts_by_kind():
    problems = Problems("file.json")
    boxes = [[0, 0, 5, 5], [3, 3, 3, 9], [5, 5, 1, 1], [float("inf"), 0, 1, 1], [50, 0, 60, 9], [-4, 2, 90, 6]]
    clean, usable = clean_boxes(np.asarray(boxes), (10, 40), problems, [f"row {i}" for i in range(6)])
    assert usable.tolist() == [True, False, False, False, False, True]
    assert clean[5].tolist() == [0, 2, 40, 6]
    with pytest.warns(DataWarning, match=r"file.json: 1 boxes outside the picture \(first: row 4\).*2 empty or inv"):
        problems.warn()
