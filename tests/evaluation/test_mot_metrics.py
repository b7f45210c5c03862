"""CLEAR, Identity and HOTA: cases computed by hand, and equality with TrackEval and motmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from mot_scenes import FIELDS, motmetrics_matches, motmetrics_scores, random_scene, sequence_of, trackeval_scores

from vidperc.evaluation.metrics import (
    ALPHAS,
    MOTSequence,
    assign,
    box_pairs,
    clear_counts,
    clear_matches,
    count_matches,
    dense_pairs,
    hota_counts,
    identity_counts,
    mask_pairs,
)
from vidperc.evaluation.scores import MOTCounts, add

SCENES = {
    "usual": {},
    "crowded": {"objects": 40, "size": 300.0},
    "few found": {"miss": 0.8, "false": 0.2},
    "many false": {"false": 15.0, "size": 250.0},
    "many switches": {"switch": 0.3},
    "boxes on a grid": {"quantise": 20, "objects": 20, "size": 300.0},
    "few objects": {"objects": 2, "frames": 200, "miss": 0.5},
}


@pytest.fixture(autouse=True)
def _asfarray(monkeypatch):
    """motmetrics 1.4.0 uses a function that numpy 2 no longer has."""
    monkeypatch.setattr(np, "asfarray", lambda a, dtype=float: np.asarray(a, dtype), raising=False)


def sequence(truth, predictions, length=None):
    """From rows (frame, id, x) of boxes 10 wide and 10 high at x."""

    def columns(rows):
        table = np.array(rows, float).reshape(-1, 3)
        corner = np.stack([table[:, 2], np.zeros(len(table))], 1)
        return table[:, 0].astype(int), table[:, 1].astype(int), np.concatenate([corner, corner + 10], 1)

    (tf, ti, tb), (pf, pi, pb) = columns(truth), columns(predictions)
    frames = length or max([0, *tf, *pf]) + 1
    return MOTSequence.build(tf, ti, pf, pi, box_pairs(tf, tb, pf, pb), frames)


def scores_of(seq):
    return MOTCounts.of(seq).scores()


class TestPairs:
    def test_overlaps_by_hand(self):
        truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [50, 0, 60, 10.0]])
        predictions = np.array([[5, 0, 15, 10], [50, 0, 60, 5], [10, 0, 20, 10.0]])
        pairs = box_pairs(np.array([0, 1, 1]), truth, np.array([0, 1, 1]), predictions)
        assert pairs.truth.tolist() == [0, 2]  # boxes that only touch, or of other frames, do not overlap
        assert pairs.prediction.tolist() == [0, 1]
        np.testing.assert_allclose(pairs.similarity, [50 / 150, 0.5])

    def test_many_chunks_equal_a_loop(self, monkeypatch):
        monkeypatch.setattr("vidperc.evaluation.metrics.matching.CHUNK", 50)
        s = random_scene(3, objects=15)
        pairs = box_pairs(s.truth_frames, s.truth_boxes, s.prediction_frames, s.prediction_boxes)
        found = dict(zip(zip(pairs.truth.tolist(), pairs.prediction.tolist()), pairs.similarity))
        expected = {}
        for i, a in enumerate(s.truth_boxes):
            for j in np.flatnonzero(s.prediction_frames == s.truth_frames[i]):
                b = s.prediction_boxes[j]
                w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                if w > 0 and h > 0:
                    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
                    expected[i, int(j)] = w * h / (area - w * h)
        assert found.keys() == expected.keys()
        assert list(found) == sorted(found)
        np.testing.assert_allclose(list(found.values()), [expected[key] for key in found], rtol=1e-14)

    def test_masks_of_boxes_overlap_like_boxes(self):
        from pycocotools import mask as coco

        boxes = np.array([[0, 0, 8, 8], [4, 0, 12, 8], [0, 4, 8, 12.0]])
        frames = np.array([0, 0, 2])
        rles = []
        for x1, y1, x2, y2 in boxes.astype(int):
            bitmap = np.zeros((16, 16), np.uint8, order="F")
            bitmap[y1:y2, x1:x2] = 1
            rles.append(coco.encode(bitmap))
        ours, theirs = mask_pairs(frames, rles, frames, rles), box_pairs(frames, boxes, frames, boxes)
        assert ours.truth.tolist() == theirs.truth.tolist()
        assert ours.prediction.tolist() == theirs.prediction.tolist()
        np.testing.assert_allclose(ours.similarity, theirs.similarity)

    def test_any_similarity(self):
        frames = np.array([0, 0, 1])
        pairs = dense_pairs(frames, np.array([0, 1]), [np.array([[0.0], [0.7]]), np.array([[0.2]])], [0, 1])
        assert (pairs.truth.tolist(), pairs.prediction.tolist()) == ([1, 2], [0, 1])
        with pytest.raises(ValueError, match=r"frame 1: expected a similarity matrix of shape \(1, 1\)"):
            dense_pairs(frames, np.array([0, 1]), [np.zeros((2, 1)), np.zeros((2, 2))], [0, 1])
        with pytest.raises(ValueError, match=r"frame 0: similarities must lie in \[0, 1\]"):
            dense_pairs(frames, np.array([0]), [np.array([[0.0], [np.nan]])], [0])

    def test_assignment_takes_the_largest_sum(self):
        frames = np.array([0, 0, 1])
        pairs = dense_pairs(frames, frames, [np.array([[0.9, 0.8], [0.8, 0.1]]), np.array([[0.3]])], [0, 1])
        chosen = pairs[assign(pairs, pairs.similarity, frames, frames)]
        assert list(zip(chosen.truth.tolist(), chosen.prediction.tolist())) == [(0, 1), (1, 0), (2, 2)]


class TestByHand:
    def test_perfect_tracks(self):
        rows = [(t, i, 30 * i + t) for t in range(4) for i in (1, 2)]
        scores = scores_of(sequence(rows, rows))
        for name in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "MODA", "MOTAL", "IDF1", "Recall", "Precision"):
            assert scores[name] == pytest.approx(1, abs=1e-12), name
        assert [scores[name] for name in ("TP", "FP", "FN", "IDSW", "Frag", "MT", "PT", "ML")] == [
            8,
            0,
            0,
            0,
            0,
            2,
            0,
            0,
        ]

    def test_a_switch_and_a_miss(self):
        """One object, ten frames: track 1 on frames 0-4, missed in 5, track 2 on 6-9, one false box."""
        truth = [(t, 0, 0) for t in range(10)]
        tracks = [(t, 1, 0) for t in range(5)] + [(5, 3, 500)] + [(t, 2, 0) for t in range(6, 10)]
        scores = scores_of(sequence(truth, tracks))
        assert [scores[name] for name in ("TP", "FP", "FN", "IDSW", "Frag", "MT", "PT", "ML")] == [
            9,
            1,
            1,
            1,
            1,
            1,
            0,
            0,
        ]
        assert scores["MOTA"] == pytest.approx(1 - 3 / 10)
        assert scores["MODA"] == pytest.approx(1 - 2 / 10)
        assert scores["MOTAL"] == pytest.approx(1 - 2 / 10)  # log10 of one switch is 0
        assert scores["FAR"] == pytest.approx(0.1)
        assert (scores["IDTP"], scores["IDFP"], scores["IDFN"]) == (5, 5, 5)
        assert scores["IDF1"] == pytest.approx(0.5)
        # A(c) is 5 / 10 for the five matches with track 1, 4 / 10 for the four with track 2
        assert scores["AssA"] == pytest.approx((5 * 0.5 + 4 * 0.4) / 9)
        assert scores["DetA"] == pytest.approx(9 / 11)
        assert scores["HOTA"] == pytest.approx(np.sqrt(9 / 11 * (5 * 0.5 + 4 * 0.4) / 9))
        assert scores["AssRe"] == pytest.approx((5 * 0.5 + 4 * 0.4) / 9)
        assert scores["AssPr"] == pytest.approx(1)

    def test_thresholds_of_hota(self):
        """A box shifted by 2.5 of 10 has IoU 0.6: it matches at the 12 thresholds up to 0.60."""
        curves = hota_counts(sequence([(0, 0, 0)], [(0, 0, 2.5)])).curves()
        assert curves["HOTA"].tolist() == [1.0] * 12 + [0.0] * 7
        np.testing.assert_allclose(curves["LocA"], [0.6] * 12 + [1.0] * 7)
        assert len(ALPHAS) == 19

    def test_a_match_is_kept_while_it_is_valid(self):
        """Frame 1: track 2 lies better (IoU 1) than track 1 (IoU 0.6), which goes on from frame 0."""
        truth = [(0, 0, 0), (1, 0, 0)]
        tracks = [(0, 1, 0), (1, 1, 2.5), (1, 2, 0)]
        seq = sequence(truth, tracks)
        assert seq.pairs.prediction[clear_matches(seq)].tolist() == [0, 1]
        assert clear_counts(seq).idsw == 0

    def test_a_match_is_not_kept_over_a_gap(self):
        """As TrackEval, and unlike motmetrics, a match is continued from the previous frame only."""
        truth = [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
        tracks = [(0, 1, 0), (1, 9, 500), (2, 1, 2.5), (2, 2, 0)]
        seq = sequence(truth, tracks)
        assert clear_counts(seq).idsw == 1
        assert trackeval_scores({"a": seq})["a"]["IDSW"] == 1
        assert motmetrics_scores(seq, ["num_switches"])["num_switches"] == 0

    def test_mostly_tracked_is_more_than_four_fifths(self):
        """As TrackEval, and unlike motmetrics, an object matched in exactly 80 % of its frames is not."""
        seq = sequence([(t, 0, 0) for t in range(5)], [(t, 0, 0) for t in range(4)] + [(4, 7, 500)])
        assert (clear_counts(seq).mt, clear_counts(seq).pt) == (0, 1)
        assert trackeval_scores({"a": seq})["a"]["MT"] == 0
        assert motmetrics_scores(seq, ["mostly_tracked"])["mostly_tracked"] == 1

    def test_absence_of_the_object_is_a_fragmentation(self):
        """As TrackEval, and unlike motmetrics, also where the ground truth itself has a gap."""
        other = [(t, 5, 300) for t in range(3)]
        rows = sorted([(0, 0, 0), (2, 0, 0), *other])
        seq = sequence(rows, rows)
        assert clear_counts(seq).frag == 1
        assert trackeval_scores({"a": seq})["a"]["Frag"] == 1
        assert motmetrics_scores(seq, ["num_fragmentations"])["num_fragmentations"] == 0

    def test_frames_without_predictions_are_no_fragmentation(self):
        """As TrackEval, and unlike motmetrics."""
        seq = sequence([(t, 0, 0) for t in range(3)], [(0, 0, 0), (2, 0, 0)])
        assert clear_counts(seq).frag == 0
        assert trackeval_scores({"a": seq})["a"]["Frag"] == 0
        assert motmetrics_scores(seq, ["num_fragmentations"])["num_fragmentations"] == 1

    def test_identity_prefers_the_longest_pairing(self):
        """Track 1 covers object 0 for 3 frames and object 1 for 4; track 2 covers object 0 for 2."""
        truth = sorted([(t, 0, 0) for t in range(5)] + [(t, 1, 100) for t in range(5, 9)])
        tracks = [(t, 1, 0) for t in range(3)] + [(t, 2, 0) for t in (3, 4)] + [(t, 1, 100) for t in range(5, 9)]
        counts = identity_counts(sequence(truth, tracks))
        assert (counts.idtp, counts.idfp, counts.idfn) == (6, 3, 3)


class TestEmpty:
    def test_no_predictions(self):
        seq = sequence([(0, 0, 0), (1, 0, 0)], [], length=3)
        scores = scores_of(seq)
        assert [scores[name] for name in ("TP", "FP", "FN", "ML", "IDFN", "GT")] == [0, 0, 2, 1, 2, 2]
        assert [scores[name] for name in ("HOTA", "MOTA", "IDF1", "Recall", "Precision")] == [0] * 5
        reference = trackeval_scores({"a": seq})["a"]
        assert_equal(seq, reference)

    def test_no_ground_truth(self):
        seq = sequence([], [(0, 0, 0), (1, 0, 0)], length=4)
        scores = scores_of(seq)
        assert [scores[name] for name in ("TP", "FP", "FN", "IDFP", "GT")] == [0, 2, 0, 2, 0]
        assert [scores[name] for name in ("HOTA", "MOTA", "IDF1", "Recall", "Precision")] == [0] * 5
        assert scores["FAR"] == 0.5  # TrackEval forgets the frames of such a sequence
        assert_equal(seq, trackeval_scores({"a": seq})["a"], but=("FAR",))

    def test_nothing_at_all(self):
        scores = scores_of(sequence([], [], length=2))
        assert (scores["HOTA"], scores["MOTA"], scores["FP"], scores["FN"], scores["Frames"]) == (0, 0, 0, 0, 2)

    def test_empty_frames_between(self):
        truth, tracks = [(0, 0, 0), (4, 0, 0), (6, 0, 0)], [(0, 1, 0), (2, 1, 0), (6, 1, 0)]
        seq = sequence(truth, tracks, length=9)
        assert_equal(seq, trackeval_scores({"a": seq})["a"])


def assert_equal(seq, reference, but=()):
    counts = MOTCounts.of(seq)
    values = counts.scores() | counts.hota.curves()
    for ours, theirs in FIELDS.items():
        if ours not in but:
            np.testing.assert_allclose(values[ours], reference[theirs], rtol=0, atol=1e-9, err_msg=ours)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", SCENES)
def test_equals_trackeval(kind, seed):
    seq = sequence_of(random_scene(seed, **SCENES[kind]))
    assert seq.pairs.similarity.max() > 0.5
    assert_equal(seq, trackeval_scores({"a": seq})["a"])


def test_combination_equals_trackeval():
    sequences = {kind: sequence_of(random_scene(7, **options)) for kind, options in SCENES.items()}
    sequences["nothing found"] = sequence([(0, 0, 0), (1, 0, 0)], [], length=3)
    sequences["nothing there"] = sequence([], [(0, 0, 0)], length=3)
    reference = trackeval_scores(sequences)["COMBINED"]
    total = add(MOTCounts.of(seq) for seq in sequences.values())
    values = total.scores() | total.hota.curves()
    for ours, theirs in FIELDS.items():
        expected = reference[theirs]
        if ours == "FAR":  # TrackEval leaves out the frames of the sequences without objects or predictions
            expected = expected * reference["CLR_Frames"] / (reference["CLR_Frames"] + 6)
        np.testing.assert_allclose(values[ours], expected, rtol=0, atol=1e-9, err_msg=ours)


IDENTITY = {"IDF1": "idf1", "IDP": "idp", "IDR": "idr", "IDTP": "idtp", "IDFP": "idfp", "IDFN": "idfn"}
CLEAR = {  # our names to motmetrics'; MT and Frag are defined otherwise there, see TestByHand
    **{"MOTA": "mota", "IDSW": "num_switches", "FN": "num_misses", "FP": "num_false_positives"},
    **{"Recall": "recall", "Precision": "precision", "ML": "mostly_lost", "TP": "num_detections"},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", SCENES)
def test_identity_equals_motmetrics(kind, seed):
    seq = sequence_of(random_scene(seed, **SCENES[kind]))
    reference, scores = motmetrics_scores(seq, list(IDENTITY.values())), scores_of(seq)
    for ours, theirs in IDENTITY.items():
        assert scores[ours] == pytest.approx(reference[theirs], abs=1e-9), ours


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["usual", "many switches"])
def test_clear_equals_motmetrics(kind, seed):
    """Where no second track comes near an object after a gap, both keep the same matches."""
    seq = sequence_of(random_scene(seed, **SCENES[kind]))
    reference, scores = motmetrics_scores(seq, [*CLEAR.values(), "motp"]), scores_of(seq)
    for ours, theirs in CLEAR.items():
        assert scores[ours] == pytest.approx(reference[theirs], abs=1e-9), ours
    assert scores["MOTP"] == pytest.approx(1 - reference["motp"], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", SCENES)
def test_counting_equals_motmetrics_for_its_own_matches(kind, seed):
    """In crowds the matches differ (see test_a_match_is_not_kept_over_a_gap); what is counted does not."""
    seq = sequence_of(random_scene(seed, **SCENES[kind]))
    matches = motmetrics_matches(seq)
    frame = seq.truth_frames[seq.pairs.truth]
    truth, prediction = seq.truth_ids[seq.pairs.truth], seq.prediction_ids[seq.pairs.prediction]
    chosen = np.array([key in matches for key in zip(frame.tolist(), truth.tolist(), prediction.tolist())])
    assert chosen.sum() == len(matches)
    reference, scores = motmetrics_scores(seq, [*CLEAR.values(), "motp"]), count_matches(seq, chosen).scores()
    for ours, theirs in CLEAR.items():
        assert scores[ours] == pytest.approx(reference[theirs], abs=1e-9), ours
    assert scores["MOTP"] == pytest.approx(1 - reference["motp"], abs=1e-9)
