"""The scores that the benchmarks' own kits give for real results are reproduced."""

from __future__ import annotations

import contextlib
import csv
import io
import json

import numpy as np
import pytest
from mot_scenes import FIELDS, motmetrics_matches, motmetrics_scores, trackeval_metrics, trackeval_scores

from vidperc.evaluation import evaluate, read_tracks
from vidperc.evaluation.metrics import count_matches
from vidperc.evaluation.rules import mot15, mot17
from vidperc.evaluation.scalabel import BDD100K_CLASSES
from vidperc.evaluation.scores import MOTCounts

pytestmark = pytest.mark.filterwarnings("ignore:no ground truth for")

# README of the MOTChallenge development kit, in percent
MOT15_TABLE = {
    "TUD-Stadtmitte": "64.5 82.0 53.1 60.9 94.0 0.25 10 5 4 1 45 452 7 6 56.4 65.4",
    "TUD-Campus": "55.8 73.0 45.1 58.2 94.1 0.18 8 1 6 1 13 150 7 7 52.6 72.3",
}
MOT15_COLUMNS = (
    *("IDF1", "IDP", "IDR", "Recall", "Precision", "FAR", "GT_IDs", "MT", "PT", "ML"),
    *("FP", "FN", "IDSW", "Frag", "MOTA", "MOTP"),
)
MOT15_MOTAL = {"TUD-Stadtmitte": 56.9, "TUD-Campus": 54.3}
COUNTS = ("FAR", "GT_IDs", "MT", "PT", "ML", "FP", "FN", "IDSW", "Frag")


@pytest.fixture(autouse=True)
def _asfarray(monkeypatch):
    """motmetrics 1.4.0 uses a function that numpy 2 no longer has."""
    monkeypatch.setattr(np, "asfarray", lambda a, dtype=float: np.asarray(a, dtype), raising=False)


@pytest.fixture(scope="module")
def mot15_sequences(data_root):
    truth = read_tracks(data_root / "mot/MOT15/train", truth=True)
    results = read_tracks(data_root / "eval/motchallenge_devkit/res/MOT15", truth=False)
    return {name: mot15(truth[name], results[name])["pedestrian"] for name in truth}


