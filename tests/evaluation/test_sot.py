"""Single-object evaluation: hand-computed scores, exact overlaps, the reset protocol, EAO by its definition."""

from __future__ import annotations

import zipfile
from math import isclose, sqrt

import numpy as np
import pytest
import torch

from vidperc.evaluation.polygons import box_polygon, clip_polygon, polygon_area, polygon_overlap
from vidperc.evaluation.sot import (
    SOTTruth,
    center_errors,
    evaluate_got10k,
    evaluate_ope,
    paired_overlaps,
    plot_curves,
    precision_curve,
    success_curve,
)
from vidperc.evaluation.vot import (
    FAILED,
    SKIPPED,
    STARTED,
    RestartRun,
    accuracy,
    evaluate_vot,
    expected_average_overlap,
    expected_overlap_curve,
    robustness,
    run_with_restarts,
)
from vidperc.export.sot import ExportError, export_got10k, export_lasot, export_trackingnet, export_vot
from vidperc.structures import Instances, Video, VideoRecord

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=float)


def truth(boxes, seen=None, absent=None, **more):
    boxes = np.asarray(boxes, dtype=float)
    seen = np.ones(len(boxes), bool) if seen is None else np.asarray(seen, bool)
    return SOTTruth(boxes, seen, ~seen if absent is None else np.asarray(absent, bool), **more)


def test_overlaps_and_errors_by_hand():
    first = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5]], dtype=float)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], dtype=float)
    assert paired_overlaps(first, second) == pytest.approx([1, 1 / 3, 0, 0])
    assert center_errors(first, second) == pytest.approx([0, 5, sqrt(800), 0])
    assert center_errors(first, second, normalised=True)[:3] == pytest.approx([0, 0.5, sqrt(8)])


def test_success_is_strict_and_precision_is_not():
    curve = success_curve(np.array([1.0, 0.5]))
    assert curve[0] == 1 and curve[9] == 1  # 0.45
    assert curve[10] == 0.5  # 0.5 is not above 0.5
    assert curve[20] == 0  # nothing is above 1
    assert precision_curve(np.array([20.0, 20.5]))[[19, 20, 21]] == pytest.approx([0, 0.5, 1])


def test_one_pass_by_hand():
    wanted = {"a": truth([[0, 0, 100, 100]] * 2), "b": truth([[0, 0, 10, 10]])}
    given = {"a": np.array([[0, 0, 100, 100], [50, 0, 150, 100]]), "b": np.array([[0, 0, 10, 10]])}
    scores = evaluate_ope(wanted, given)
    # a: overlaps 1 and 1/3: above 20 of 21 thresholds, and above 0, .05 ... .30, which are 7
    assert scores.sequences["a"]["success"] == pytest.approx((20 + 7) / 2 / 21)
    assert scores.sequences["b"]["success"] == pytest.approx(20 / 21)
    assert scores.success == pytest.approx((13.5 + 20) / 2 / 21)
    assert scores.precision == pytest.approx(0.75)  # centre errors 0 and 50 pixels
    assert scores.normalised_precision == pytest.approx(0.75)  # 0.5 of the width
    # normalised errors 0 and 0.5: all 51 thresholds, and the last alone
    assert scores.sequences["a"]["normalised_precision_auc"] == pytest.approx((51 + 1) / 2 / 51)


def test_absent_frames_are_misses_and_frames_without_annotation_do_not_count():
    right = np.array([[0.0, 0, 10, 10]] * 4)
    one_pass = evaluate_ope({"a": truth(right, [1, 0, 1, 0], [0, 1, 0, 0])}, {"a": right})
    assert one_pass.precision == pytest.approx(2 / 3) and one_pass.normalised_precision == pytest.approx(2 / 3)
    assert one_pass.success == pytest.approx(2 / 3 * 20 / 21)
    assert evaluate_got10k({"a": truth(right, [1, 0, 1, 0], [0, 1, 0, 0])}, {"a": right})["AO"] == 1


