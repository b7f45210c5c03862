"""CornerNet: pooling, targets, losses, pairs and soft suppression by hand; mirrored pictures; that it learns."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch

from vidperc import Instances
from vidperc.image.heads.corner_criterion import (
    corner_targets,
    embedding_losses,
    gaussian_radius,
    heat_loss,
    offset_loss,
)
from vidperc.image.heads.corner_net import Corners, running_max
from vidperc.image.heads.corner_postprocess import CornerPostprocessor
from vidperc.image.mirrored import MirroredDetector
from vidperc.image.preprocess import Preprocessor
from vidperc.image.preprocess_centred import CentredPreprocessor
from vidperc.models import get_config
from vidperc.structures import ImageList


def images(count: int, size: tuple[int, int]) -> ImageList:
    return ImageList(torch.zeros(count, 3, *size), [size] * count, [size] * count, [(1.0, 1.0)] * count)


def objects(*boxes: list[float], labels: list[int] | None = None) -> Instances:
    given = torch.tensor(labels if labels is not None else [0] * len(boxes), dtype=torch.int64)
    return Instances(boxes=torch.tensor(boxes).reshape(-1, 4), labels=given)


def small(name: str = "cornernet_hourglass104_mstest_8x6_210e_coco") -> fdl.Config:
    """Two hourglasses of three resolutions and few channels."""
    model = get_config(name).model
    model.backbone.channels, model.backbone.blocks, model.backbone.out_channels = (16, 16, 24), (1, 1, 1), 16
    model.head.predictor.in_channels, model.head.predictor.classes = 16, 3
    return model


def batch() -> tuple[ImageList, list[Instances]]:
    """Two noisy pictures with three bright objects each."""
    given = images(2, (63, 63))
    given.tensor = torch.randn(2, 3, 63, 63, generator=torch.Generator().manual_seed(1))
    boxes = [[4.0, 5, 30, 28], [33, 8, 60, 50], [9, 36, 27, 61]]
    for i, (x1, y1, x2, y2) in enumerate(torch.tensor(boxes).int().tolist()):
        given.tensor[:, i, y1:y2, x1:x2] += 3
    return given, [objects(*boxes, labels=[0, 1, 2])] * 2


def test_thirty_steps_halve_the_loss_and_reach_every_parameter():
    torch.manual_seed(0)
    model = fdl.build(small()).train()
    given, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        total = sum(model.loss(model.extract_features(given), given, targets).values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


def test_images_without_objects_train():
    model = fdl.build(small()).train()
    given, targets = batch()
    for each in ([targets[0], Instances.empty()], [Instances.empty()] * 2):
        parts = model.loss(model.extract_features(given), given, each)
        sum(parts.values()).backward()
        assert all(bool(torch.isfinite(value)) for value in parts.values())
    assert parts["loss_offset"] == parts["loss_pull"] == parts["loss_push"] == 0
    assert parts["loss_heat"] > 0


@pytest.mark.parametrize("suffix", ["", "_noflip"])
def test_batches_equal_single_images(suffix):
    torch.manual_seed(0)
    model = fdl.build(small(f"cornernet_hourglass104_mstest_8x6_210e_coco{suffix}")).eval()
    pictures = [np.random.default_rng(i).integers(0, 256, (60 + i, 80 - i, 3), np.uint8) for i in range(2)]
    for picture, result in zip(pictures, model.predict(pictures)):
        alone = model.predict([picture])[0]
        assert len(alone) == len(result) > 0
        torch.testing.assert_close(alone.scores, result.scores, rtol=0, atol=1e-5)


def test_running_maxima():
    x = torch.tensor([[1.0, 3, 2], [2, 1, 0]])[None, None]
    assert running_max(x, 3, False)[0, 0].tolist() == [[1, 3, 3], [2, 2, 2]]
    assert running_max(x, 3, True)[0, 0].tolist() == [[3, 3, 2], [2, 1, 0]]
    assert running_max(x, 2, False)[0, 0].tolist() == [[1, 3, 2], [2, 3, 2]]
    assert running_max(x, 2, True)[0, 0].tolist() == [[2, 3, 2], [2, 1, 0]]


def test_radius_is_that_of_the_strictest_overlap():
    """A box of 9 x 6: both corners inwards by r leave (9 - 2 r) (6 - 2 r) of 54, three tenths at r = 1.60."""
    assert gaussian_radius(torch.tensor([[9.0, 6], [2, 1], [90, 60]])).tolist() == [1, 0, 16]


def test_targets_of_corners():
    """A box on a map of a quarter of the size, 10 x 20."""
    target = objects([5.0, 8, 40, 32], labels=[1])
    first, second = corner_targets(torch.zeros(1, 2, 10, 20), images(1, (40, 80)), [target])
    assert first.places.tolist() == [[1.25, 2]]
    assert first.cells.tolist() == [[1, 2]]
    assert second.cells.tolist() == [[10, 8]]
    assert first.centres.tolist() == [[5.625, 5]]
    assert float(first.heat[0, 0].max()) == 0
    near, diagonal = math.exp(-2), math.exp(-4)  # radius 1, deviation 1/2
    rows = [[diagonal, near, diagonal, 0], [near, 1, near, 0], [diagonal, near, diagonal, 0]]
    torch.testing.assert_close(first.heat[0, 1, 1:4, 0:4], torch.tensor(rows))
    assert first.heat.sum().item() == pytest.approx(1 + 4 * near + 4 * diagonal)
    # predicted offsets of 0 are off by 1/4 and 0
    assert offset_loss(torch.zeros(1, 2, 10, 20), first).item() == pytest.approx(0.25**2 / 2)


def test_corners_beyond_the_map_are_in_its_last_cell():
    _, second = corner_targets(torch.zeros(1, 1, 10, 10), images(1, (40, 40)), [objects([4.0, 4, 40, 40])])
    assert second.cells.tolist() == [[9, 9]]
    assert offset_loss(torch.zeros(1, 2, 10, 10), second).item() == pytest.approx(2 * 0.5)


def test_of_corners_in_one_cell_the_last_gives_the_offset_and_the_largest_peak_the_heat():
    target = objects([4.0, 4, 40, 40], [5, 4, 8, 8], labels=[0, 0])
    first, _ = corner_targets(torch.zeros(1, 1, 10, 10), images(1, (40, 40)), [target])
    assert first.rows.tolist() == [1]
    assert first.heat[0, 0, 1, 2].item() > 0.4  # of the large box
    assert (first.heat == 1).sum() == 1


def test_heat_loss():
    """At scores of 1/2 a peak costs ln 2 / 4, what is near it less."""
    loss = heat_loss(torch.zeros(1, 1, 1, 4), torch.tensor([1.0, 0.5, 0, 1]).view(1, 1, 1, 4))
    assert loss.item() == pytest.approx(math.log(2) / 4 * (2 + 0.5**4 + 1) / 2)


def test_embeddings_of_a_box_attract_and_of_two_boxes_repel():
    target = objects([0.0, 0, 3, 3], [1, 1, 2, 2], [3, 3, 3.5, 3.5])
    wanted = corner_targets(torch.zeros(2, 1, 4, 4), images(2, (4, 4)), [target[:2], target[2:]])
    embedding = torch.zeros(2, 2, 1, 4, 4)
    embedding[0, 0, 0, 0, 0], embedding[1, 0, 0, 3, 3] = 1, 2  # of the first box, mean 1.5
    embedding[0, 0, 0, 1, 1], embedding[1, 0, 0, 2, 2] = 2, 2  # of the second box, mean 2
    embedding[0, 1, 0, 3, 3], embedding[1, 1, 0, 3, 3] = 5, 7  # alone in its image
    maps = Corners({"embedding": embedding[0]}, {"embedding": embedding[1]})
    pull, push = embedding_losses(maps, wanted)
    assert pull.item() == pytest.approx(2 * 0.25 / 2 + 2)
    assert push.item() == pytest.approx(2 * 0.5 / 2)


def corners() -> Corners:
    """Two top left and two bottom right corners on a map of 8 x 8 of two classes.

    Class 0 has corners at (1, 1), (3, 2) and (5, 6); class 1 has a bottom right one at (7, 7).
    """
    heat = torch.full((2, 1, 2, 8, 8), -20.0)
    heat[0, 0, 0, 1, 1], heat[0, 0, 0, 2, 3] = 2, 1
    heat[1, 0, 0, 6, 5], heat[1, 0, 1, 7, 7] = 2, 3
    heat[0, 0, 0, 0, 1] = 1.5  # beside a larger one
    offset, embedding = torch.full((2, 1, 2, 8, 8), 0.5), torch.zeros(2, 1, 1, 8, 8)
    embedding[0, 0, 0, 2, 3] = 0.6
    first, second = ({"heat": h, "offset": o, "embedding": e} for h, o, e in zip(heat, offset, embedding))
    return Corners(first, second)


def test_pairs_are_of_one_class_and_of_near_embeddings():
    found = CornerPostprocessor(corners=2).pairs(corners(), images(1, (32, 32)))[0]
    assert found.boxes.tolist() == [[6, 6, 22, 26]]  # cells of 4 pixels
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-2))])
    loose = CornerPostprocessor(corners=2, distance=0.7).pairs(corners(), images(1, (32, 32)))[0]
    assert loose.boxes.tolist() == [[6, 6, 22, 26], [14, 10, 22, 26]]


def test_pairs_are_in_pixels_of_the_picture_in_the_middle():
    given = ImageList(torch.zeros(1, 3, 32, 32), [(18, 20)], [(18, 20)], [(1.0, 1.0)])
    found = CornerPostprocessor(corners=2).pairs(corners(), given)[0]
    assert found.boxes.tolist() == [[0, 0, 16, 19]]  # 7 rows above, 6 columns left


def test_suppression_takes_score_from_overlapping_boxes_of_the_class():
    candidates = objects([0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10], [0, 0, 10, 10], labels=[0, 0, 1, 0])
    found = CornerPostprocessor().suppress(candidates.replace(scores=torch.tensor([0.8, 0.6, 0.5, 0.001])))
    assert found.labels.tolist() == [0, 1, 0]
    assert found.scores.tolist() == pytest.approx([0.8, 0.5, 0.6 * math.exp(-0.5)])
    assert found.boxes[2].tolist() == [0, 0, 10, 5]
    assert len(CornerPostprocessor(max_detections=2).suppress(candidates.replace(scores=torch.ones(4)))) == 2
    assert len(CornerPostprocessor().suppress(Instances.empty())) == 0


def test_tested_pictures_are_in_the_middle():
    given = CentredPreprocessor(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    batch = given([np.full((180, 320, 3), 9, np.uint8)])
    assert batch.tensor.shape == (1, 3, 255, 383)
    assert batch.sizes == [(180, 320)]
    inside = batch.tensor[:, :, 37:217, 31:351]
    assert bool((inside == 9).all())
    assert batch.tensor.sum() == inside.sum()
    # a side of 127 loses its last column
    assert CentredPreprocessor()([np.full((20, 127, 3), 9, np.uint8)]).tensor[0, 0, :, -1].abs().sum() == 0


def test_the_mirror_image_is_looked_at_too():
    class Head(torch.nn.Module):
        """Finds a box of the brightest column."""

        def candidates(self, features, images):
            column = float(features[0][0, 0, 0].argmax())
            return [Instances(torch.tensor([[column, 0, column + 1, 1]]), torch.tensor([0]), torch.tensor([1.0]))]

        def decide(self, candidates, images):
            return candidates

    class Raw(torch.nn.Module):
        def forward(self, x):
            return [x]

    picture = np.zeros((2, 10, 3), np.uint8)
    picture[:, 3] = 200
    plain = Preprocessor(test_scale=None, pad_divisor=1)
    found = MirroredDetector(preprocessor=plain, backbone=Raw(), head=Head()).predict([picture])[0]
    assert found.boxes.tolist() == [[3, 0, 4, 1], [3, 0, 4, 1]]
