"""Test-time augmentation: views agree, and what they find is merged."""

from __future__ import annotations

import numpy as np
import torch

from vidperc.image.augmented import AugmentedDetector, mirrored
from vidperc.image.detector import Detector
from vidperc.image.preprocess import Preprocessor
from vidperc.structures import Instances


class BrightBox(Detector):
    """Finds the bounds of the bright pixels of the batch: a detector without a network."""

    def __init__(self):
        super().__init__(preprocessor=Preprocessor(test_scale=None), backbone=torch.nn.Identity())

    def extract_features(self, images):
        return [self.preprocessor.pixels(images)]

    def detect(self, features, images):
        found = []
        for picture, (sx, sy) in zip(features[0], images.scales, strict=True):
            rows, columns = (picture[0] > 200).nonzero(as_tuple=True)
            box = [columns.min() / sx, rows.min() / sy, (columns.max() + 1) / sx, (rows.max() + 1) / sy]
            found.append(
                Instances(torch.tensor([box]), labels=torch.zeros(1, dtype=torch.int64), scores=torch.tensor([0.9]))
            )
        return found

    def loss(self, features, images, targets):
        raise NotImplementedError


def picture():
    image = np.zeros((60, 100, 3), np.uint8)
    image[10:30, 20:50] = 255
    return image


def test_views_become_one_detection():
    model = AugmentedDetector(detector=BrightBox(), scales=[None, (200, 120)], flip=True)
    (found,) = model.predict([picture()])
    assert len(found) == 1  # four views, one object
    torch.testing.assert_close(found.boxes, torch.tensor([[20.0, 10, 50, 30]]), atol=0.6, rtol=0)


def test_mirrored_boxes_and_masks():
    masks = torch.zeros(1, 4, 10, dtype=torch.bool)
    masks[0, 1, 2:5] = True
    back = mirrored(Instances(torch.tensor([[2.0, 1, 5, 2]]), masks=masks), 10)
    assert back.boxes.tolist() == [[5.0, 1, 8, 2]]
    assert back.masks[0, 1].nonzero().flatten().tolist() == [5, 6, 7]
