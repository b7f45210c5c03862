"""Deep and wide ResNets against torchvision's with the same weights."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch
import torchvision

import vidperc


@pytest.mark.parametrize(
    ("config", "build"),
    [
        ("dff_faster_rcnn_r101_dc5_1x_imagenetvid", torchvision.models.resnet101),
        ("selsa_faster_rcnn_x101_dc5_1x_imagenetvid", torchvision.models.resnext101_64x4d),
    ],
)
@torch.no_grad()
def test_backbones_of_the_video_detectors(config, build):
    torch.manual_seed(0)
    theirs = build(weights=None, replace_stride_with_dilation=(False, False, True)).eval()
    # torchvision dilates a stage from its second block on, the published detectors from its first.
    theirs.layer4[0].conv2.dilation = theirs.layer4[0].conv2.padding = (2, 2)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.2, 0.6)
            module.bias.normal_(0, 0.1)
    weights = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours = fdl.build(vidperc.get_config(config).model.detector.backbone).eval()
    ours.load_state_dict(weights)
    picture = torch.randn(1, 3, 80, 112)
    expected = picture
    for name, part in theirs.named_children():
        if name == "avgpool":
            break
        expected = part(expected)
    (found,) = ours(picture)
    assert found.shape == expected.shape == (1, 2048, 5, 7)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-4 * expected.std()