class TestMOTChallenge:
    def test_table_of_the_development_kit(self, data_root):
        scores = evaluate(data_root / "mot/MOT15/train", data_root / "eval/motchallenge_devkit/res/MOT15")
        assert len(scores) == 8 + 1
        for name, line in MOT15_TABLE.items():
            for column, printed in zip(MOT15_COLUMNS, line.split()):
                value = scores[name][column] * (1 if column in COUNTS else 100)
                digits = len(printed.partition(".")[2])
                # half a unit of the last printed digit, and a rounding error for values that end in 5
                assert value == pytest.approx(float(printed), abs=0.5 * 10**-digits + 1e-9), (name, column)

    def test_the_kit_takes_the_logarithm_of_one_switch_more(self, data_root):
        scores = evaluate(data_root / "mot/MOT15/train", data_root / "eval/motchallenge_devkit/res/MOT15")
        for name, printed in MOT15_MOTAL.items():
            row = scores[name]
            motal = 100 * (1 - (row["FP"] + row["FN"] + np.log10(row["IDSW"] + 1)) / row["GT"])
            assert motal == pytest.approx(printed, abs=0.05)

    def test_equals_trackeval_on_all_sequences(self, mot15_sequences):
        reference = trackeval_scores(mot15_sequences)
        for name, sequence in mot15_sequences.items():
            counts = MOTCounts.of(sequence)
            values = counts.scores() | counts.hota.curves()
            for ours, theirs in FIELDS.items():
                np.testing.assert_allclose(
                    values[ours], reference[name][theirs], rtol=0, atol=1e-9, err_msg=f"{name} {ours}"
                )

    def test_combined_equals_trackeval(self, mot15_sequences, data_root):
        reference = trackeval_scores(mot15_sequences)["COMBINED"]
        scores = evaluate(data_root / "mot/MOT15/train", data_root / "eval/motchallenge_devkit/res/MOT15")
        for ours, theirs in FIELDS.items():
            assert scores.combined[ours] == pytest.approx(float(np.mean(reference[theirs])), abs=1e-9), ours
            if ours in scores.curves():
                np.testing.assert_allclose(scores.curves()[ours], reference[theirs], rtol=0, atol=1e-9)

    @pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte", "ADL-Rundle-6", "KITTI-17", "PETS09-S2L1"])
    def test_equals_motmetrics(self, mot15_sequences, name):
        same = {
            **{"IDF1": "idf1", "IDP": "idp", "IDR": "idr", "MOTA": "mota", "IDSW": "num_switches"},
            **{"FN": "num_misses", "FP": "num_false_positives", "Recall": "recall", "Precision": "precision"},
            **{"ML": "mostly_lost", "TP": "num_detections"},
        }
        reference = motmetrics_scores(mot15_sequences[name], [*same.values(), "motp"])
        scores = MOTCounts.of(mot15_sequences[name]).scores()
        for ours, theirs in same.items():
            assert scores[ours] == pytest.approx(reference[theirs], abs=1e-9), ours
        assert scores["MOTP"] == pytest.approx(1 - reference["motp"], abs=1e-9)

    @pytest.mark.parametrize("name", ["ETH-Bahnhof", "ETH-Sunnyday", "KITTI-13"])
    def test_counting_equals_motmetrics_for_its_own_matches(self, mot15_sequences, name):
        """On ETH-Bahnhof the two keep different matches after gaps: MOTP differs by 0.00003, no count does."""
        sequence = mot15_sequences[name]
        keys = zip(
            sequence.truth_frames[sequence.pairs.truth].tolist(),
            sequence.truth_ids[sequence.pairs.truth].tolist(),
            sequence.prediction_ids[sequence.pairs.prediction].tolist(),
        )
        matches = motmetrics_matches(sequence)
        theirs = count_matches(sequence, np.array([key in matches for key in keys])).scores()
        ours = MOTCounts.of(sequence).scores()
        reference = motmetrics_scores(sequence, ["motp", "mota", "num_switches"])
        assert theirs["MOTP"] == pytest.approx(1 - reference["motp"], abs=1e-9)
        assert theirs["MOTA"] == ours["MOTA"] == pytest.approx(reference["mota"], abs=1e-9)
        assert theirs["IDSW"] == ours["IDSW"] == reference["num_switches"]


DETECTION = ("Recall", "Precision", "FAR", "GT", "TP", "FP", "FN", "MODA", "MODP", "AP")


class TestMOTDetection:
    def scores(self, data_root, name):
        results = data_root / "eval/motchallenge_devkit/res/MOT17Det/DPM/data" / f"{name}.txt"
        return evaluate(data_root / "mot/MOT17/train" / f"{name}-SDP", results, task="mot_detection")["COMBINED"]

    def test_table_of_the_development_kit(self, data_root):
        row = self.scores(data_root, "MOT17-13")
        printed = [34.7, 56.5, 2.87, 8039, 2788, 2150, 5251, 7.9, 73.4, 32.75]
        for name, expected in zip(DETECTION, printed):
            percent = name in ("Recall", "Precision", "MODA", "MODP", "AP")
            unit = {"AP": 0.01, "FAR": 0.01}.get(name, 0.1 if percent else 1)
            assert row[name] * (100 if percent else 1) == pytest.approx(expected, abs=unit / 2), name

    def test_the_kit_leaves_fewer_detections_out_of_one_sequence(self, data_root):
        """The kit's table: GT 7288, TP 4230, FN 3058, but FP 1963 and AP 51.15."""
        row = self.scores(data_root, "MOT17-02")
        assert [row[name] for name in ("GT", "TP", "FN", "FP")] == [7288, 4230, 3058, 1932]
        assert 100 * row["AP"] == pytest.approx(51.11, abs=0.005)


def write_results(path, truth, seed):
    """Imperfect tracks of everything annotated, distractors too, as a results file."""
    rng = np.random.default_rng(seed)
    rows = np.loadtxt(truth, delimiter=",")
    rows = rows[(rng.random(len(rows)) < 0.8) & (rows[:, 0] <= 120)]
    rows[:, 2:6] += rng.normal(0, 0.05, (len(rows), 4)) * rows[:, [4, 5, 4, 5]]
    rows[:, 1] += 1000 * (rng.random(len(rows)) < 0.1)
    rows[:, 6:] = -1
    np.savetxt(path, rows, delimiter=",", fmt="%g")