def test_got10k_by_hand():
    wanted = {
        "a": truth([[0, 0, 10, 10]] * 3, size=(10, 10), category="cat"),
        "b": truth([[0, 0, 10, 10]] * 2, category="dog"),
    }
    # the first frame is left out; a's second box sticks out of the picture, which is cut off
    given = {
        "a": np.array([[9, 9, 10, 10], [0, 0, 10, 20], [0, 0, 6, 10]]),
        "b": np.array([[0, 0, 10, 10], [0, 0, 5, 10]]),
    }
    scores = evaluate_got10k(wanted, given)
    assert scores["AO"] == pytest.approx((1 + 0.6 + 0.5) / 3)
    assert scores["SR50"] == pytest.approx(2 / 3) and scores["SR75"] == pytest.approx(1 / 3)
    assert scores["mAO"] == pytest.approx((0.8 + 0.5) / 2)


def test_got10k_moves_boxes_into_the_picture():
    """As its toolkit does: x y w h of -4 0 10 10 becomes 0 0 10 10, not 0 0 6 10; 7 0 10 10 becomes 7 0 3 10."""
    wanted = {"a": truth([[0, 0, 10, 10]] * 3, size=(10, 10))}
    given = {"a": np.array([[0, 0, 10, 10], [-4, 0, 6, 10], [7, 0, 17, 10]], dtype=float)}
    assert evaluate_got10k(wanted, given)["AO"] == pytest.approx((1 + 0.3) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, "no predictions"), ({"a": np.zeros((1, 4))}, "predictions"), ({"a": np.full((2, 4), np.nan)}, "frame 0")],
)
def test_predictions_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        evaluate_ope({"a": truth([[0, 0, 10, 10]] * 2)}, given)


def test_truth_of_a_record():
    box = torch.tensor([[1.0, 2, 3, 4]])
    record = VideoRecord(
        "a",
        length=3,
        instances={0: Instances(box, ignored=torch.tensor([False])), 1: Instances(box, ignored=torch.tensor([True]))},
    )
    whole = SOTTruth.of(record)
    assert whole.seen.tolist() == [True, False, False] and whole.absent.tolist() == [False, True, False]
    record.attributes["absent"] = np.array([False, True, True])
    assert SOTTruth.of(record).absent.tolist() == [False, True, True]
    record.instances[2] = Instances(box.repeat(2, 1))
    with pytest.raises(ValueError, match="2 objects"):
        SOTTruth.of(record)


def test_exact_overlap_of_polygons():
    diamond = np.array([[5, -5], [15, 5], [5, 15], [-5, 5]], dtype=float)  # area 200, holds the square
    assert polygon_area(diamond) == 200
    assert isclose(polygon_overlap(SQUARE, diamond), 0.5)
    assert isclose(polygon_overlap(SQUARE, diamond[::-1]), 0.5)  # the direction does not matter
    octagon = clip_polygon(diamond - [0, 2], SQUARE)  # cuts two corners of 2x2 / 2 off below
    assert isclose(polygon_area(octagon), 100 - 2 * 2)
    assert polygon_overlap(SQUARE, SQUARE + 20) == 0
    assert polygon_overlap(SQUARE, SQUARE + np.array([10, 0])) == 0  # a shared side is no overlap


def test_overlap_within_the_picture_and_with_a_concave_polygon():
    # right halves lie outside of a picture 5 wide: 5 of 10 rows in common
    assert isclose(polygon_overlap(SQUARE, SQUARE + np.array([0, 5]), (20, 5)), 25 / 75)
    arrow = np.array([[0, 0], [10, 0], [10, 10], [5, 2]], dtype=float)
    area = polygon_area(arrow)
    assert isclose(polygon_overlap(arrow, SQUARE), area / 100)
    with pytest.raises(ValueError, match="convex"):
        polygon_overlap(arrow, arrow)


def test_overlap_equals_counting_of_fine_points():
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 4))
    quad = 5 + 4 * np.stack([np.cos(angles), np.sin(angles)], 1)
    box = np.array([3.0, 2.5, 8.0, 7.0])
    ys, xs = np.mgrid[0:10:0.01, 0:10:0.01] + 0.005
    inside = np.ones(xs.shape, bool)
    for start, end in zip(quad, np.roll(quad, -1, 0)):
        inside &= (end[0] - start[0]) * (ys - start[1]) - (end[1] - start[1]) * (xs - start[0]) >= 0
    also = (xs >= 3) & (xs <= 8) & (ys >= 2.5) & (ys <= 7)
    assert polygon_overlap(quad, box_polygon(box)) == pytest.approx(
        (inside & also).sum() / (inside | also).sum(), abs=1e-3
    )


