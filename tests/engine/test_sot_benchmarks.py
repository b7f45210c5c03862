"""Testing single-object trackers by name: benchmarks known by their layout, files, scores, resuming, tuning."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vidperc.data.problems import DataError
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.writers.sot import write_got10k, write_otb
from vidperc.engine.sot import find_sot, follow_videos, follow_with_restarts, read_boxes, read_restart_run, truth_of
from vidperc.evaluation.sot import evaluate_ope
from vidperc.evaluation.vot import FAILED, SKIPPED, STARTED
from vidperc.sequence import SequenceModel
from vidperc.sot_tuning import settings_to_try, tune_siamese
from vidperc.structures import Instances
from vidperc.video.siamrpn_anchors import Postprocessor


class Still(SequenceModel):
    """Says that the object stays where it was."""

    def init_state(self, video):
        return video.prompt

    def step(self, frame, state):
        return Instances(state.boxes, scores=torch.ones(1))


@pytest.fixture(scope="module")
def records():
    return synthetic_videos("val", 2, 6, (64, 96), "sot")


def write_sequence(folder, lines, name="groundtruth.txt", pictures="img"):
    import cv2

    (folder / pictures).mkdir(parents=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    for number in range(len(lines)):
        cv2.imwrite(str(folder / pictures / f"{number + 1:04d}.jpg"), np.zeros((40, 60, 3), np.uint8))


BOX = "5,5,20,20"


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("otb", lambda root: write_sequence(root / "A", [BOX] * 2, "groundtruth_rect.txt")),
        ("vot", lambda root: write_sequence(root / "A", ["5,5,25,5,25,25,5,25"] * 2)),
        ("lasot", lambda root: (write_sequence(root / "cat" / "cat-1", [BOX] * 2),
                                (root / "cat" / "cat-1" / "full_occlusion.txt").write_text("0,0"))),
        ("trackingnet", lambda root: (write_sequence(root / "TEST", [BOX], "anno.txt", "frames/A"),
                                      (root / "TEST" / "anno").mkdir(),
                                      (root / "TEST" / "anno" / "A.txt").write_text(BOX))),
        ("uav123", lambda root: (write_sequence(root, [BOX, "NaN,NaN,NaN,NaN"], "x.txt", "data_seq/UAV123/A"),
                                 (root / "anno" / "UAV123").mkdir(parents=True),
                                 (root / "x.txt").rename(root / "anno" / "UAV123" / "A.txt"))),
    ],
)  # fmt: skip
def test_benchmarks_are_known_by_their_layout(tmp_path, name, build):
    build(tmp_path)
    found = find_sot(tmp_path)
    assert found.name == name
    assert len(found.records) == 1 and found.records[0].instances[0].boxes.tolist()[0][:2] == pytest.approx(
        [5, 5], abs=1
    )


def test_no_benchmark(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_sot(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="known are OTB"):
        find_sot(tmp_path)


def test_files_scores_and_resuming(tmp_path, records):
    files = follow_videos(Still(), records, tmp_path)
    truth = {record.name: truth_of(record) for record in records}
    boxes = {record.name: read_boxes(files[record.name], 6) for record in records}
    for record in records:
        objects = record.load(0).instances
        first = objects.boxes[objects.ids.argmin()].double().numpy()
        assert np.allclose(boxes[record.name], first, atol=1e-3)  # the object of the smallest id
        assert np.array_equal(truth[record.name].boxes[0], first)
    assert evaluate_ope(truth, boxes).success > 0.1
    files[records[0].name].write_text("1,2,3,4\n" * 6)
    follow_videos(Still(), records, tmp_path, resume=True)
    assert files[records[0].name].read_text().startswith("1,2,3,4")
    with pytest.raises(DataError, match="6 boxes for 7 frames"):
        read_boxes(files[records[0].name], 7)


def test_the_written_benchmarks_are_found(tmp_path, records):
    write_otb(records, tmp_path / "otb")
    write_got10k(records, tmp_path / "got", "val")
    assert find_sot(tmp_path / "otb").name == "otb"
    got = find_sot(tmp_path / "got")
    assert got.rules == "got10k" and [record.name for record in got.records] == [record.name for record in records]


def test_restarts_are_kept_as_vot_does(tmp_path):
    """The object jumps away at frame 2: a failure, five frames later a new start."""
    lines = ["5,5,25,5,25,25,5,25"] * 2 + ["35,5,55,5,55,25,35,25"] * 8
    write_sequence(tmp_path / "VOT2016" / "A", lines)
    found = find_sot(tmp_path / "VOT2016")
    assert found.rules == "vot2016"
    run = follow_with_restarts(Still(), found.records, tmp_path / "out")["A"]
    path = tmp_path / "out" / "baseline" / "A" / "A_001.txt"
    codes = [entry if isinstance(entry, int) else None for entry in run.regions]
    assert codes == [STARTED, None, FAILED, *[SKIPPED] * 4, STARTED, None, None]
    side = 21.0  # one pixel larger than the truth
    assert run.overlaps[1] == pytest.approx(400 / side**2, rel=1e-3) and run.overlaps[2] == 0
    assert np.isnan(run.overlaps[[0, 3, 7]]).all()
    assert path.read_text().splitlines()[2] == "2"
    seconds = np.loadtxt(path.with_name("A_time.txt"))
    assert ((seconds > 0) == ~np.isin(np.arange(10), range(3, 7))).all()  # none of the frames skipped
    path.write_text(path.read_text().replace("2\n", "x\n", 1))
    with pytest.raises(DataError, match=r"A_001.txt:\d: expected"):
        read_restart_run(path, found.records[0].attributes["polygons"], (40, 60))


def test_a_picture_that_cannot_be_read_ends_the_test(tmp_path):
    """Without it, results would be of other frames than their lines say."""
    write_sequence(tmp_path / "A", [BOX] * 4, "groundtruth_rect.txt")
    (tmp_path / "A" / "img" / "0003.jpg").write_text("broken")
    records = find_sot(tmp_path).records
    with pytest.raises(DataError, match=r"A: frame 2 \(.*0003.jpg\) cannot be read"):
        follow_videos(Still(), records, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_are_not_searched_stay_the_models():
    own = Postprocessor(0.16, 0.4, 0.3)
    assert settings_to_try(own, {"penalty": [0.1, 0.2]}) == [Postprocessor(0.1, 0.4, 0.3), Postprocessor(0.2, 0.4, 0.3)]
    assert len(settings_to_try(own, None)) == 125


def test_tuning_a_siamese_tracker_by_name(tmp_path):
    write_otb(synthetic_videos("val", 1, 4, (64, 96), "sot"), tmp_path)
    counts = []
    trials = tune_siamese(
        "tiny_siamese_rpn", tmp_path, {"penalty": [0.0, 0.1], "size_rate": [0.3]}, confirm=1,
        progress=lambda done, total: counts.append((done, total)),
    )  # fmt: skip
    assert counts == [(1, 1)]
    assert len(trials) == 3  # two settings and its own
    assert trials[0].measured is not None and 0 <= trials[0].measured <= 1
    with pytest.raises(ValueError, match="settings of a siamese tracker"):
        tune_siamese("tiny_siamese_rpn", tmp_path, {"lr": [0.3]})
    for name in ("sort", "stark_st2_r50_50e_lasot"):
        with pytest.raises(ValueError, match=f"'{name}' is no SiamRPN: its boxes do not depend on penalty"):
            tune_siamese(name, tmp_path)


def test_by_name_on_a_benchmark(tmp_path):
    from vidperc.testing import test as run_test

    write_got10k(synthetic_videos("val", 1, 4, (64, 96), "sot"), tmp_path / "got", "val")
    outcome = run_test("tiny_siamese_rpn", data_root=tmp_path / "got", out=tmp_path / "out")
    assert {"success", "AO", "SR50"} <= set(outcome.scores)
    assert (tmp_path / "out" / "submission.zip").is_file()
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["sequences"]
    with pytest.raises(ValueError, match="no test data of its own"):
        run_test("siamese_rpn_r50_20e_lasot", out=tmp_path)