def trackeval_mot_challenge(root, names, benchmark, lengths):
    """HOTA, CLEAR and Identity of TrackEval's own reader and preprocessing."""
    from trackeval.datasets import MotChallenge2DBox

    with contextlib.redirect_stdout(io.StringIO()):
        data = MotChallenge2DBox(
            {
                **{"GT_FOLDER": str(root / "gt"), "TRACKERS_FOLDER": str(root / "trackers")},
                **{"BENCHMARK": benchmark, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False},
                **{"TRACKERS_TO_EVAL": ["ours"], "SEQ_INFO": lengths},
            }
        )
        out = {}
        for name in names:
            clean = data.get_preprocessed_seq_data(data.get_raw_seq_data("ours", name), "pedestrian")
            out[name] = {}
            for metric in trackeval_metrics():
                out[name] |= metric.eval_sequence(clean)
    return out


@pytest.mark.parametrize("rules", ["MOT17", "MOT20", "MOT15"])
def test_preprocessing_equals_trackeval(data_root, tmp_path, rules):
    """On real annotations with all classes; non-motorised vehicles are distractors in MOT20 alone."""
    names = ["MOT17-02-SDP", "MOT17-10-SDP"]
    (tmp_path / "trackers/ours/data").mkdir(parents=True)
    for seed, name in enumerate(names):
        source = data_root / "mot/MOT17/train" / name / "gt/gt.txt"
        rows = np.loadtxt(source, delimiter=",")
        rows = rows[rows[:, 0] <= 120]
        rows[::50, 7] = 6
        (tmp_path / "gt" / name / "gt").mkdir(parents=True)
        np.savetxt(tmp_path / "gt" / name / "gt/gt.txt", rows, delimiter=",", fmt="%g")
        write_results(tmp_path / f"trackers/ours/data/{name}.txt", source, seed)
    reference = trackeval_mot_challenge(tmp_path, names, rules, dict.fromkeys(names, 120))
    scores = evaluate(tmp_path / "gt", tmp_path / "trackers/ours", benchmark=rules)
    for name in names:
        assert scores[name]["TP"] > 500
        for ours, theirs in FIELDS.items():
            expected = float(np.mean(reference[name][theirs]))
            assert scores[name][ours] == pytest.approx(expected, abs=1e-9), (name, ours)


def test_motmetrics_preprocessing_agrees(data_root, tmp_path):
    """motmetrics removes the same predictions as our rules on real annotations with distractors."""
    import motmetrics

    folder = data_root / "mot/MOT17/train/MOT17-09-SDP"
    write_results(tmp_path / "MOT17-09-SDP.txt", folder / "gt/gt.txt", 3)
    truth = motmetrics.io.loadtxt(folder / "gt/gt.txt", fmt="mot16")
    results = motmetrics.io.loadtxt(tmp_path / "MOT17-09-SDP.txt", fmt="mot16")
    kept = motmetrics.preprocess.preprocessResult(results, truth, str(folder / "seqinfo.ini"))
    sequence = mot17(
        read_tracks(folder, truth=True)["MOT17-09-SDP"], read_tracks(tmp_path, truth=False)["MOT17-09-SDP"]
    )["pedestrian"]
    assert sequence.num_predictions == len(kept) < len(results)


KITTI_TRACKERS = ("GT-SORT", "YOLOX-SORT", "GT-OC-SORT", "YOLOX-OC-SORT", "CIWT")


@pytest.mark.filterwarnings("ignore:.*negative size")
@pytest.mark.parametrize("tracker", KITTI_TRACKERS)
def test_kitti_equals_trackeval_tables(data_root, tracker):
    folder = data_root / "eval/kitti_trackers"
    scores = evaluate(folder / "gt", folder / "trackers" / tracker, classes=("car",))
    with (folder / "trackers" / tracker / "car_detailed.csv").open() as file:
        table = {row["seq"]: row for row in csv.DictReader(file)}
    assert len(scores) == 8 + 1
    for name in list(scores)[:-1]:
        row, curves = table[name], scores.curves(name)
        for ours, theirs in FIELDS.items():
            if ours in curves:
                printed = [float(row[f"{theirs}___{alpha}"]) for alpha in range(5, 100, 5)]
                np.testing.assert_allclose(curves[ours], printed, rtol=0, atol=1e-9, err_msg=f"{name} {ours}")
                theirs = f"{theirs}___AUC"
            assert scores[name][ours] == pytest.approx(float(row[theirs]), abs=1e-9), (name, ours)