def scripted(boxes):
    """A tracker that knows where it will be by frame of the whole video, and the starts it was given."""
    starts = []

    def follow(video):
        starts.append(video.prompt.boxes[0].tolist())
        for frame in video:
            yield Instances(torch.tensor([boxes[int(frame.image[0, 0, 0])]], dtype=torch.float32))

    return follow, starts


def numbered_video(length):
    """Frame k has the value k in every pixel."""
    return Video.from_frames([np.full((40, 40, 3), k, np.uint8) for k in range(length)])


def test_restart_five_frames_after_a_failure():
    boxes = [[0, 0, 10, 10]] * 3 + [[20, 20, 30, 30]] * 6 + [[0, 0, 10, 5]] * 3
    follow, starts = scripted(boxes)
    run = run_with_restarts(follow, numbered_video(12), np.stack([SQUARE] * 12), lambda p: np.r_[p.min(0), p.max(0)])
    codes = [entry if isinstance(entry, int) else "box" for entry in run.regions]
    assert codes == [STARTED, "box", "box", FAILED, *[SKIPPED] * 4, STARTED, "box", "box", "box"]
    assert starts == [[0, 0, 10, 10]] * 2
    assert run.overlaps[[1, 2, 3, 9, 11]].tolist() == [1, 1, 0, 0.5, 0.5]
    assert np.isnan(run.overlaps[[0, 4, 8]]).all()
    assert accuracy({"a": [run]}, burn_in=1) == pytest.approx((1 + 1 + 0.5 * 3) / 5)
    assert accuracy({"a": [run]}, burn_in=3) == pytest.approx(0.5)
    assert robustness({"a": [run]}) == pytest.approx(100 / 12)


def test_failure_too_late_to_start_again():
    follow, _ = scripted([[0, 0, 10, 10]] * 4 + [[20, 20, 30, 30]] * 2)
    run = run_with_restarts(follow, numbered_video(6), np.stack([SQUARE] * 6), lambda p: np.r_[p.min(0), p.max(0)])
    assert run.failures == [4] and run.starts == [0] and len(run.regions) == 6


def eao_by_definition(sequences, low, high):
    """Expected average overlap from lists of (overlaps after the start, failed), in plain loops."""
    values = []
    for wanted in range(low, high + 1):
        means = []
        for overlaps, failed in sequences:
            if failed:
                padded = overlaps + [0.0] * wanted
                means.append(sum(padded[:wanted]) / wanted)
            elif len(overlaps) >= wanted:
                means.append(sum(overlaps[:wanted]) / wanted)
        if means:
            values.append(sum(means) / len(means))
    return sum(values) / len(values)


def make_run(overlaps_by_fragment):
    """A run from fragments of (overlaps after the start, failed)."""
    regions, overlaps = [], []
    for values, failed in overlaps_by_fragment:
        regions += [STARTED] + [SQUARE] * len(values)
        overlaps += [np.nan, *values]
        if failed:
            regions[-1] = FAILED
            regions += [SKIPPED] * 4
            overlaps += [np.nan] * 4
    return RestartRun(regions, np.array(overlaps))


def test_expected_average_overlap_equals_its_definition():
    rng = np.random.default_rng(1)
    first = [([*rng.uniform(0.2, 1, 6).tolist(), 0.0], True), (rng.uniform(0.2, 1, 9).tolist(), False)]
    second = [(rng.uniform(0.2, 1, 14).tolist(), False)]
    runs = {"a": [make_run(first)], "b": [make_run(second)]}
    for low, high in ((1, 5), (4, 12), (10, 14)):
        assert expected_average_overlap(runs, (low, high)) == pytest.approx(
            eao_by_definition([*first, *second], low, high)
        )


def test_expected_overlap_by_hand():
    runs = {"a": [make_run([([0.8, 0.4, 0.0], True)])], "b": [make_run([([0.6, 0.6], False)])]}
    curve = expected_overlap_curve(runs)
    assert curve[1:5] == pytest.approx([0.7, 0.6, 0.4, 0.3])  # from 3 frames on the failed one alone
    scores = evaluate_vot(runs, lengths=(1, 2))
    assert scores["EAO"] == pytest.approx(0.65)
    assert scores["failures"] == 0.5
    assert "EAO" not in evaluate_vot(runs)  # which is of videos of 100 frames or more
    with pytest.raises(ValueError, match="shorter"):
        expected_average_overlap(runs)


