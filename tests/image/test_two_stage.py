"""The R-CNN family at tiny widths: it learns, batches equal single images, edge cases."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from fiddle import daglish
from torch import nn
from vidperc.configs.common import two_stage as build
from vidperc.configs.det import (
    carafe,
    cascade_rpn,
    detectors,
    double_head,
    dynamic_rcnn,
    empirical_attention,
    gcnet,
    guided_anchoring,
    libra_rcnn,
    pafpn,
    pisa,
    sabl,
    tridentnet,
)
from vidperc.configs.det import faster_rcnn as configs

from vidperc import Instances
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.rpn import ProposalSelector, RPNOutputs
from vidperc.image.roi_heads.libra import BalancedSampler, BoundedSampler
from vidperc.image.samplers import RandomSampler
from vidperc.layers.standardised_conv import standardise_weights
from vidperc.structures import ImageList


def shrink(model: fdl.Config) -> fdl.Config:
    """A ResNet-18 of an eighth of the width, 16 channels after the neck, few regions."""
    backbone = model.backbone
    backbone.base_channels, backbone.frozen_stages, backbone.norm_eval = 8, -1, False
    if getattr(backbone, "norm", "bn") == "frozen_bn":
        backbone.norm = "bn"
    backbone.depth = 18
    channels = 8 * 2 ** (len(getattr(backbone, "strides", (0, 0, 0, 0))) - 1)
    if model.neck is not None:
        pyramid = model.neck[0] if type_of(model.neck) is nn.Sequential else model.neck
        pyramid.in_channels, pyramid.out_channels = (8, 16, 32, 64), 16
        channels = 16
    model.preprocessor.test_scale = (160, 128)
    learn_from_few(model)
    if getattr(model, "rpn", None) is not None:
        shrink_rpn(model.rpn, channels)
    if "roi_head" not in fdl.ordered_arguments(model):
        return model
    roi_head = model.roi_head
    heads = roi_head.box_heads if "box_heads" in fdl.ordered_arguments(roi_head) else [roi_head.box_head]
    for head in heads:
        head.in_channels, head.hidden, head.classes = channels, 32, 3
    if getattr(roi_head, "mask", None) is not None:
        for head in roi_head.mask.heads:
            head.in_channels, head.channels, head.classes = 16, 16, 3
    return model


def shrink_rpn(rpn: fdl.Config, channels: int) -> None:
    parts = fdl.ordered_arguments(rpn)
    for name in {"predictor", "first", "second"} & set(parts):
        parts[name].in_channels, parts[name].channels = channels, 16
    for name in {"select", "select_training"} & set(parts):
        parts[name].post_nms = 64


def learn_from_few(model: fdl.Config) -> None:
    """32 regions per image and 64 anchors instead of 512 and 256."""
    for part, _ in daglish.iterate(model):
        if isinstance(part, fdl.Config) and fdl.get_callable(part) in (RandomSampler, BoundedSampler, BalancedSampler):
            part.count = 64 if part.positive_fraction == 0.5 else 32


def type_of(config: fdl.Config) -> type:
    return fdl.get_callable(config)  # type: ignore[return-value]


def shrunken_c4() -> fdl.Config:
    model = configs.faster_rcnn_r50_caffe_c4_1x_coco().model
    backbone, stage = model.backbone, model.roi_head.box_head.stage
    for part in (backbone, stage):
        part.depth, part.base_channels, part.norm, part.norm_eval = 18, 8, "bn", False
    backbone.frozen_stages = -1
    model.preprocessor.test_scale = (160, 128)
    learn_from_few(model)
    model.rpn.predictor = fdl.Config(type_of(model.rpn.predictor), 32, 16, model.rpn.predictor.anchors)
    model.rpn.select_training.post_nms = model.rpn.select.post_nms = 64
    model.roi_head.box_head.in_channels, model.roi_head.box_head.classes = 64, 3
    return model


def shrunken_trident() -> fdl.Config:
    """Its blocks are bottlenecks, so the networks are of depth 50."""
    model = tridentnet.tridentnet_r50_caffe_1x_coco().model
    backbone, stage = model.backbone, model.roi_head.box_head.stage
    for part in (backbone, stage):
        part.base_channels, part.norm, part.norm_eval = 8, "bn", False
    backbone.frozen_stages = -1
    model.preprocessor.test_scale = (160, 128)
    learn_from_few(model)
    model.rpn.predictor = fdl.Config(type_of(model.rpn.predictor), 128, 16, model.rpn.predictor.anchors)
    model.rpn.select_training.post_nms = model.rpn.select.post_nms = 64
    model.roi_head.box_head.in_channels, model.roi_head.box_head.classes = 256, 3
    return model


def shrunken_mdpool() -> fdl.Config:
    model = shrink(configs.faster_rcnn_r50_fpn_mdpool_1x_coco().model)
    for layer in model.roi_head.extractor.roi_layers:
        layer.channels, layer.hidden = 16, 16
    return model


def shrunken_double_head() -> fdl.Config:
    model = shrink(double_head.dh_faster_rcnn_r50_fpn_1x_coco().model)
    model.roi_head.box_head.channels = 64
    return model


def shrunken_libra() -> fdl.Config:
    model = shrink(libra_rcnn.libra_faster_rcnn_r50_fpn_1x_coco().model)
    model.neck[1].channels = 16
    return model


def shrunken_standardised() -> fdl.Config:
    model = shrink(build.faster_rcnn())
    model.backbone = fdl.Config(standardise_weights, model.backbone)
    model.neck = fdl.Config(standardise_weights, model.neck)
    return model


def shrunken_deep(config: fdl.Config) -> fdl.Config:
    """A ResNet-50, for blocks that are bottlenecks."""
    model = shrink(config.model)
    model.backbone.depth, model.neck.in_channels = 50, (32, 64, 128, 256)
    return model


def shrunken_detectors() -> fdl.Config:
    """With switchable convolutions in C3 of one backbone alone, as the maps of C5 are too small for them."""
    model = shrunken_deep(detectors.detectors_cascade_rcnn_r50_1x_coco())
    again = model.neck.backbone
    model.backbone.sac_stages, again.sac_stages = (1,), ()
    again.base_channels, again.frozen_stages, again.norm_eval, again.guide_channels = 8, -1, False, 16
    model.neck.hidden = 4
    return model


MODELS = {
    "rpn": lambda: shrink(build.rpn()),
    "guided": lambda: shrink(guided_anchoring.ga_faster_r50_caffe_fpn_1x_coco().model),
    "cascade_rpn": lambda: shrink(cascade_rpn.crpn_faster_rcnn_r50_caffe_fpn_1x_coco().model),
    "faster": lambda: shrink(build.faster_rcnn()),
    "iou": lambda: shrink(configs.faster_rcnn_r50_fpn_iou_1x_coco().model),
    "giou": lambda: shrink(configs.faster_rcnn_r50_fpn_giou_1x_coco().model),
    "bounded_iou": lambda: shrink(configs.faster_rcnn_r50_fpn_bounded_iou_1x_coco().model),
    "c4": shrunken_c4,
    "trident": shrunken_trident,
    "mdpool": shrunken_mdpool,
    "dc5": lambda: shrink(configs.faster_rcnn_r50_caffe_dc5_1x_coco().model),
    "pafpn": lambda: shrink(pafpn.faster_rcnn_r50_pafpn_1x_coco().model),
    "dynamic": lambda: shrink(dynamic_rcnn.dynamic_rcnn_r50_fpn_1x_coco().model),
    "double_head": shrunken_double_head,
    "libra": shrunken_libra,
    "standardised": shrunken_standardised,
    "attention_1111": lambda: shrunken_deep(empirical_attention.faster_rcnn_r50_fpn_attention_1111_1x_coco()),
    "attention_0010": lambda: shrunken_deep(empirical_attention.faster_rcnn_r50_fpn_attention_0010_1x_coco()),
    "context": lambda: shrunken_deep(gcnet.mask_rcnn_r50_fpn_r4_gcb_c3_c5_1x_coco()),
    "carafe": lambda: shrink(carafe.faster_rcnn_r50_fpn_carafe_1x_coco().model),
    "mask": lambda: shrink(build.mask_rcnn()),
    "sabl": lambda: shrink(sabl.sabl_faster_rcnn_r50_fpn_1x_coco().model),
    "sabl_cascade": lambda: shrink(sabl.sabl_cascade_rcnn_r50_fpn_1x_coco().model),
    "pisa": lambda: shrink(pisa.pisa_mask_rcnn_r50_fpn_1x_coco().model),
    "detectors": shrunken_detectors,
    "cascade": lambda: shrink(build.cascade_rcnn()),
    "cascade_mask": lambda: shrink(build.cascade_mask_rcnn()),
}


def batch() -> tuple[ImageList, list[Instances]]:
    """Two noisy images with three objects each, boxes and box-shaped masks, in pixels of the batch."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(2, 3, 64, 96, generator=generator)
    boxes = torch.tensor([[4.0, 5, 36, 42], [42, 12, 84, 60], [18, 36, 54, 62]])
    masks = torch.zeros(3, 64, 96, dtype=torch.bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        masks[i, y1 : (y1 + y2) // 2, x1:x2] = True
        pictures[:, i, y1:y2, x1:x2] += 3
    targets = [Instances(boxes=boxes, labels=torch.tensor([0, 1, 2]), masks=masks) for _ in range(2)]
    return ImageList(pictures, [(64, 96)] * 2, [(64, 96)] * 2, [(1.0, 1.0)] * 2), targets


def given_proposals(targets: list[Instances]) -> list[Instances]:
    """Boxes around the targets and anywhere, the same in every step, so that losses of steps compare."""
    generator = torch.Generator().manual_seed(2)
    near = torch.cat([part.boxes for part in targets]).repeat(4, 1)
    near = near + 4 * torch.randn(near.shape, generator=generator)
    corners = torch.rand(20, 2, generator=generator) * 50
    anywhere = torch.cat([corners, corners + 8 + 24 * torch.rand(20, 2, generator=generator)], dim=1)
    return [Instances(boxes=torch.cat([near, anywhere])) for _ in targets]


@pytest.mark.parametrize("name", MODELS)
def test_thirty_steps_halve_the_loss_and_reach_every_parameter(name):
    model = fdl.build(MODELS[name]()).train()
    images, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    proposals = given_proposals(targets)
    losses = []
    for step in range(30):
        torch.manual_seed(0)  # the same anchors and regions are drawn
        features = model.extract_features(images)
        if step == 0:
            parts = model.loss(features, images, targets)
            assert all(bool(torch.isfinite(value)) for value in parts.values())
        parts = model.rpn.loss(features, images, targets)[0]
        if hasattr(model, "roi_head"):
            parts = parts | model.roi_head.loss(features, images, proposals, targets)
        total = sum(parts.values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


@pytest.mark.parametrize("name", ["faster", "cascade_mask", "mdpool", "sabl_cascade", "guided", "cascade_rpn"])
def test_batches_equal_single_images(name):
    model = fdl.build(MODELS[name]()).eval()
    pictures = [np.random.default_rng(i).integers(0, 256, size, np.uint8) for i, size in enumerate([(64, 80, 3)] * 2)]
    together = model.predict(pictures)
    for picture, result in zip(pictures, together):
        alone = model.predict([picture])[0]
        assert len(alone) == len(result)
        torch.testing.assert_close(alone.boxes, result.boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(alone.scores, result.scores, rtol=0, atol=1e-5)


def test_images_of_different_sizes_in_one_batch():
    model = fdl.build(MODELS["mask"]()).eval()
    sizes = [(64, 200), (180, 60)]
    results = model.predict([np.full((*size, 3), 127, np.uint8) for size in sizes])
    for (height, width), result in zip(sizes, results):
        assert result.masks.shape == (len(result), height, width)
        assert (result.boxes[:, 2] <= width + 1e-3).all()
        assert (result.boxes[:, 3] <= height + 1e-3).all()


@pytest.mark.parametrize("name", ["faster", "cascade", "mask", "cascade_mask"])
def test_no_detections(name):
    config = MODELS[name]()
    config.roi_head.postprocessor.score_threshold = 1.1
    model = fdl.build(config).eval()
    result = model.predict([np.zeros((40, 50, 3), np.uint8)])[0]
    assert result.boxes.shape == (0, 4)
    assert result.labels.dtype == torch.int64
    if "mask" in name:
        assert result.masks.shape == (0, 40, 50)


@pytest.mark.parametrize("name", ["faster", "cascade_mask", "mdpool", "sabl_cascade", "guided", "cascade_rpn"])
def test_no_proposals(name):
    config = MODELS[name]()
    config.rpn.select.min_size = 1e6
    result = fdl.build(config).eval().predict([np.zeros((40, 50, 3), np.uint8)])[0]
    assert len(result) == 0


@pytest.mark.parametrize(
    "name", ["rpn", "faster", "dynamic", "double_head", "cascade_mask", "sabl_cascade", "pisa", "guided", "cascade_rpn"]
)
def test_an_image_without_targets_gives_finite_losses(name):
    model = fdl.build(MODELS[name]()).train()
    images, _ = batch()
    nothing = Instances(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), masks=torch.zeros(0, 64, 96).bool()
    )
    losses = model.loss(model.extract_features(images), images, [nothing, nothing])
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    sum(losses.values()).backward()


def test_fast_rcnn_wants_proposals():
    config = shrink(build.fast_rcnn())
    model = fdl.build(config).eval()
    picture = np.zeros((128, 160, 3), np.uint8)
    with pytest.raises(ValueError, match="proposals"):
        model.predict([picture])
    given = Instances(boxes=torch.tensor([[10.0, 10, 50, 60], [0, 0, 160, 128]]))
    assert len(model.predict([picture], [given])) == 1


def test_proposals_are_in_the_pictures_own_pixels():
    model = fdl.build(MODELS["faster"]()).eval()
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    batch_of_one = model.preprocessor([picture])
    with torch.no_grad():
        own = model.propose(model.extract_features(batch_of_one), batch_of_one)[0]
    given = Instances(boxes=own.boxes / 2)  # the picture is enlarged by two
    torch.testing.assert_close(model.predict([picture], [given])[0].boxes, model.predict([picture])[0].boxes)


def test_grey_rgba_and_sixteen_bit_pictures_are_taken():
    model = fdl.build(MODELS["faster"]()).eval()
    grey = np.random.default_rng(3).integers(0, 256, (64, 80), np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    rgba = np.concatenate([rgb, np.full((64, 80, 1), 9, np.uint8)], axis=2)
    sixteen = rgb.astype(np.uint16) << 8
    expected = model.predict([rgb])[0]
    for picture in (grey, rgba, sixteen, torch.from_numpy(rgb).permute(2, 0, 1)):
        found = model.predict([picture])[0]
        torch.testing.assert_close(found.boxes, expected.boxes)
        torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (1, 1, 3), (5, 5, 2), (5,)])
def test_pictures_that_are_none_are_refused(shape):
    model = fdl.build(MODELS["faster"]()).eval()
    with pytest.raises(ValueError, match="image 1"):
        model.predict([np.zeros((64, 80, 3), np.uint8), np.zeros(shape, np.uint8)])


def test_no_pictures():
    assert fdl.build(MODELS["faster"]()).eval().predict([]) == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_near(precision):
    model = fdl.build(MODELS["mask"]()).eval()
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    batch_of_one = model.preprocessor([picture])
    with torch.no_grad():
        given = [
            Instances(boxes=part.boxes / 2)
            for part in model.propose(model.extract_features(batch_of_one), batch_of_one)
        ]
    expected = model.predict([picture], given)[0]
    model.precision = precision
    found = model.predict([picture], given)[0]
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert found.masks.shape == (len(found), 64, 80)
    count = min(len(found), len(expected), 5)
    torch.testing.assert_close(found.scores[:count], expected.scores[:count], rtol=0, atol=0.03)


def test_regions_of_equal_score_rank_by_place():
    """Sigmoids near 1 are equal where logits are not; the one that comes first suppresses the other."""
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 18], [40, 0, 60, 20]])
    outputs = RPNOutputs([torch.tensor([[19.0, 20, 5]])], [torch.zeros(1, 3, 4)], [boxes[None]], [boxes])
    images = ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)], [(64, 96)], [(1.0, 1.0)])
    regions = ProposalSelector()(outputs, images, DeltaCoder())[0]
    assert regions.boxes.tolist() == boxes[[0, 2]].tolist()
