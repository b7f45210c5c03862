"""SCNet: its parts by hand, and that it learns."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from learning import learns, learns_of_nothing
from test_htc import maps
from test_two_stage import shrink
from vidperc.configs.common.scnet import scnet

from vidperc import Instances
from vidperc.image.roi_heads.scnet import (
    ContextRoIExtractor,
    GlobalContextHead,
    RelayHead,
    ResidualBlock,
    ResidualMaskHead,
    ResidualSemanticHead,
)


def small() -> fdl.Config:
    model = scnet()
    roi_head = model.roi_head
    mask = roi_head.mask
    roi_head.mask = None
    model = shrink(model)
    roi_head.mask = mask
    mask.heads = [fdl.Config(ResidualMaskHead, 16, classes=3, blocks=1)]
    model.semantic = fdl.Config(ResidualSemanticHead, 16, blocks=1, classes=4)
    roi_head.context = fdl.Config(GlobalContextHead, 16, classes=3, blocks=1)
    roi_head.relay = fdl.Config(RelayHead, 32, 16)
    for stage in roi_head.stages:
        stage.sampler.sampler.count = 12
    return model


def test_it_learns():
    losses = learns(small(), semantic=maps())
    names = {f"stage{i}.loss_{kind}" for i in range(3) for kind in ("class", "box")}
    assert names | {"loss_mask", "loss_context", "loss_semantic"} <= losses.keys()


def test_no_targets_give_finite_losses():
    assert float(learns_of_nothing(small(), semantic=maps())["loss_mask"].detach()) == 0


def test_masks_of_the_picture():
    config = small()
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 80, 3), np.uint8) for i in range(2)]
    model = fdl.build(config).eval()
    together = model.predict(pictures)
    assert len(together[0]) > 0
    for picture, found in zip(pictures, together):  # the context is that of the own picture
        alone = model.predict([picture])[0]
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=0)
        assert found.masks.shape == (len(found), 64, 80)
    config.roi_head.postprocessor.score_threshold = 1.1
    assert fdl.build(config).eval().predict(pictures[:1])[0].masks.shape == (0, 64, 80)


def test_a_block_has_no_activation_at_its_end():
    block = ResidualBlock(1)
    for conv in (block.conv1, block.conv2):
        conv.weight.data.zero_()
    block.conv1.bias.data.fill_(-2.0)  # cut off
    block.conv2.bias.data.fill_(-5.0)
    assert block(torch.ones(1, 1, 2, 2)).unique().tolist() == [-4]


def test_the_loss_of_the_context_by_hand():
    head = GlobalContextHead(4, classes=3, blocks=1, weight=3.0)
    head.fc.weight.data.zero_()
    head.fc.bias.data = torch.tensor([0.0, 2.0, -2.0])
    labels = torch.tensor([1, 1, 2])
    first = Instances(boxes=torch.zeros(3, 4), labels=labels, ignored=torch.tensor([False, False, True]))
    losses = head.loss(torch.zeros(2, 4, 1, 1), [first, Instances.empty(scores=False)])
    even, right, wrong = np.log(2), np.log(1 + np.exp(-2)), np.log(1 + np.exp(2))
    # Class 1 is in the first picture, nothing in the second; the ignored object does not count.
    assert losses.item() == pytest.approx(3 * (even + right + right + even + wrong + right) / 6, abs=1e-5)


def test_regions_get_the_context_of_their_picture():
    extractor = ContextRoIExtractor(lambda features, boxes: torch.zeros(sum(len(part) for part in boxes), 2, 3, 3))
    context = torch.tensor([1.0, 2]).view(2, 1, 1, 1).expand(2, 2, 1, 1)
    out = extractor([torch.zeros(0), context], [torch.zeros(1, 4), torch.zeros(2, 4)])
    assert out.flatten(1).mean(1).tolist() == [1, 2, 2]


def test_what_is_relayed():
    head = RelayHead(1, 1, size=2)
    head.fc.weight.data, head.fc.bias.data = torch.tensor([[0.0], [3], [6], [9]]), torch.zeros(4)
    # Doubled with corners aligned: thirds between the corners 0 and 3 above, 6 and 9 below.
    expected = torch.arange(4.0) + 2 * torch.arange(4.0)[:, None]
    torch.testing.assert_close(head(torch.ones(1, 1))[0, 0], expected)
