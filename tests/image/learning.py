"""The test that a small two-stage detector learns, for those whose loss takes more than boxes and masks too."""

from __future__ import annotations

from typing import Any

import fiddle as fdl
import numpy as np
import torch
from test_two_stage import batch, given_proposals
from torch import Tensor

from vidperc import Instances


def learns(config: fdl.Config, lr: float = 3e-3, **options: Any) -> dict[str, Tensor]:
    """Thirty steps on one batch halve the loss, and gradients reach every parameter; the last losses by name.

    Args:
        options: of the loss.
    """
    model = fdl.build(config).train()
    images, targets = batch()
    proposals = given_proposals(targets)  # the same in every step, so that losses of steps compare
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses, parts = [], {}
    for step in range(30):
        torch.manual_seed(0)  # the same anchors and regions are drawn
        features = model.extract_features(images)
        parts = model.rpn.loss(features, images, targets)[0]
        parts = parts | model.loss(features, images, targets, proposals, **options)
        total = sum(parts.values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses
    return parts


def learns_of_nothing(config: fdl.Config, **options: Any) -> dict[str, Tensor]:
    """Losses and gradients of pictures without objects are finite; the losses by name."""
    model = fdl.build(config).train()
    images, _ = batch()
    nothing = Instances.empty(scores=False).replace(masks=torch.zeros(0, 64, 96, dtype=torch.bool))
    losses = model.loss(model.extract_features(images), images, [nothing, nothing], **options)
    sum(losses.values()).backward()
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    assert all(bool(torch.isfinite(value.grad).all()) for value in model.parameters() if value.grad is not None)
    return losses
