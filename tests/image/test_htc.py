"""Hybrid Task Cascade: its parts by hand, and that it learns."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from learning import learns, learns_of_nothing
from test_two_stage import batch, shrink
from vidperc.configs.common.htc import htc, htc_without_semantic

from vidperc import Instances
from vidperc.image.roi_heads.extractor import RoIExtractor
from vidperc.image.roi_heads.htc import HTCMaskBranch, HTCMaskHead, SemanticRoIExtractor
from vidperc.image.roi_heads.mask import MaskHead
from vidperc.image.semantic import SemanticCriterion, SemanticHead, batch_maps
from vidperc.structures import UNKNOWN_CLASS, Clip, Frame


def small(semantic: bool = True) -> fdl.Config:
    model = shrink(htc() if semantic else htc_without_semantic())
    for stage, head in zip(model.roi_head.stages, model.roi_head.mask.heads):
        stage.sampler.sampler.count, head.convs = 16, 1
    if semantic:
        model.semantic = fdl.Config(SemanticHead, 16, channels=16, classes=4)
    return model


def maps() -> torch.Tensor:
    """Class 3, but 0 to 2 where the objects are, and an unknown border."""
    _, targets = batch()
    out = torch.full((2, 64, 96), 3, dtype=torch.uint8)
    for number, box in enumerate(targets[0].boxes.int().tolist()):
        out[:, box[1] : box[3], box[0] : box[2]] = number
    out[:, :, 90:] = UNKNOWN_CLASS
    return out


@pytest.mark.parametrize("semantic", [True, False])
def test_it_learns(semantic):
    losses = learns(small(semantic), **({"semantic": maps()} if semantic else {}))
    assert {f"stage{i}.loss_{kind}" for i in range(3) for kind in ("class", "box", "mask")} <= losses.keys()
    assert ("loss_semantic" in losses) == semantic


def test_no_targets_give_finite_losses():
    learns_of_nothing(small(), semantic=maps())


def test_clips_bring_the_maps():
    model = fdl.build(small()).train()
    _, targets = batch()
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    frame = Frame.from_array(picture)
    frame.instances = targets[0]
    with pytest.raises(ValueError, match=r"frame 0 .* no semantic map"):
        model([Clip([frame])])
    frame.semantic = maps()[0]
    assert float(model([Clip([frame])])["loss_semantic"].detach()) > 0
    images, targets = model.training_batch([Clip([frame])])
    features = model.extract_features(images)
    with pytest.raises(ValueError, match="semantic"):
        model.loss(features, images, targets)


def test_maps_of_a_batch_are_unknown_beyond_the_pictures():
    frames = [Frame(torch.zeros(3, h, w, dtype=torch.uint8), semantic=torch.ones(h, w)) for h, w in ((2, 3), (4, 1))]
    out = batch_maps(frames, (4, 4))
    assert out[0].tolist() == [[1, 1, 1, 255], [1, 1, 1, 255], [255] * 4, [255] * 4]
    assert out[1].tolist() == [[1, 255, 255, 255]] * 4


def test_the_semantic_loss_by_hand():
    """Every second pixel is taken; two of four are unknown, and count in the mean."""
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 1, 0, 0] = 2.0
    plane = torch.full((1, 4, 4), 9, dtype=torch.uint8)
    plane[0, ::2, ::2] = torch.tensor([[1, UNKNOWN_CLASS], [UNKNOWN_CLASS, 0]])
    loss = SemanticCriterion(weight=0.2)(logits, plane)
    right, even = np.log(1 + np.exp(-2)), np.log(2)
    assert loss.item() == pytest.approx(0.2 * (right + even) / 4, abs=1e-6)


def test_regions_of_the_embedding_are_averaged_and_added():
    features = [torch.full((1, 2, 32 // 2**i, 32 // 2**i), float(i)) for i in range(4)]
    embedding = torch.arange(16.0).repeat(16, 1)[None, None].repeat(1, 2, 1, 1)  # its value is its column
    extractor = SemanticRoIExtractor(RoIExtractor(2), RoIExtractor(4, strides=(8,)))
    box = torch.tensor([[32.0, 16, 96, 80]])  # columns 4 to 12 of the embedding, level 0
    out = extractor([*features, embedding], [box])
    # Four bins of two columns about 4.5, 6.5, 8.5 and 10.5 pixels, whose values are those at the centres.
    torch.testing.assert_close(out[0, 0], torch.tensor([[5.5, 9.5], [5.5, 9.5]]))
    assert extractor([*features, embedding], [box[:0]]).shape == (0, 2, 2, 2)


def test_a_mask_head_continues_the_one_before():
    options = {"classes": 2, "convs": 1, "channels": 3}
    heads = [MaskHead(3, **options), HTCMaskHead(3, **options), HTCMaskHead(3, **options)]
    branch = HTCMaskBranch(extractor=RoIExtractor(4), heads=heads)
    regions, labels = torch.randn(2, 3, 4, 4), torch.tensor([1, 0])
    first = heads[0].convs[0](regions)
    second = heads[1].convs[0](regions + heads[1].conv_res(first))
    third = heads[2].convs[0](regions + heads[2].conv_res(second))
    for stage, (head, x) in enumerate(zip(heads, (first, second, third))):
        all_classes = head.conv_logits(head.upsample(x).relu())
        expected = torch.stack([all_classes[0, 1], all_classes[1, 0]])
        torch.testing.assert_close(branch.logits(regions, labels, stage), expected)
    mean = sum(branch.logits(regions, labels, stage).sigmoid() for stage in range(3)) / 3
    torch.testing.assert_close(branch.scores(regions, labels), mean)


def test_masks_learn_from_the_boxes_of_their_own_stage():
    """Every region is moved onto its target by the first box head, so the masks see exact boxes from then on."""
    model = fdl.build(small(semantic=False)).train()
    head = model.roi_head
    images, targets = batch()
    seen = []
    head.mask.loss = lambda features, sampled, targets, stage: seen.append(sampled) or {}  # type: ignore[method-assign]
    for i in range(3):
        head.box_heads[i].fc_reg.weight.data.zero_()
    head.box_heads[0].fc_reg.bias.data = torch.tensor([1.0, 0, 0, 0])  # a tenth of the width to the right
    proposals = [Instances(boxes=targets[0].boxes[:1] - torch.tensor([3.2, 0, 3.2, 0])) for _ in targets]
    head.loss(model.extract_features(images), images, proposals, targets)
    first = seen[0][0]
    moved = first.boxes[: first.positives][~first.is_target[: first.positives]]
    torch.testing.assert_close(moved, targets[0].boxes[:1])


def test_all_maps_are_summed_on_one_grid():
    head = SemanticHead(2, channels=2, levels=2, grid=1, convs=0, classes=3)
    for conv in head.lateral_convs:
        conv.conv.weight.data = torch.eye(2)[:, :, None, None]
    features = [torch.arange(16.0).view(1, 1, 4, 4).repeat(1, 2, 1, 1), torch.ones(1, 2, 2, 2)]
    # With corners aligned, the four corners of the finer map remain.
    torch.testing.assert_close(head.hidden(features)[0, 0], torch.tensor([[1.0, 4], [13, 16]]))
    logits, embedding = head(features)
    assert logits.shape == (1, 3, 2, 2)
    torch.testing.assert_close(head.embed(features), embedding)
