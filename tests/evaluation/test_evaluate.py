"""evaluate(): pairing of sequences, rules of the benchmarks, the scores it gives, bad input."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

import vidperc
from vidperc import Instances
from vidperc.evaluation import Evaluator, MOTEvaluator, evaluate
from vidperc.evaluation.scores import COLUMNS


def rows(*values):
    """MOTChallenge ground truth rows from (frame, id, x, mark, class); boxes are 10 wide, 30 high at y 0."""
    return "".join(f"{t},{i},{x},0,10,30,{mark},{label},1\n" for t, i, x, mark, label in values)


def results(*values):
    return "".join(f"{t},{i},{x},0,10,30,1,-1,-1,-1\n" for t, i, x in values)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def objects(*values, **extra):
    """Instances of boxes 10 wide from (id, x)."""
    boxes = torch.tensor([[x, 0, x + 10, 10] for _, x in values], dtype=torch.float32).reshape(-1, 4)
    return Instances(boxes=boxes, ids=torch.tensor([i for i, _ in values], dtype=torch.int64), **extra)


class TestRules:
    def test_distractors_take_their_matches_away(self, tmp_path):
        truth = rows(
            (1, 1, 0, 1, 1),  # a pedestrian
            (1, 2, 100, 0, 8),  # a distractor
            (1, 3, 200, 0, 1),  # a pedestrian marked 0: not scored, and not a distractor
            (1, 4, 300, 1, 3),  # a car: not scored
            (1, 5, 400, 0, 6),  # a non-motorised vehicle
        )
        found = results((1, 1, 0), (1, 2, 100), (1, 3, 200), (1, 4, 300), (1, 5, 400))
        predictions = write(tmp_path / "a.txt", found)
        mot17 = evaluate(write(tmp_path / "MOT17-02/gt/gt.txt", truth), predictions)
        assert [mot17.combined[k] for k in ("GT", "TP", "FP", "FN")] == [1, 1, 3, 0]
        mot20 = evaluate(write(tmp_path / "MOT20-02/gt/gt.txt", truth), predictions)
        assert [mot20.combined[k] for k in ("GT", "TP", "FP", "FN")] == [1, 1, 2, 0]
        mot15 = evaluate(tmp_path / "MOT17-02", predictions, benchmark="MOT15")
        assert [mot15.combined[k] for k in ("GT", "TP", "FP", "FN")] == [2, 2, 3, 0]

    def test_unknown_class(self, tmp_path):
        truth = write(tmp_path / "a/gt/gt.txt", rows((1, 1, 0, 1, 1), (4, 9, 0, 1, 14)))
        with pytest.raises(ValueError, match="frame 4, id 9: expected a class from 1 to 13, got 14"):
            evaluate(truth, write(tmp_path / "a.txt", results((1, 1, 0))))

    def test_kitti(self, tmp_path):
        def row(t, i, name, x, truncated=0, occluded=0, height=40, y=0):
            return f"{t} {i} {name} {truncated} {occluded} 0 {x} {y} {x + 40} {y + height} 1 1 1 1 1 1 1\n"

        truth = (
            row(0, 1, "Car", 0)
            + row(0, 2, "Van", 100)
            + row(0, 3, "Car", 200, truncated=1)
            + row(0, 4, "Car", 300, occluded=3)
            + row(0, 5, "Pedestrian", 400)
            + row(0, -1, "DontCare", 500)
            + row(0, 6, "Cyclist", 700)
        )
        found = (
            "".join(row(0, i, "Car", x) for i, x in enumerate((0, 100, 200, 300, 500, 700)))
            + row(0, 7, "Car", 800, height=25)  # not matched and not higher than 25 pixels
            + row(0, 8, "Car", 900, height=26)
        )
        write(tmp_path / "gt/label_02/0001.txt", truth)
        write(tmp_path / "results/0001.txt", found)
        scores = evaluate(tmp_path / "gt", tmp_path / "results")
        car, pedestrian = scores.classes["car"].combined, scores.classes["pedestrian"].combined
        assert [car[k] for k in ("GT", "TP", "FP", "FN")] == [1, 1, 2, 0]  # the cyclist and the last one
        assert [pedestrian[k] for k in ("GT", "TP", "FP", "FN")] == [1, 0, 0, 1]
        assert [scores.combined[k] for k in ("GT", "TP", "FP", "FN", "Frames")] == [2, 1, 2, 1, 1]
        assert scores.class_average["Recall"] == 0.5
        with pytest.raises(ValueError, match="unknown classes bus: expected some of car, pedestrian"):
            evaluate(tmp_path / "gt", tmp_path / "results", classes=("bus",))

    def test_bdd100k(self, tmp_path):
        def label(identity, category, x, **extra):
            box = {"x1": x, "y1": 0, "x2": x + 10, "y2": 10}
            return {"id": identity, "category": category, "box2d": box} | extra

        truth = [label("a", "car", 0), label("b", "car", 100, attributes={"crowd": True}), label("c", "bicycle", 200)]
        found = [label("1", "car", 0), label("2", "car", 100), label("3", "car", 200), label("4", "motorcycle", 100)]
        for name, labels in (("gt", truth), ("results", found)):
            write(tmp_path / name / "v.json", json.dumps([{"videoName": "v", "frameIndex": 0, "labels": labels}]))
        scores = evaluate(tmp_path / "gt", tmp_path / "results")
        assert [scores.combined[k] for k in ("GT", "TP", "FP", "FN", "Frames")] == [2, 1, 1, 1, 1]
        assert scores.classes["motorcycle"].combined["FP"] == 0  # lies in the crowd
        assert (scores.groups["VEHICLE"]["TP"], scores.groups["BIKE"]["FN"]) == (1, 1)
        assert scores.class_average["Recall"] == 0.5  # of car and bicycle: the others do not occur

    def test_ignored_instances(self):
        truth = [objects((1, 0), (2, 100), ignored=torch.tensor([False, True]))]
        scores = evaluate({"a": truth}, {"a": [objects((1, 0), (2, 100), (3, 200))]})
        assert [scores.combined[k] for k in ("GT", "TP", "FP", "FN")] == [1, 1, 1, 0]

    def test_labels_of_instances(self):
        truth = [objects((1, 0), (2, 100), labels=torch.tensor([0, 1]))]
        tracks = [objects((1, 0), (2, 100), labels=torch.tensor([0, 0]))]
        assert evaluate({"a": truth}, {"a": tracks}).combined["TP"] == 2
        scores = evaluate({"a": truth}, {"a": tracks}, classes=("person", "car"))
        assert (scores.classes["person"].combined["TP"], scores.classes["car"].combined["FN"]) == (1, 1)
        assert scores.combined["FP"] == 1
        with pytest.raises(ValueError, match="classes are scored, but boxes have no labels"):
            evaluate({"a": [objects((1, 0))]}, {"a": tracks}, classes=("person", "car"))

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="unknown benchmark 'MOT99': expected one of MOT15"):
            evaluate({"a": [objects()]}, {"a": [objects()]}, benchmark="MOT99")
        with pytest.raises(ValueError, match="unknown task 'cooking': expected one of mot"):
            evaluate([], [], task="cooking")


class TestPairing:
    def test_files_of_any_name(self, tmp_path):
        truth = write(tmp_path / "one/gt/gt.txt", rows((1, 1, 0, 1, 1)))
        scores = vidperc.evaluate(truth, write(tmp_path / "tracks.txt", results((1, 5, 0))))
        assert list(scores) == ["one", "COMBINED"]
        assert scores["one"]["HOTA"] == 1

    def test_arrays(self):
        table = np.array([[1, 3, 0, 0, 10, 10], [2, 3, 1, 0, 10, 10.0]])
        assert vidperc.evaluate(table, table).combined["MOTA"] == 1

    def test_missing_sequence_counts_as_empty(self):
        truth = {"a": [objects((1, 0))], "b": [objects((1, 0)), objects((1, 0))]}
        with pytest.warns(UserWarning, match="no predictions for b: counted as nothing found"):
            scores = evaluate(truth, {"a": [objects((1, 0))]})
        assert (scores.combined["TP"], scores.combined["FN"]) == (1, 2)
        assert scores["b"]["ML"] == 1

    def test_sequences_without_ground_truth_are_left_out(self):
        with pytest.warns(UserWarning, match="no ground truth for c: these predictions are left out"):
            scores = evaluate(
                {"a": [objects((1, 0))], "b": [objects((1, 0))]},
                {"a": [objects((1, 0))], "b": [objects((1, 0))], "c": [objects((9, 0))]},
            )
        assert (scores.combined["TP"], scores.combined["FP"]) == (2, 0)

    def test_nothing_in_common(self):
        with pytest.raises(ValueError, match="no sequence in common: ground truth of a, b, predictions of c"):
            evaluate({"a": [objects((1, 0))], "b": [objects((1, 0))]}, {"c": [objects((1, 0))]})
        with pytest.raises(ValueError, match="no ground truth"):
            evaluate({}, {})

    def test_one_side_empty(self):
        nothing = [objects(), objects()]
        something = [objects((1, 0)), objects((1, 0))]
        assert evaluate({"a": something}, {"a": nothing}).combined["FN"] == 2
        assert evaluate({"a": nothing}, {"a": something}).combined["FP"] == 2
        assert evaluate({"a": nothing}, {"a": nothing}).combined["HOTA"] == 0


class TestBadInput:
    def test_duplicate_id(self, tmp_path):
        truth = write(tmp_path / "one/gt/gt.txt", rows((1, 1, 0, 1, 1)))
        bad = write(tmp_path / "one.txt", results((1, 2, 0), (3, 2, 0), (3, 2, 50)))
        with pytest.raises(ValueError, match=r"one\.txt, sequence 'one', frame 3, id 2: .* more than once"):
            evaluate(truth, bad)

    def test_frames_outside(self, tmp_path):
        write(tmp_path / "one/gt/gt.txt", rows((1, 1, 0, 1, 1)))
        write(tmp_path / "one/seqinfo.ini", "[Sequence]\nseqLength=4\n")
        assert evaluate(tmp_path / "one", write(tmp_path / "one.txt", results((4, 2, 0)))).combined["FP"] == 1
        for frame in (0, 5):
            bad = write(tmp_path / "one.txt", results((1, 2, 0), (frame, 2, 0)))
            with pytest.raises(ValueError, match=rf"frame {frame}, id 2: expected frames 1 to 4"):
                evaluate(tmp_path / "one", bad)

    def test_not_finite(self):
        bad = [Instances(boxes=torch.tensor([[0, 0, float("nan"), 5]]), ids=torch.tensor([3]))]
        with pytest.raises(ValueError, match=r"predictions, sequence 'a', frame 0, id 3: box .* is not finite"):
            evaluate({"a": [objects((1, 0))]}, {"a": bad})

    def test_negative_size_is_a_false_positive(self):
        bad = [Instances(boxes=torch.tensor([[10.0, 0, 0, 10]]), ids=torch.tensor([3]))]
        with pytest.warns(UserWarning, match="1 boxes of negative size match nothing"):
            scores = evaluate({"a": [objects((1, 0))]}, {"a": bad})
        assert (scores.combined["TP"], scores.combined["FP"]) == (0, 1)


class TestDetections:
    """Scores without identities, by MOT17Det's rules."""

    TRUTH = (
        "1,1,0,0,10,30,1,1,1\n1,2,100,0,10,30,1,1,0.4\n1,3,200,0,10,30,0,8,1\n"  # seen, hidden, distractor
        "2,1,0,0,10,30,1,1,1\n2,4,50,0,10,30,1,1,0.5\n"
    )

    def test_by_hand(self, tmp_path):
        """Sorted by score: hit, false, hit; the third object is not found."""
        truth = write(tmp_path / "a/gt/gt.txt", self.TRUTH)
        found = "1,-1,0,0,10,30,0.9\n1,-1,100,0,10,30,0.95\n1,-1,200,0,10,30,0.95\n1,-1,300,0,10,30,0.8\n"
        row = evaluate(truth, write(tmp_path / "a.txt", found + "2,-1,50,0,10,30,0.7\n"), task="mot_detection")["a"]
        assert [row[name] for name in ("GT", "TP", "FP", "FN")] == [3, 2, 1, 1]
        assert (row["MODP"], row["FAR"], row["MODA"]) == (1, 0.5, pytest.approx(1 / 3))
        assert row["AP"] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)  # recall 1/3 reaches 0 to 0.3, 2/3 reaches 0.6

    def test_nothing_found_and_bad_rows(self, tmp_path):
        truth = write(tmp_path / "a/gt/gt.txt", self.TRUTH)
        row = evaluate(truth, write(tmp_path / "a.txt", ""), task="mot_detection")["COMBINED"]
        assert (row["AP"], row["Recall"], row["FN"], row["Precision"]) == (0, 0, 3, 0)
        with pytest.raises(ValueError, match=r"a\.txt, line 1: expected whole frame and id and a finite box"):
            evaluate(truth, write(tmp_path / "a.txt", "1,-1,0,nan,10,30,0.9\n"), task="mot_detection")


