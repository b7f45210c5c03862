"""Query detectors: matching and losses by hand; at tiny widths they learn, and padding is never seen."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate
from vidperc.configs.det import deformable_detr, detr, sparse_rcnn

from vidperc import Instances
from vidperc.checkpoint.keys import rename_key
from vidperc.image.heads.deformable_detr import Memory, box_encoding, pixel_boxes
from vidperc.image.heads.query import (
    HungarianMatcher,
    QueryCriterion,
    QueryOutputs,
    QueryPostprocessor,
    QueryWeights,
    SigmoidClasses,
    SoftmaxClasses,
    best_pairs,
    best_queries,
    padding_masks,
)
from vidperc.image.heads.sparse_rcnn import DynamicInteraction
from vidperc.structures import ImageList

NOTHING = Instances(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))


def shrink(model: fdl.Config) -> fdl.Config:
    """A ResNet-18 of an eighth of the width, two layers of 32 channels, 12 queries, three classes."""
    backbone, predictor = model.backbone, model.head.predictor
    backbone.depth, backbone.base_channels, backbone.norm = 18, 8, "bn"
    backbone.frozen_stages, backbone.norm_eval = -1, False
    model.preprocessor.test_scale = (160, 128)
    if "stages" in fdl.ordered_arguments(predictor):
        model.neck.in_channels, model.neck.out_channels = (8, 16, 32, 64), 32
        predictor.queries, predictor.channels, predictor.stages = 12, 32, predictor.stages[:2]
        for stage in predictor.stages:
            stage.channels, stage.classes, stage.heads, stage.hidden, stage.inner = 32, 3, 4, 64, 8
        return model
    if model.neck is None:
        predictor.in_channels, predictor.channels, predictor.classes, predictor.queries = 64, 32, 3, 12
        predictor.encoder, predictor.decoder = predictor.encoder[:2], predictor.decoder[:2]
        layers = [*predictor.encoder, *predictor.decoder]
    else:
        model.neck.in_channels, model.neck.out_channels, predictor.channels = (16, 32, 64), 32, 32
        predictor.queries.channels, predictor.queries.count = 32, 12
        if "classes" in fdl.get_callable(predictor.queries).__init__.__annotations__:
            predictor.queries.classes = 3
        predictor.heads.layers, predictor.heads.channels, predictor.heads.classes = 2, 32, 3
        for stack in (predictor.encoder, predictor.decoder):
            stack.layers = stack.layers[:2]
        layers = [*predictor.encoder.layers, *predictor.decoder.layers]
    for layer in layers:
        layer.channels, layer.heads, layer.hidden, layer.dropout = 32, 4, 64, 0.0
    return model


MODELS = {
    "detr": detr.detr_r50_8x2_150e_coco,
    "deformable": deformable_detr.deformable_detr_r50_16x2_50e_coco,
    "refine": deformable_detr.deformable_detr_refine_r50_16x2_50e_coco,
    "two_stage": deformable_detr.deformable_detr_twostage_refine_r50_16x2_50e_coco,
    "sparse": sparse_rcnn.sparse_rcnn_r50_fpn_1x_coco,
}
MASKED = [name for name in MODELS if name != "sparse"]  # those that know where a batch is padded
ROUNDING = 1e-6  # of gradients
WITHOUT_GRADIENT = {
    # The first layer's queries are all zero: whatever attention they pay, all see the same.
    "detr": {"head.predictor.decoder.0.self_attn.in_proj_weight"},
    # Regions of pictures this small lie on the two finer of four levels.
    "sparse": {f"neck.fpn_convs.{level}.conv.{part}" for level in (2, 3) for part in ("weight", "bias")},
}


def tiny(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return fdl.build(shrink(MODELS[name]().model))


def image_list(tensor: torch.Tensor, sizes: list[tuple[int, int]] | None = None) -> ImageList:
    sizes = sizes or [(tensor.shape[-2], tensor.shape[-1])] * len(tensor)
    return ImageList(tensor, sizes, sizes, [(1.0, 1.0)] * len(tensor))


def batch() -> tuple[ImageList, list[Instances]]:
    """Two noisy images with three objects each, in pixels of the batch."""
    pictures = torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[8.0, 10, 60, 70], [70, 20, 140, 110], [30, 60, 90, 120]])
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        pictures[:, i, y1:y2, x1:x2] += 3
    return image_list(pictures), [Instances(boxes=boxes, labels=torch.tensor([0, 1, 2])) for _ in range(2)]


@pytest.mark.parametrize("name", MODELS)
def test_thirty_steps_halve_the_loss_and_reach_every_parameter(name):
    model = tiny(name).train()
    images, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses, reached = [], set()
    for _ in range(30):
        total = sum(model.loss(model.extract_features(images), images, targets).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        reached |= {key for key, gradient in gradients.items() if gradient.abs().max() > ROUNDING}
        losses.append(total.item())
    assert {key for key, _ in model.named_parameters()} - reached == WITHOUT_GRADIENT.get(name, set())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_of_every_layer(name):
    model = tiny(name).train()
    images, targets = batch()
    losses = model.loss(model.extract_features(images), images, targets)
    suffixes = ["", "_0"] + (["_proposals"] if name == "two_stage" else [])
    assert set(losses) == {f"loss_{kind}{suffix}" for kind in ("class", "box", "giou") for suffix in suffixes}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("which", ["none", "one", "ignored", "too_many"])
def test_few_and_many_targets(name, which):
    """Nothing to find, nothing in one image, only ignored regions, more objects than queries."""
    model = tiny(name).train()
    images, given = batch()
    crowd = given[0].replace(ignored=torch.ones(3, dtype=torch.bool))
    many = Instances.cat([given[0]] * 5)
    targets = {"none": [NOTHING] * 2, "one": [given[0], NOTHING], "ignored": [crowd] * 2, "too_many": [many, many]}
    losses = model.loss(model.extract_features(images), images, targets[which])
    assert all(bool(value.isfinite()) for value in losses.values())
    if which in ("none", "ignored"):
        assert all(value.item() == 0 for key, value in losses.items() if "class" not in key)
    sum(losses.values()).backward()


@pytest.mark.parametrize("name", MODELS)
def test_batches_equal_single_images(name):
    model = tiny(name).eval()
    sizes = [(90, 120), (90, 120), (120, 70)]
    pictures = [np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8) for i, size in enumerate(sizes)]
    for picture, result in zip(pictures, model.predict(pictures)):
        alone = model.predict([picture])[0]
        torch.testing.assert_close(alone.scores, result.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.boxes, result.boxes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", MASKED)
def test_padding_is_not_seen(name):
    """Feature maps of an image give the same with anything beside them that is marked as padding."""
    model = tiny(name).eval()
    strides = (8, 16, 32, 64) if model.neck else (32,)
    padded, size = (192, 256), (128, 192)
    maps = [torch.randn(2, 32 if model.neck else 64, padded[0] // s, padded[1] // s) for s in strides]
    alone = [level[:1, :, : size[0] // s, : size[1] // s] for level, s in zip(maps, strides)]
    with torch.inference_mode():
        together = model.head.detect(maps, image_list(torch.zeros(2, 3, *padded), [size, padded]))
        single = model.head.detect(alone, image_list(torch.zeros(1, 3, *size)))[0]
        whole = model.head.detect([level[1:] for level in maps], image_list(torch.zeros(1, 3, *padded)))[0]
    for expected, found in ((single, together[0]), (whole, together[1])):
        torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", MASKED)
def test_pictures_of_any_size(name):
    model = tiny(name).eval()
    sizes = [(64, 200), (180, 60), (2, 2)]
    for (height, width), result in zip(sizes, model.predict([np.full((*size, 3), 127, np.uint8) for size in sizes])):
        assert result.boxes.isfinite().all()
        assert (result.boxes >= 0).all()
        assert (result.boxes <= torch.tensor([width, height] * 2) + 1e-3).all()
        assert (result.scores.diff() <= 0).all()


def test_score_threshold_leaves_nothing():
    config = shrink(MODELS["detr"]().model)
    config.head.postprocessor.score_threshold = 1.1
    result = fdl.build(config).eval().predict([np.zeros((40, 50, 3), np.uint8)])[0]
    assert result.boxes.shape == (0, 4)
    assert result.labels.dtype == torch.int64


def test_wrong_number_of_levels():
    model = tiny("deformable").eval()
    with pytest.raises(ValueError, match="4 levels, got 3"):
        model.head.detect([torch.zeros(1, 32, 4, 4)] * 3, image_list(torch.zeros(1, 3, 32, 32)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoder.layers.3.self_attn.attn.in_proj_weight", "encoder.layers.3.attentions.0.attn.in_proj_weight"),
        ("decoder.layers.0.multihead_attn.attn.out_proj.bias", "decoder.layers.0.attentions.1.attn.out_proj.bias"),
        ("decoder.layers.5.ffn.layers.0.0.weight", "decoder.layers.5.ffns.0.layers.0.0.weight"),
        ("encoder.layers.5.ffn.layers.1.bias", "encoder.layers.5.ffns.0.layers.1.bias"),
        ("decoder.norm.weight", "decoder.post_norm.weight"),
    ],
)
def test_names_of_old_and_new_checkpoints_of_detr(old, new):
    old, new = (rename_key(f"bbox_head.transformer.{name}", detr.KEYS) for name in (old, new))
    assert old == new
    with torch.device("meta"):
        assert old in fdl.build(MODELS["detr"]().model).state_dict()


# -- by hand -------------------------------------------------------------------------------------------


def test_matching_takes_the_cheapest_pairs():
    matcher = HungarianMatcher(SigmoidClasses())
    boxes = torch.tensor([[0.0, 0, 0.2, 0.2], [0.5, 0.5, 1, 1], [0.4, 0.4, 0.9, 0.9]])
    logits = torch.zeros(2, 3, 2)
    logits[1, 1] = -9.0  # in the second layer the better box of target 0 has no class
    wanted = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.3, 0.3]])
    queries, targets = matcher(logits, boxes.expand(2, -1, -1), wanted, torch.tensor([1, 0]))
    pairs = [set(zip(q.tolist(), t.tolist())) for q, t in zip(queries, targets)]
    assert pairs == [{(1, 0), (0, 1)}, {(2, 0), (0, 1)}]


def test_costs_of_classes():
    logits = torch.tensor([[0.0, math.log(3.0), 0.0]])  # scores 1/5, 3/5, 1/5 by softmax, 3/4 by sigmoid
    torch.testing.assert_close(SoftmaxClasses().cost(logits, torch.tensor([1, 0])), torch.tensor([[-0.6, -0.2]]))
    expected = 0.25 * 0.25**2 * -math.log(0.75) - 0.75 * 0.75**2 * -math.log(0.25)
    torch.testing.assert_close(SigmoidClasses().cost(logits, torch.tensor([1])), torch.tensor([[expected]]))


def test_softmax_loss_weighs_empty_queries_less():
    logits = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])  # object 3/4, none 1/4
    loss = SoftmaxClasses(0.1).loss(logits, torch.tensor([[0, -1]]), torch.tensor(1.0))
    torch.testing.assert_close(loss, torch.tensor([(-math.log(0.75) - 0.1 * math.log(0.25)) / 1.1]))


def test_losses_of_one_match_by_hand():
    """A box off by a tenth of the image in x, in an image of 100 x 50 pixels, beside an empty query."""
    classes = SigmoidClasses()
    criterion = QueryCriterion(classes, HungarianMatcher(classes), QueryWeights(boxes=5.0, giou=2.0))
    boxes = torch.tensor([[[[0.1, 0.0, 0.5, 1.0], [0.9, 0.9, 1.0, 1.0]]]])
    target = Instances(boxes=torch.tensor([[0.0, 0.0, 40.0, 50.0]]), labels=torch.tensor([0]))
    losses = criterion(QueryOutputs(torch.zeros(1, 1, 2, 1), boxes), image_list(torch.zeros(1, 3, 50, 100)), [target])
    torch.testing.assert_close(losses["loss_box"], torch.tensor(5 * 0.1))
    torch.testing.assert_close(losses["loss_giou"], torch.tensor(2 * (1 - 0.3 / 0.5)))
    focal = (0.25 + 0.75) * 0.25 * math.log(2)  # the matched and the empty query, both at a score of 1/2
    torch.testing.assert_close(losses["loss_class"], torch.tensor(2 * focal))


def test_targets_lie_in_the_unpadded_image():
    classes = SigmoidClasses()
    criterion = QueryCriterion(classes, HungarianMatcher(classes))
    images = image_list(torch.zeros(1, 3, 100, 100), [(50, 80)])
    target = Instances(boxes=torch.tensor([[20.0, 25, 40, 50]]), labels=torch.tensor([0]))
    outputs = QueryOutputs(torch.zeros(1, 1, 1, 1), torch.tensor([[[[0.25, 0.5, 0.5, 1.0]]]]))
    losses = criterion(outputs, images, [target])
    assert float(losses["loss_box"]) == pytest.approx(0, abs=1e-6)
    assert float(losses["loss_giou"]) == pytest.approx(0, abs=1e-6)


def test_selection_of_queries_and_pairs():
    logits = torch.tensor([[[1.0, 0.0, 9.0], [2.0, 5.0, 0.0]]])
    scores, labels, query = best_queries(logits, 1)
    assert (labels.tolist(), query.tolist()) == ([[1]], [[1]])
    torch.testing.assert_close(scores, logits.softmax(-1)[:, 1:, 1])
    scores, labels, query = best_pairs(logits, 3)
    assert (labels.tolist(), query.tolist()) == ([[2, 1, 0]], [[0, 1, 1]])
    torch.testing.assert_close(scores, torch.tensor([[9.0, 5.0, 2.0]]).sigmoid())


def test_boxes_are_clipped_and_mapped_to_the_original():
    images = ImageList(torch.zeros(1, 3, 64, 128), [(50, 100)], [(25, 200)], [(0.5, 2.0)])
    outputs = QueryOutputs(torch.ones(1, 1, 1, 1), torch.tensor([[[[-0.1, 0.2, 0.5, 1.3]]]]))
    found = QueryPostprocessor()(outputs, images)[0]
    torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 5.0, 100.0, 25.0]]))


def test_padding_masks_are_those_of_the_resized_picture():
    images = image_list(torch.zeros(2, 3, 47, 61), [(30, 61), (47, 33)])
    full = torch.ones(2, 1, 47, 61)
    for row, (height, width) in zip(full, images.sizes):
        row[:, :height, :width] = 0
    shapes = [(6, 8), (3, 4), (1, 1)]
    for mask, shape in zip(padding_masks(images, shapes), shapes):
        assert torch.equal(mask, interpolate(full, shape)[:, 0].bool())
    assert padding_masks(images, [(6, 8)])[0][0, :, 0].tolist() == [False] * 4 + [True] * 2


def test_pixels_propose_boxes_around_themselves():
    masks = [torch.zeros(1, 2, 3, dtype=torch.bool), torch.zeros(1, 1, 1, dtype=torch.bool)]
    masks[0][:, :, 2] = True  # two columns are valid
    padding = torch.cat([mask.flatten(1) for mask in masks], dim=1)
    boxes, usable = pixel_boxes(
        Memory(torch.zeros(1, 7, 8), [(2, 3), (1, 1)], torch.ones(1, 2, 2), masks, padding), 0.05
    )
    assert usable.tolist() == [[True, True, False, True, True, False, True]]
    torch.testing.assert_close(boxes.sigmoid()[0, 1], torch.tensor([0.75, 0.25, 0.05, 0.05]))
    torch.testing.assert_close(boxes.sigmoid()[0, 6], torch.tensor([0.5, 0.5, 0.1, 0.1]))
    assert boxes[0, 2].isinf().all()


def test_box_encoding_by_hand():
    encoded = box_encoding(torch.tensor([[[0.25, 0.5, 0.1, 0.2]]]), 4)
    angles = [p * 2 * math.pi / 10000**e for p in (0.25, 0.5, 0.1, 0.2) for e in (0, 0.5)]
    expected = [f(a) for a in angles for f in (math.sin, math.cos)]
    torch.testing.assert_close(encoded[0, 0], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_interaction_is_two_layers_made_of_the_query():
    """On regions of one pixel, against the formula query by query."""
    torch.manual_seed(0)
    module = DynamicInteraction(4, inner=3, roi_size=1)
    query, regions = torch.randn(2, 4), torch.randn(2, 4, 1, 1)
    found = module(query, regions)
    for i in range(2):
        weights = module.dynamic_layer(query[i])
        hidden = module.norm_in(regions[i, :, 0, 0] @ weights[:12].view(4, 3)).relu()
        out = module.norm_out(hidden @ weights[12:].view(3, 4)).relu()
        torch.testing.assert_close(found[i], module.fc_norm(module.fc_layer(out)).relu())


def test_boxes_start_as_the_whole_image_and_may_reach_out_of_it():
    """12 queries of three classes, untrained."""
    model = tiny("sparse").eval()
    picture = np.zeros((100, 50, 3), np.uint8)
    whole = torch.tensor([[0.0, 0.0, 50.0, 100.0]])
    torch.testing.assert_close(model.predict([picture])[0].boxes, whole.expand(36, -1), rtol=0, atol=1e-3)
    with torch.no_grad():
        model.head.predictor.boxes.weight[:, 2:] = 2.0
    wide = torch.tensor([[-25.0, -50.0, 75.0, 150.0]])
    torch.testing.assert_close(model.predict([picture])[0].boxes, wide.expand(36, -1), rtol=0, atol=1e-3)
