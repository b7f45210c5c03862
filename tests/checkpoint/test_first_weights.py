"""What published detectors begin to learn from: classifiers of the same network."""

import fiddle as fdl
import pytest
import torch
import torchvision
from vidperc.configs.common.backbones import CAFFE_WEIGHTS, DETECTRON_WEIGHTS

from vidperc.checkpoint.backbone import without_classifier
from vidperc.image.backbones import ResNet
from vidperc.models import get_config, list_models

CAFFE = {url: depth for table in (CAFFE_WEIGHTS, DETECTRON_WEIGHTS) for depth, url in table.items()}


def beginning(config):
    """The depth of the ResNet that a config begins with, None where it is another network."""
    source = str(getattr(config.initial, "backbone", ""))
    if source.startswith("torchvision://resnet"):
        return int(source.removeprefix("torchvision://resnet"))
    return CAFFE.get(source)


RESNETS = [
    name
    for name in list_models("det")
    if (config := get_config(name)).schedule is not None
    and fdl.get_callable(getattr(config.model, "backbone", config)) is ResNet
    and beginning(config) is not None
]


def test_there_are_many():
    assert len(RESNETS) > 200


@pytest.mark.parametrize("name", RESNETS)
def test_a_classifier_has_the_tensors_of_the_backbone(name):
    config = get_config(name)
    with torch.device("meta"):
        backbone = fdl.build(config.model.backbone)
        given = getattr(torchvision.models, f"resnet{beginning(config)}")().state_dict()
        for prefix, module in backbone.named_modules():
            if hasattr(module, "complete"):
                module.complete(given, prefix)
    convert = getattr(config.initial, "convert", None)
    given = given if convert is None else convert(given)
    target = {key: value.shape for key, value in backbone.state_dict().items() if "num_batches" not in key}
    given = without_classifier(given, set(target))
    assert {key: value.shape for key, value in given.items() if "num_batches" not in key} == target


def test_caffe_style_backbones_begin_with_caffe_style_weights():
    for name in RESNETS:
        config = get_config(name)
        style = getattr(config.model.backbone, "style", "pytorch")
        assert (config.initial.backbone in CAFFE) == (style == "caffe"), name