def test_accuracy_is_a_mean_over_videos_weighted_by_length():
    """a: 14 frames, 4 of them after the burn-in at 0.5; b: 42 frames, 32 of them at 0.9; c: 4 frames, none."""
    runs = {name: [make_run([([overlap] * count, False)])] for name, overlap, count in (("a", 0.5, 13), ("b", 0.9, 41))}
    assert accuracy(runs) == pytest.approx((0.5 * 14 + 0.9 * 42) / 56)
    runs["c"] = [make_run([([0.7] * 3, False)])]
    assert accuracy(runs) == pytest.approx((0.5 * 14 + 0.9 * 42) / 60)


def test_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    scores = evaluate_ope({"a": truth([[0, 0, 10, 10]])}, {"a": np.array([[0, 0, 10, 10]])})
    assert plot_curves({"tracker": scores}, tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


RECORD = VideoRecord("s-1", length=2, instances={0: Instances(torch.tensor([[1.0, 2, 11, 22]]))})
BOXES = np.array([[1, 2, 11, 22], [2, 3, 12.5, 23]])


def test_archives_hold_what_was_given(tmp_path):
    with zipfile.ZipFile(export_got10k({"s-1": BOXES}, {"s-1": [0.1, 0.2]}, [RECORD], tmp_path / "g.zip")) as archive:
        assert archive.read("s-1/s-1_001.txt").decode().splitlines()[1] == "2.0000,3.0000,10.5000,20.0000"
        assert archive.read("s-1/s-1_time.txt").decode() == "0.100000\n0.200000\n"
    for export in (export_trackingnet, export_lasot):
        with zipfile.ZipFile(export({"s-1": BOXES}, [RECORD], tmp_path / "t.zip")) as archive:
            assert archive.namelist() == ["s-1.txt"]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "without results"),
        ({"s-1": BOXES, "x": BOXES}, "unknown"),
        ({"s-1": BOXES[:1]}, "expected 2 boxes"),
        ({"s-1": np.array([[1, 2, 11, 22], [0, 0, np.inf, 1]])}, "frame 1: the box is not finite"),
        ({"s-1": np.array([[1, 2, 11, 22], [5, 5, 5, 9]])}, "no area"),
        ({"s-1": BOXES + 5}, "first box"),
    ],
)
def test_nothing_is_written_of_results_that_would_be_refused(results, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        export_lasot(results, [RECORD], tmp_path / "l.zip")
    assert not list(tmp_path.iterdir())


def test_vot_folder(tmp_path):
    record = VideoRecord("ball", length=9)
    entries = [STARTED, SQUARE, SQUARE + np.eye(4, 2) * [1, 0], FAILED, 0, 0, 0, 0, STARTED]
    seconds = np.arange(9) / 8
    export_vot({"ball": [entries]}, [record], tmp_path / "mine", times={"ball": [seconds]})
    assert (tmp_path / "mine/baseline/ball/ball_time.txt").read_text().splitlines()[1] == "0.125000"
    lines = (tmp_path / "mine/baseline/ball/ball_001.txt").read_text().splitlines()
    assert lines[0] == "1" and lines[3:9] == ["2", "0", "0", "0", "0", "1"]
    assert lines[1] == "0.0000,0.0000,10.0000,10.0000" and lines[2].count(",") == 7
    with pytest.raises(FileExistsError):
        export_vot({"ball": [entries]}, [record], tmp_path / "mine")
    for wrong, message in (
        ([FAILED] * 9, "frame 0: code 2"), ([SKIPPED] * 9, "frame 0: code 0"), ([STARTED] * 9, "frame 1: code 1"),
        ([STARTED, SQUARE * np.nan, *[SQUARE] * 7], "frame 1: expected"), (entries[:8], "8 entries for 9 frames"),
    ):  # fmt: skip
        with pytest.raises(ExportError, match=message):
            export_vot({"ball": [wrong]}, [record], tmp_path / "other")
    for times in ({}, {"ball": [seconds[:8]]}, {"ball": [-seconds]}, {"ball": [seconds, seconds]}):
        with pytest.raises(ExportError, match="1 x 9 times"):
            export_vot({"ball": [entries]}, [record], tmp_path / "other", times=times)
    assert not (tmp_path / "other").exists()
