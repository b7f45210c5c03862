"""The published re-identification network from uint8 frames, against the embeddings of the reference implementation."""

from __future__ import annotations

import kit
import numpy as np
import torch

import vidperc
from vidperc import Frame, Instances

NAME = "resnet50_b32x8_MOT17"


def test_embeddings_are_those_of_the_reference(tmp_path):
    golden = kit.load_golden(NAME)
    model = vidperc.load(NAME, checkpoint=kit.write_checkpoint(kit.load_spec(NAME), tmp_path / "checkpoint.pth"))
    frame = Frame.from_array(np.array(kit.frames()[0]))
    frame.detections = Instances(boxes=torch.from_numpy(golden["boxes"]).float())
    with model.inference():
        found = model.step(frame).embeddings.numpy()
    off = np.linalg.norm(found - golden["embeddings"], axis=1) / np.linalg.norm(golden["embeddings"], axis=1)
    assert off.max() <= 1e-3
