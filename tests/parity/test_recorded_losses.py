"""Training losses against those that the reference's criteria gave for the same pictures, targets and weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kit
import numpy as np
import pytest
import torch

from vidperc import Instances
from vidperc.image.detector import Detector
from vidperc.image.heads.ghm import GradientDensity

RECORDED = json.loads((kit.HERE / "losses.json").read_text(encoding="utf-8"))
BOXES = (
    ((20, 30, 120, 150), (100, 40, 180, 90), (200, 20, 300, 170), (5, 5, 30, 40), (150, 100, 170, 130)),
    ((60, 50, 260, 160), (10, 100, 60, 175)),
)  # of the first two frames, in their 320 x 180 pixels
LABELS = ((0, 2, 1, 0, 2), (1, 0))
ALL_REGIONS = 100_000  # to be sampled, so that no chance is in it


def ellipses(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Masks (N, H, W): the ellipse in each box, of pixels whose corner is in it."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    low, high = boxes.double()[:, :2], boxes.double()[:, 2:]
    middle, half = (low + high) / 2, (high - low) / 2
    across = (x - middle[:, :1, None]) / half[:, :1, None]
    down = (y - middle[:, 1:, None]) / half[:, 1:, None]
    return across.square() + down.square() <= 1


def semantic_map(size: tuple[int, int]) -> torch.Tensor:
    """Classes (2, H, W) in blocks of 8 pixels."""
    image, y, x = torch.meshgrid(torch.arange(2), torch.arange(size[0] // 8), torch.arange(size[1] // 8), indexing="ij")
    return ((7 * y + 3 * x + 11 * image) % 183).repeat_interleave(8, 1).repeat_interleave(8, 2)


def sampling_all(name: str, tmp_path: Path) -> Detector:
    """With gradients, as at inference but for statistics of the losses; all regions are sampled."""
    samples = re.search("rcnn|rpn|htc|scnet|point_rend", name)
    model, _ = kit.load_filled(name, tmp_path, fuse=False, **({"count": ALL_REGIONS} if samples else {}))
    for module in model.modules():
        if isinstance(module, GradientDensity):
            module.train()
    return model


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_losses_are_the_recorded_ones(name, tmp_path):
    model = sampling_all(name, tmp_path)
    frames = [np.ascontiguousarray(frame) for frame in kit.frames()[:2]]
    if not model.preprocessor.keep_ratio:
        frames = [model.preprocessor.resize(frame) for frame in frames]
    images = model.preprocessor.batch(frames)
    height, width = frames[0].shape[:2]
    targets = []
    for boxes, labels in zip(BOXES, LABELS):
        scaled = torch.tensor(boxes, dtype=torch.float32) * torch.tensor([width / 320, height / 180] * 2)
        masks = ellipses(scaled, images.padded_size)
        targets.append(Instances(boxes=scaled, labels=torch.tensor(labels), masks=masks))
    more = {"semantic": semantic_map(images.padded_size)} if hasattr(model, "semantic") else {}
    torch.manual_seed(0)  # of PointRend's points and Libra R-CNN's background, as in the recording
    with torch.no_grad():
        losses = model.loss(model.extract_features(images), images, targets, **more)
    found = {key: float(value) for key, value in losses.items()}
    assert found == pytest.approx(RECORDED[name], rel=1e-4, abs=1e-6)
