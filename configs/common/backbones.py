"""Edits of an experiment that exchange its ResNet; each gives the same config back."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.engine.optim import SGD
from vidperc.image.backbones import ResNet
from vidperc.layers.standardised_conv import standardise_weights

from .models import bgr_preprocessor, caffe_preprocessor, deformable, modulated_deformable
from .schedules import schedule_6x

HOST = "https://download.openmmlab.com/pretrain/third_party"
RESNEXT_WEIGHTS = {  # by depth and groups, of width 4
    (50, 32): f"{HOST}/resnext50-32x4d-0ab1a123.pth",
    (101, 32): f"{HOST}/resnext101_32x4d-a5af3160.pth",
    (101, 64): f"{HOST}/resnext101_64x4d-ee2c6f71.pth",
}
RESNEXT_32X8D_WEIGHTS = f"{HOST}/resnext101_32x8d-1516f1aa.pth"
CAFFE_WEIGHTS = {50: f"{HOST}/resnet50_msra-5891d200.pth", 101: f"{HOST}/resnet101_msra-6cc46731.pth"}
RSB_WEIGHTS = (  # of a ResNet-50 trained by the first recipe of https://arxiv.org/abs/2110.00476
    "https://download.openmmlab.com/mmclassification/v0/resnet/resnet50_8xb256-rsb-a1-600e_in1k_20211228-20e21305.pth"
)
DETECTRON_WEIGHTS = {50: f"{HOST}/resnet50_caffe-788b5fa3.pth", 101: f"{HOST}/resnet101_caffe-3ad79236.pth"}


def with_depth(config: fdl.Config, depth: int) -> fdl.Config:
    """A ResNet of another depth."""
    config.model.backbone.depth = depth
    return from_imagenet(config)


def with_caffe(config: fdl.Config, depth: int = 50) -> fdl.Config:
    """Detectron2's caffe-style ResNet, whose batch norms do not learn."""
    backbone, scale = config.model.backbone, config.model.preprocessor.test_scale
    backbone.depth, backbone.style, backbone.norm = depth, "caffe", "frozen_bn"
    config.model.preprocessor = caffe_preprocessor(scale)
    return from_imagenet(config)


def with_resnext(config: fdl.Config, depth: int = 101, groups: int = 32, width_per_group: int = 4) -> fdl.Config:
    """A ResNeXt, 101-32x4d by default."""
    backbone = config.model.backbone
    backbone.depth, backbone.groups, backbone.width_per_group = depth, groups, width_per_group
    return from_imagenet(config)


def with_resnext_32x8d(config: fdl.Config) -> fdl.Config:
    """The ResNeXt-101-32x8d of Detectron2: BGR, batch norms do not learn."""
    backbone = config.model.backbone
    backbone.depth, backbone.groups, backbone.width_per_group, backbone.norm = 101, 32, 8, "frozen_bn"
    config.initial = fdl.Config(InitialWeights, backbone=RESNEXT_32X8D_WEIGHTS)
    config.model.preprocessor = bgr_preprocessor(config.model.preprocessor.test_scale)
    return config


def with_dconv(config: fdl.Config) -> fdl.Config:
    """Deformable convolutions in C3 to C5."""
    config.model.backbone.conv_stages = deformable()
    return config


def with_mdconv(config: fdl.Config, deform_groups: int = 1) -> fdl.Config:
    """Modulated deformable convolutions in C3 to C5."""
    config.model.backbone.conv_stages = modulated_deformable(deform_groups=deform_groups)
    return config


def with_syncbn(config: fdl.Config) -> fdl.Config:
    """Batch norms of the backbone learn their statistics over all processes."""
    config.model.backbone.norm, config.model.backbone.norm_eval = "syncbn", False
    return config


def with_gn(config: fdl.Config) -> fdl.Config:
    """Group normalisation everywhere, and a box head of four convolutions and one hidden layer."""
    model = config.model
    model.backbone.norm = model.neck.norm = "gn"
    from_imagenet(config)
    box_head: Any = model.roi_head.box_head
    box_head.norm, box_head.convs, box_head.fcs = "gn", 4, 1
    if "mask" in fdl.ordered_arguments(model.roi_head):
        for head in model.roi_head.mask.heads:
            head.norm = "gn"
    return config


def with_scratch(config: fdl.Config) -> fdl.Config:
    """Group normalisation and nothing pretrained, so that all of it learns, and long."""
    with_gn(config).model.backbone.frozen_stages = -1
    config.initial = None
    config.schedule = schedule_6x(warmup_ratio=0.1, optimizer=fdl.Config(SGD, norm_decay=0.0))
    return config


def with_gn_ws(config: fdl.Config) -> fdl.Config:
    """`with_gn`, and standardised weights of all convolutions but those of region proposals and of outputs.

    What else the backbone shall have is set before.
    """
    model = with_gn(config).model
    model.backbone = fdl.Config(standardise_weights, model.backbone)
    model.neck = fdl.Config(standardise_weights, model.neck)
    model.roi_head.box_head = fdl.Config(standardise_weights, model.roi_head.box_head)
    if "mask" in fdl.ordered_arguments(model.roi_head):
        mask = model.roi_head.mask
        mask.heads = [fdl.Config(standardise_weights, head, parts=("convs",)) for head in mask.heads]
    return config


def from_imagenet(config: fdl.Config) -> fdl.Config:
    """Training begins with a classifier's weights of the ResNet or ResNeXt, torchvision's or caffe-style ones.

    A ResNet with other norms than batch norms begins with weights whose path is given as `initial.backbone`.
    """
    backbone = config.model.backbone
    depth, groups = getattr(backbone, "depth", 50), getattr(backbone, "groups", 1)
    weights: str | None = f"torchvision://resnet{depth}"
    if getattr(backbone, "norm", "bn") == "gn":
        weights = None
    elif groups > 1:
        weights = RESNEXT_WEIGHTS[depth, groups]
    elif getattr(backbone, "style", "pytorch") == "caffe":
        weights = CAFFE_WEIGHTS[depth]
    config.initial = fdl.Config(InitialWeights, backbone=weights)
    return config


def from_imagenet_if_resnet(config: fdl.Config) -> fdl.Config:
    """`from_imagenet` for ResNets; other backbones' configs say what they begin with."""
    return from_imagenet(config) if fdl.get_callable(config.model.backbone) is ResNet else config


def from_detectron(config: fdl.Config) -> fdl.Config:
    """Training begins with Detectron's caffe-style weights, which are others than Detectron2's."""
    config.initial = fdl.Config(InitialWeights, backbone=DETECTRON_WEIGHTS[config.model.backbone.depth])
    return config
