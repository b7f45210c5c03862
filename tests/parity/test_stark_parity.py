"""STARK against the recorded boxes of the reference implementation."""

from __future__ import annotations

import kit
import numpy as np
import torch

from vidperc.models import load
from vidperc.structures import Video

NAME = "stark_st1_r50_500e_lasot"


def test_boxes_and_scores_of_a_clip(tmp_path):
    golden = kit.load_golden(NAME)
    path = kit.write_checkpoint(kit.load_spec(NAME), tmp_path / "stark.pth")
    # The network takes RGB, as its published pipeline gives it, but was given BGR when the boxes were recorded.
    frames = np.ascontiguousarray(kit.frames()[..., ::-1])
    model = load(NAME, checkpoint=path)
    results = list(model.stream(Video.from_frames(frames, prompt=golden["init_box"])))
    assert torch.equal(results[0].boxes[0], torch.from_numpy(golden["init_box"]))
    boxes = torch.cat([result.boxes for result in results[1:]]).numpy()
    scores = torch.cat([result.scores for result in results[1:]]).numpy()
    overlaps = kit.pairwise_iou(golden["boxes"], boxes).diagonal()
    assert overlaps.min() >= kit.LEAST_IOU
    assert np.array_equal(scores, golden["scores"])
    assert np.abs(boxes - golden["boxes"]).max() < 1e-2  # float32 noise of the network alone
