"""SiamRPN++ against the recorded boxes and scores of the reference implementation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from vidperc.models import load
from vidperc.structures import Video

NAME = "siamese_rpn_r50_20e_lasot"


@pytest.fixture(scope="module")
def kit(parity_root):
    sys.path.insert(0, str(parity_root))
    import compare
    import fill

    sys.path.remove(str(parity_root))
    return fill, compare


def test_boxes_and_scores_of_a_clip(kit, parity_root, tmp_path):
    fill, compare = kit
    fill.checkpoint(fill.load_spec(parity_root / "specs" / f"{NAME}.json.gz"), tmp_path / "siamrpn.pth")
    golden = compare.load_golden(parity_root / "goldens" / f"{NAME}.npz")
    frames = np.load(parity_root / "frames.npz")["frames"][..., ::-1]
    model = load(NAME, checkpoint=tmp_path / "siamrpn.pth")
    results = list(model.stream(Video.from_frames(list(frames), prompt=golden["init_box"])))
    assert torch.equal(results[0].boxes[0], torch.from_numpy(golden["init_box"]))
    boxes = torch.cat([result.boxes for result in results[1:]]).numpy()
    scores = torch.cat([result.scores for result in results[1:]]).numpy()
    outcome = compare.compare_sot(golden, boxes, scores)
    assert outcome["pass"], outcome
    # float32 noise of the network alone: far below what the comparison allows
    assert np.abs(boxes - golden["boxes"]).max() < 2e-2
    assert np.abs(scores - golden["scores"]).max() < 1e-4


@pytest.mark.parametrize("data", ["lasot", "otb100", "trackingnet", "uav123", "vot2018"])
def test_all_published_names_have_the_published_tensors(data, parity_root):
    import gzip
    import json

    with gzip.open(parity_root / "states.json.gz", "rt") as file:
        states = json.load(file)["states"]
    wanted = {name: tuple(shape) for name, shape, _ in states[f"siamese_rpn_r50_20e_{data}"]}
    for name in (f"siamese_rpn_r50_20e_{data}", f"siamese_rpn_r50_fp16_20e_{data}"):
        given = {key: tuple(value.shape) for key, value in load(name, fuse=False).state_dict().items()}
        assert given == wanted
