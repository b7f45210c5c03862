"""Crops by identity: who is seen well, splits without overlap, P x K clips, retrieval scores by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidperc import Frame, Instances
from vidperc.data.identities import (
    IdentityClips,
    MoveBoxes,
    cut_out,
    find_identities,
    records_of,
    split_identities,
)
from vidperc.data.problems import DataError
from vidperc.evaluation.reid import RetrievalEvaluator, embed_truth, retrieval_scores
from vidperc.io import Video
from vidperc.sequence import SequenceModel
from vidperc.structures import Clip, VideoRecord


def record(name: str = "a", length: int = 10, count: int = 3) -> VideoRecord:
    """Object k is a square of grey level 40 + 60 k that moves right; object 2 is hidden in the second half."""
    instances = {}
    for index in range(length):
        boxes = [[2.0 + index + 30 * k, 5, 22 + index + 30 * k, 35] for k in range(count)]
        instances[index] = Instances(
            boxes=torch.tensor(boxes),
            labels=torch.zeros(count, dtype=torch.int64),
            ids=torch.arange(count) + 7,
            visibilities=torch.tensor([1.0, 0.5, 1.0 if index < length // 2 else 0.1][:count]),
            ignored=torch.zeros(count, dtype=torch.bool),
        )

    def load(index: int) -> Frame:
        picture = np.zeros((48, 128, 3), np.uint8)
        for k, (x1, y1, x2, y2) in enumerate(instances[index].boxes.int().tolist()):
            picture[y1:y2, x1:x2] = 40 + 60 * k
        return Frame.from_array(picture, index)

    return VideoRecord(name, length=length, size=(48, 128), instances=instances, load=load)


def test_only_what_is_seen_well_and_often_counts():
    found = find_identities([record()], min_visibility=0.3, min_sightings=8)
    assert [(identity.key, len(identity)) for identity in found] == [(7, 10), (8, 10)]
    found = find_identities([record()], min_visibility=0.3, min_sightings=3, max_sightings=4)
    assert [(identity.key, identity.frames.tolist()) for identity in found] == [
        (7, [0, 3, 6, 9]), (8, [0, 3, 6, 9]), (9, [0, 1, 2, 4]),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"no object is seen 20 times.* in a"):
        find_identities([record()], min_sightings=20)


def test_truth_that_comes_with_the_frames_is_read():
    full = record()

    def load(index: int) -> Frame:
        frame = full.load(index)
        frame.instances = full.instances[index]
        return frame

    drawn = VideoRecord("drawn", length=10, size=(48, 128), load=load)
    assert [len(identity) for identity in find_identities([drawn], min_sightings=3, stride=2)] == [5, 5, 3]


def test_splits_share_nobody():
    identities = find_identities([record("a"), record("b"), record("c")], min_sightings=3)
    train, rest = split_identities(identities, 0.8)
    assert (len(train), len(rest)) == (7, 2)
    keys = [(identity.record.name, identity.key) for identity in [*train, *rest]]
    assert len(set(keys)) == len(identities)
    assert split_identities(identities, 0.8)[1] == rest
    annotated = records_of(rest)
    assert sum(len(objects) for item in annotated for objects in item.instances.values()) == sum(map(len, rest))


def test_clips_hold_p_identities_k_times():
    identities = find_identities([record("a"), record("b")], min_sightings=3)
    data = IdentityClips(identities, people=4, views=3)
    assert len(data) == sum(map(len, identities))
    clip, again = data[(25, 3)], data[(25, 3)]
    ids = [int(frame.instances.ids[0]) for frame in clip.frames]
    assert len(clip) == 12 and [ids.count(key) for key in dict.fromkeys(ids)] == [3] * 4
    own = int(np.searchsorted(data.ends, 25, side="right"))
    assert ids[0] == own
    for frame, other in zip(clip.frames, again.frames):
        assert torch.equal(frame.image, other.image)
        x1, y1, x2, y2 = frame.instances.boxes[0].int().tolist()
        level = 40 + 60 * (identities[int(frame.instances.ids[0])].key - 7)
        assert (frame.image[:, y1:y2, x1:x2] == level).all()
    with pytest.raises(DataError, match="clips of 9 identities"):
        IdentityClips(identities, people=9)


def test_a_picture_that_cannot_be_read_does_not_end_a_run(caplog):
    good, bad = record("a"), record("b")
    read = bad.load

    def gap(index: int) -> Frame:
        if index == 0:
            raise FileNotFoundError("000000.jpg: no such file")
        return read(index)

    bad.load = gap
    data = IdentityClips(find_identities([good, bad], min_sightings=3), people=5, views=4)
    clips = [data[(number, seed)] for number in range(len(data)) for seed in range(3)]
    assert all(len(clip) == 20 for clip in clips)
    assert list(data.failures) == ["b, frame 0"]
    assert "a sample is left out (1 of 5 so far): b, frame 0: 000000.jpg: no such file" in caplog.text


def test_a_crop_at_the_border_stays_inside():
    frame = Frame.from_array(np.zeros((20, 30, 3), np.uint8))
    crop = cut_out(frame, np.array([25.0, -5.0, 40.0, 8.0]))
    assert crop.size == (10, 7)
    torch.testing.assert_close(crop.instances.boxes, torch.tensor([[2.0, -5, 17, 8]]))


def test_moved_boxes_stay_near():
    clip = Clip([cut_out(record().load(0), np.array([2.0, 5, 22, 35]))])
    before = clip.frames[0].instances.boxes.clone()
    moved = MoveBoxes(0.1)(clip, np.random.default_rng(0)).frames[0].instances.boxes
    assert 0 < (moved - before).abs().max() <= 3.0
    assert torch.equal(clip.frames[0].instances.boxes, before)


def test_retrieval_by_hand():
    """On a line: 0 a, 1 a, 3 b, 4 a, 9 c. Of the four... each asks the others, nearest first."""
    scores = retrieval_scores(np.array([[0.0], [1], [3], [4], [9]]), np.array([0, 0, 1, 0, 2]))
    # 0: a b a c -> 1, 2/3; 1: a(0) b(3) a(4) -> 1, 2/3; 4: b a a -> 1/2, 2/3
    assert scores["rank1"] == pytest.approx(2 / 3)
    assert scores["mAP"] == pytest.approx(np.mean([(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2]))
    assert scores["rank5"] == 1.0
    with pytest.raises(ValueError, match="seen twice"):
        retrieval_scores(np.zeros((2, 1)), np.array([0, 1]))


class GreyLevel(SequenceModel):
    """The brightness of a box as its embedding."""

    def step(self, frame, state):
        found = frame.detections
        centres = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2).long()
        levels = [float(frame.image[0, y, x]) for x, y in centres.tolist()]
        return found.replace(embeddings=torch.tensor(levels)[:, None])


def test_a_network_that_tells_apart_finds_all():
    whole = record()

    def load(index: int) -> Frame:
        frame = whole.load(index)
        frame.instances = whole.instances[index]
        return frame

    evaluator = RetrievalEvaluator()
    video = Video(VideoRecord("v", length=10, size=(48, 128), load=load))
    rows = list(embed_truth(GreyLevel(), video, stride=2))
    assert [len(truth) for truth, _ in rows] == [3, 3, 3, 2, 2]
    evaluator.process("v", [predicted for _, predicted in rows])
    evaluator.process("w", [predicted for _, predicted in rows])
    assert evaluator.count == 6
    assert evaluator.evaluate()["rank1"] > 0.4  # the same looks in two videos are two identities
