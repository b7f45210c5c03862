"""What trackers record of their decisions: the matches that they report, by costs and gates that explain them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidperc import Instances
from vidperc.video.association import solve
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack, EagerByteTrack
from vidperc.video.deep_sort import DeepSORT, EagerDeepSORT
from vidperc.video.eager_oc_sort import EagerOCSORT
from vidperc.video.oc_sort import OCSORT
from vidperc.video.overlap_byte_track import EagerOverlapByteTrack, OverlapByteTrack
from vidperc.video.sort import SORT, EagerSORT
from vidperc.video.trace import Limit, Stage, Trace
from vidperc.video.tracking import PerClass, Tracker

TRACKERS = [
    SORT(), EagerSORT(), ByteTrack(), EagerByteTrack(), OCSORT(), EagerOCSORT(), BoTSORT(), DeepSORT(),
    EagerDeepSORT(max_distance=0.5), PerClass(ByteTrack()), OverlapByteTrack(), EagerOverlapByteTrack(),
]  # fmt: skip


def crowd(length: int = 40, count: int = 14) -> list[Instances]:
    """People who cross each other's ways, some seen badly, some not at all."""
    generator = np.random.default_rng(5)
    start, speed = generator.uniform(0, 200, (count, 2)), generator.normal(0, 6, (count, 2))
    looks = generator.normal(size=(count, 8))
    frames = []
    for k in range(length):
        centre = start + k * speed + generator.normal(0, 2, (count, 2))
        half = np.array([15.0, 40.0])
        boxes = np.concatenate((centre - half, centre + half), 1)
        kept = generator.permutation(count)[generator.uniform(size=count) < 0.85]
        embeddings = looks + generator.normal(0, 0.2, looks.shape)
        frames.append(
            Instances(
                boxes=torch.from_numpy(boxes[kept].astype(np.float32)),
                scores=torch.from_numpy(generator.uniform(0.2, 1.0, len(kept)).astype(np.float32)),
                labels=torch.from_numpy(kept % 2),
                embeddings=torch.from_numpy(embeddings[kept].astype(np.float32)),
            )
        )
    return frames


@pytest.mark.parametrize("tracker", TRACKERS, ids=lambda tracker: type(tracker).__name__)
def test_the_recorded_matches_are_those_made(tracker: Tracker) -> None:
    plain, traced = tracker.init_state(), tracker.init_state()
    made = 0
    for detections in crowd():
        expected = tracker.update(detections, plain)
        old = set(tracker.alive(traced).ids.tolist())  # type: ignore[union-attr]
        traced.trace = Trace()
        tracks = tracker.update(detections, traced)
        torch.testing.assert_close(tracks.boxes, expected.boxes, rtol=0, atol=0)
        pairs = {}
        for stage in traced.trace.stages:
            check(stage, detections)
            pairs |= dict(zip(stage.ids[stage.rows].tolist(), stage.detections[stage.columns].tolist()))
        reported = dict(zip(tracks.ids.tolist(), tracks.detection_indices.tolist()))  # type: ignore[union-attr]
        for key, detection in reported.items():
            if key in old:
                assert pairs[key] == detection
                made += 1
        unreported = set(pairs) - set(reported)
        assert unreported <= old  # tentative tracks that this tracker does not show
    assert made > 30


def check(stage: Stage, detections: Instances) -> None:
    """Pairs pass the gates, detections the limits of their score; where gates came first, the total is the least."""
    assert detections.scores is not None
    assert stage.cost.shape == (len(stage.ids), len(stage.detections))
    assert len(np.unique(stage.rows)) == len(stage.rows) and len(np.unique(stage.columns)) == len(stage.columns)
    assert stage.allowed[stage.rows, stage.columns].all()
    scores = detections.scores.double().numpy()[stage.detections]
    assert all(limit.passes(scores).all() for limit in stage.scores)
    if stage.gated_first and stage.cost.size:
        allowed, worst = stage.allowed & np.isfinite(stage.cost), 1e3
        blocked = np.where(allowed, stage.cost, worst)
        rows, columns = solve(blocked)
        if len(stage.rows) == np.count_nonzero(allowed[rows, columns]):  # as many pairs: then the cheapest ones
            least = stage.cost[rows, columns][allowed[rows, columns]].sum()
            assert stage.cost[stage.rows, stage.columns].sum() <= least + 1e-9


def test_without_weights_the_cost_is_the_overlap() -> None:
    """Two detections of scores 0.9 and 0.7 on a track: the better overlap wins though it is the less certain one."""
    start = Instances(boxes=torch.tensor([[0.0, 0, 40, 80]]), scores=torch.tensor([0.9]))
    boxes = torch.tensor([[6.0, 0, 46, 80], [2.0, 0, 42, 80]])
    later = Instances(boxes=boxes, scores=torch.tensor([0.99, 0.65]))
    for tracker, expected in ((ByteTrack(), 0), (OverlapByteTrack(), 1)):
        state = tracker.init_state()
        tracker.update(start, state)
        state.trace = Trace()
        tracks = tracker.update(later, state)
        assert tracks.detection_indices is not None and tracks.detection_indices.tolist() == [expected]
        assert tracks.scores is not None and tracks.scores.tolist() == [later.scores[expected].item()]  # type: ignore[index]


def test_limits() -> None:
    values = np.array([0.2, 0.3, 0.4])
    assert Limit("IoU", 0.3).passes(values).tolist() == [False, True, True]
    assert Limit("cost", 0.3, most=True).passes(values).tolist() == [True, True, False]


def test_a_trace_of_some_detections_counts_in_all_of_them() -> None:
    tracker, state = PerClass(SORT()), PerClass(SORT()).init_state()
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 0, 60, 10], [100, 0, 110, 10]])
    detections = Instances(boxes=boxes, labels=torch.tensor([1, 0, 1]))
    tracker.update(detections, state)
    state.trace = Trace()
    tracker.update(detections, state)
    assert [stage.detections.tolist() for stage in state.trace.stages] == [[1], [0, 2]]