class TestScores:
    @pytest.fixture
    def scores(self):
        truth = {name: [objects((1, 0), (2, 50))] * 3 for name in ("a", "b")}
        tracks = {"a": [objects((1, 0), (2, 50))] * 3, "b": [objects((1, 0))] * 3}
        return evaluate(truth, tracks)

    def test_rows(self, scores):
        assert list(scores) == ["a", "b", "COMBINED"]
        assert len(scores) == 3
        assert (scores["a"]["MOTA"], scores["b"]["MOTA"], scores["COMBINED"]["MOTA"]) == (1, 0.5, 0.75)
        assert scores.combined == scores["COMBINED"]
        with pytest.raises(KeyError):
            scores["c"]

    def test_curves(self, scores):
        assert scores.curves("b")["DetA"] == [0.5] * 19
        assert np.mean(scores.curves()["HOTA"]) == pytest.approx(scores.combined["HOTA"])

    def test_table(self, scores):
        console = Console(width=300, record=True, file=io.StringIO())
        console.print(scores.table())
        lines = console.export_text().splitlines()
        assert all(column in lines[1] for column in COLUMNS)
        assert "75.00" in next(line for line in lines if "COMBINED" in line)

    def test_json(self, scores, tmp_path):
        text = scores.to_json(tmp_path / "scores.json")
        read = json.loads((tmp_path / "scores.json").read_text())
        assert read == json.loads(text)
        assert read["scores"]["b"]["FN"] == 3
        assert len(read["curves"]["COMBINED"]["HOTA"]) == 19


class TestEvaluator:
    def test_one_video_after_another(self):
        truth = {"a": [objects((1, 0))] * 2, "b": [objects((1, 0))] * 2}
        evaluator = MOTEvaluator(truth)
        assert isinstance(evaluator, Evaluator)
        evaluator.process("a", [objects((7, 0))] * 2)
        assert evaluator.evaluate()["HOTA"] == 1
        evaluator.process("b", [objects()] * 2)
        assert evaluator.evaluate()["MOTA"] == 0.5
        assert list(evaluator.scores()) == ["a", "b", "COMBINED"]
        assert evaluator.evaluate() == evaluate(truth, {"a": [objects((7, 0))] * 2, "b": [objects()] * 2}).combined

    def test_bad_calls(self):
        evaluator = MOTEvaluator({"a": [objects((1, 0))]})
        with pytest.raises(ValueError, match="no sequences to evaluate"):
            evaluator.evaluate()
        with pytest.raises(KeyError, match="no ground truth for video 'b'; there is a"):
            evaluator.process("b", [objects()])
        with pytest.raises(ValueError, match="frame 1, id 1: expected frames 0 to 0"):
            evaluator.process("a", [objects(), objects((1, 0))])
