"""YOLOX: the stem and the coder by hand, SimOTA on a case small enough to follow, losses that fall, square padding."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch

from vidperc import Frame, Instances
from vidperc.image.backbones.csp_darknet import Focus
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.yolox import SimOTAAssigner, YOLOXCoder, YOLOXCriterion, YOLOXPostprocessor
from vidperc.image.preprocess import SquarePreprocessor
from vidperc.image.priors import GridPoints
from vidperc.models import get_config
from vidperc.structures import Clip, ImageList


def grid(side: int = 8, stride: int = 8) -> torch.Tensor:
    return torch.cat(GridPoints([stride], offset=0.0)([(side, side)]))


def codes_of(priors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """What decodes to the boxes (A, 4)."""
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - priors[:, :2]) / priors[:, 2:]
    return torch.cat((centre, ((boxes[:, 2:] - boxes[:, :2]) / priors[:, 2:]).log()), 1)


def outputs(priors, boxes, logits=None, quality=None) -> DenseOutputs:
    count = len(priors)
    return DenseOutputs(
        priors,
        [count],
        torch.zeros(1, count, 2) if logits is None else logits,
        codes_of(priors, boxes)[None],
        torch.zeros(1, count) if quality is None else quality,
    )


def test_the_stem_sees_every_pixel_once():
    x = torch.arange(3 * 4 * 6, dtype=torch.float32).reshape(1, 3, 4, 6)
    seen = []
    stem = Focus(4)
    stem.conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    stem(x)
    [parts] = seen
    assert parts.shape == (1, 12, 2, 3)
    expected = [x[0, :, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]  # column by column
    torch.testing.assert_close(parts[0], torch.cat(expected))


def test_coder_by_hand():
    priors = torch.tensor([[16.0, 8.0, 8.0]])
    codes = torch.tensor([[0.5, 1.0, 0.0, float(np.log(2))]])
    assert YOLOXCoder().decode(priors, codes).tolist() == [[16.0, 8.0, 24.0, 24.0]]


def test_targets_take_as_many_cells_as_their_overlaps_sum_up_to():
    """16 x 16 cells' predictions equal the target but for three that overlap by half and one twice as sure."""
    priors = grid()
    target = torch.tensor([16.0, 16.0, 48.0, 48.0])
    far = torch.tensor([200.0, 200.0, 210.0, 210.0])
    boxes = far.repeat(len(priors), 1)
    middle = [27, 28, 35, 36]  # cells of the 4 x 4 about the centre (32, 32)
    boxes[middle] = target
    half = torch.tensor([16.0, 16.0, 48.0, 32.0])
    boxes[[19, 20]] = half
    found = SimOTAAssigner(coder=YOLOXCoder())(
        priors, Instances(boxes=target[None], labels=torch.tensor([1])), outputs(priors, boxes)
    )
    # overlaps 4 x 1 + 2 x 0.5 = 5: the four exact ones and the first of the two halves
    assert sorted((found == 0).nonzero()[:, 0].tolist()) == [19, 27, 28, 35, 36]
    assert set(found.tolist()) == {-1, 0}


def test_a_cell_learns_the_cheaper_of_two_targets_and_ignored_ones_take_none():
    priors = grid()
    targets = Instances(
        boxes=torch.tensor([[16.0, 16, 48, 48], [20, 20, 52, 52], [0, 0, 16, 16]]),
        labels=torch.tensor([0, 1, 0]),
        ignored=torch.tensor([False, False, True]),
    )
    boxes = targets.boxes[1].repeat(len(priors), 1)
    found = SimOTAAssigner(coder=YOLOXCoder())(priors, targets, outputs(priors, boxes))
    assert (found == 1).sum() >= 5 and 2 not in found
    assert (found == 0).sum() == 0 or ((found == 0) & (found == 1)).sum() == 0
    none = SimOTAAssigner(coder=YOLOXCoder())(
        priors, Instances(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64)), outputs(priors, boxes)
    )
    assert (none == -1).all()


def test_losses_by_hand_without_objects():
    priors = grid(2)
    criterion = YOLOXCriterion(assigner=SimOTAAssigner(coder=YOLOXCoder()), coder=YOLOXCoder())
    images = ImageList(torch.zeros(1, 3, 16, 16), [(16, 16)], [(16, 16)], [(1.0, 1.0)])
    empty = Instances(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    losses = criterion(outputs(priors, torch.tensor([[0.0, 0, 8, 8]]).repeat(4, 1)), images, [empty])
    assert losses["loss_objectness"].item() == pytest.approx(4 * np.log(2), rel=1e-6)
    assert losses["loss_class"].item() == losses["loss_box"].item() == 0.0


def test_a_cell_speaks_of_its_best_class_only():
    priors = grid(2)
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [-4, 8, 20, 16]])
    logits = torch.full((1, 4, 2), -9.0)
    logits[0, 0] = torch.tensor([3.0, 2.0])
    logits[0, 3, 1] = 9.0
    quality = torch.tensor([[9.0, 9, 9, 0]])
    images = ImageList(torch.zeros(1, 3, 16, 16), [(16, 16)], [(16, 16)], [(1.0, 1.0)])
    [found] = YOLOXPostprocessor(coder=YOLOXCoder())(outputs(priors, boxes, logits, quality), images)
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([torch.sigmoid(torch.tensor(3.0)).item(), 0.5], abs=1e-3)
    torch.testing.assert_close(found.boxes[1], boxes[3])  # not clipped


def test_padding_to_a_square_is_grey_and_boxes_do_not_move():
    batch = SquarePreprocessor((64, 64), bgr=True, mean=(0.0,) * 3, std=(1.0,) * 3, pad_value=114.0)
    images = batch([np.full((24, 48, 3), (1, 2, 3), np.uint8)])
    assert images.tensor.shape == (1, 3, 64, 64) and images.sizes == [(32, 64)]
    assert images.tensor[0, :, 0, 0].tolist() == [3.0, 2.0, 1.0] and (images.tensor[0, :, 32:] == 114).all()
    assert batch.padded_size(24, 48) == (64, 64)


def test_it_learns_one_picture():
    torch.manual_seed(0)
    config = get_config("yolox_tiny_8x8_300e_coco")
    config.model.backbone.width, config.model.backbone.depth = 0.125, 0.2
    config.model.neck.in_channels, config.model.neck.out_channels = [32, 64, 128], 32
    config.model.head.predictor.in_channels = config.model.head.predictor.channels = 32
    config.model.head.predictor.classes = 2
    model = fdl.build(config.model).train()
    picture = np.full((64, 96, 3), 90, np.uint8)
    picture[10:40, 10:34], picture[24:56, 50:86] = (220, 40, 40), (40, 60, 220)
    frame = Frame.from_array(picture)
    frame.instances = Instances(boxes=torch.tensor([[10.0, 10, 34, 40], [50, 24, 86, 56]]), labels=torch.tensor([0, 1]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    history = []
    for _ in range(40):
        losses = model([Clip([frame])])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert set(history[0]) == {"loss_class", "loss_objectness", "loss_box"}
    first, last = sum(history[0].values()), sum(history[-1].values())
    assert last < 0.6 * first
    assert history[-1]["loss_box"] < history[0]["loss_box"]