class TestBDD100K:
    def test_box_tracking(self, data_root):
        folder = data_root / "eval/bdd100k_scalabel/box_track"
        scores = evaluate(folder / "track_sample_anns.json", folder / "track_predictions.json")
        row = scores.combined
        assert (row["FP"], row["FN"], row["IDSW"]) == (126, 942, 45)
        assert (round(100 * row["IDF1"], 2), round(100 * row["MOTA"], 2)) == (71.01, 64.20)
        assert sum(scores.classes[name].combined["TP"] for name in scores.classes) == row["TP"]
        assert sum(group["FN"] for group in scores.groups.values()) == row["FN"]

    def test_box_tracking_without_the_last_pixel(self, data_root):
        """What the kit would give if x2 and y2 were the edges of the box."""
        folder = data_root / "eval/bdd100k_scalabel/box_track"
        sides = [
            read_tracks(folder / "track_sample_anns.json", truth=True),
            read_tracks(folder / "track_predictions.json", truth=False),
        ]
        for tracks in (tracks for side in sides for tracks in side.values()):
            for part in filter(None, (tracks, tracks.regions)):
                part.boxes[:, 2:] -= 1
        row = evaluate(*sides).combined
        assert (row["FP"], row["FN"], round(100 * row["MOTA"], 2)) == (129, 945, 64.01)

    def test_segmentation_tracking(self, data_root):
        folder = data_root / "eval/bdd100k_scalabel/seg_track"
        row = evaluate(folder / "seg_track_sample.json", folder / "seg_track_preds.json").combined
        assert (round(100 * row["IDF1"], 2), round(100 * row["MOTA"], 2)) == (74.52, 64.31)

    def test_results_without_shapes_find_nothing(self, data_root):
        folder = data_root / "eval/bdd100k_scalabel/seg_track"
        row = evaluate(folder / "seg_track_sample.json", folder / "seg_track_preds_empty.json").combined
        assert (row["TP"], row["FP"], row["MOTA"], row["HOTA"]) == (0, 0, 0, 0)

    def test_detection_sample_counts_the_last_pixel_too(self, data_root):
        """Why `bdd100k` widens boxes by a pixel: the kit's AP 34.03 and AP50 55.32 need it as well."""
        assert detection_ap(data_root / "eval/bdd100k_scalabel", 1) == (34.03, 55.32)
        assert detection_ap(data_root / "eval/bdd100k_scalabel", 0) == (33.11, 53.74)


def detection_ap(folder, last_pixel):
    """AP and AP50 in percent of the detection sample, by COCO's own evaluation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    frames = json.loads((folder / "box_track/track_sample_anns.json").read_text())
    categories = {name: i + 1 for i, name in enumerate(BDD100K_CLASSES)}
    images = {frame["name"]: i + 1 for i, frame in enumerate(frames)}

    def entries(frames):
        for frame in frames:
            for label in frame["labels"] or []:
                x1, x2, y1, y2 = (label["box2d"][key] for key in ("x1", "x2", "y1", "y2"))
                box = [x1, y1, x2 - x1 + last_pixel, y2 - y1 + last_pixel]
                crowd = int(bool(label.get("attributes", {}).get("crowd")))
                yield {
                    **{"image_id": images[frame["name"]], "category_id": categories[label["category"]]},
                    **{"bbox": box, "area": box[2] * box[3], "score": label.get("score"), "iscrowd": crowd},
                }

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i, "height": 720, "width": 1280} for i in images.values()],
            "annotations": [{**entry, "id": i + 1} for i, entry in enumerate(entries(frames))],
            "categories": [{"id": i, "name": name} for name, i in categories.items()],
        }
        truth.createIndex()
        found = truth.loadRes(list(entries(json.loads((folder / "det/bbox_predictions.json").read_text()))))
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return tuple(round(100 * float(value), 2) for value in evaluation.stats[:2])
