"""Backbones: they learn in a detector, fold their norms, freeze what they should, equal torchvision's."""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl
import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from vidperc.configs.det.regnet import WEIGHTS
from vidperc.configs.det.retinanet import retinanet_head

from vidperc import Instances
from vidperc.checkpoint import load_backbone
from vidperc.checkpoint.classifiers import convnext, hrnet, pvt, regnet_bgr, res2net, resnest, swin_unfolded
from vidperc.image.backbones.convnext import ConvNeXt
from vidperc.image.backbones.convnext import Size as ConvNeXtSize
from vidperc.image.backbones.hrnet import HRModule, HRNet
from vidperc.image.backbones.pvt import PVT, PositionEmbedding, PVTv2
from vidperc.image.backbones.regnet import DESIGNS, Design, RegNet, Stage, stages_of
from vidperc.image.backbones.res2net import Res2Net, Res2NetBlock
from vidperc.image.backbones.resnest import ResNeSt, SplitAttention
from vidperc.image.backbones.resnet import deform_conv_v2
from vidperc.image.backbones.swin import Size, SwinTransformer, UnfoldMerging
from vidperc.image.necks.fpn import FPN
from vidperc.image.necks.hrfpn import HRFPN
from vidperc.image.preprocess import Preprocessor
from vidperc.image.single_stage import SingleStageDetector
from vidperc.layers.fuse import fuse_conv_norm
from vidperc.models import get_config, list_models
from vidperc.structures import ImageList
from vidperc.zoo import zoo_table

LEARNING = {"frozen_stages": -1, "norm_eval": False}
BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "regnet": lambda **options: RegNet(Design(8, 8, 1.7, 4, 6), **options),
    "regnet_deformable": lambda **options: RegNet(
        Design(8, 8, 1.7, 4, 6), conv_stages=dict.fromkeys((1, 2, 3), deform_conv_v2), **options
    ),
    "res2net": lambda **options: Res2Net(50, base_channels=8, base_width=4, scales=3, **options),
    "resnest": lambda **options: ResNeSt(50, base_channels=8, stem_channels=16, **options),
}
FREEZING = tuple(BACKBONES)  # those whose first stages and statistics can be frozen
BACKBONES["hrnet"] = lambda: HRNet(4, modules=(1, 1, 1))
WITH_STATISTICS = tuple(BACKBONES)
BACKBONES["convnext"] = lambda: ConvNeXt(ConvNeXtSize(16, (1, 1, 2, 1)), drop_path=0.1)
BACKBONES["pvt"] = lambda: PVT((1, 1, 2, 1), channels=8)
BACKBONES["pvtv2"] = lambda: PVTv2((1, 1, 2, 1), channels=8)
BACKBONES["swin"] = lambda: SwinTransformer(Size(16, (1, 2, 2, 1), (1, 2, 2, 4)), window=3, merging=UnfoldMerging)


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[name](**(LEARNING if name in FREEZING else {}))


def shaken(model: nn.Module) -> nn.Module:
    """Evaluation mode, with statistics and scales that are not those of the beginning."""
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    return model.eval()


def detector(backbone: nn.Module) -> SingleStageDetector:
    head = retinanet_head(3)
    head.predictor.in_channels = head.predictor.channels = 32
    head.predictor.convs = 1
    head.priors.strides = (4, 8, 16, 32, 64)
    neck = (HRFPN if isinstance(backbone, HRNet) else FPN)(backbone.out_channels, 32)
    return SingleStageDetector(
        preprocessor=Preprocessor(test_scale=(96, 64)), backbone=backbone, neck=neck, head=fdl.build(head)
    )  # fmt: skip


def batch() -> tuple[ImageList, list[Instances]]:
    """Two noisy images with three bright objects each."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(2, 3, 64, 96, generator=generator)
    boxes = torch.tensor([[4.0, 5, 36, 42], [42, 12, 84, 60], [18, 36, 54, 62]])
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        pictures[:, i, y1:y2, x1:x2] += 3
    targets = [Instances(boxes=boxes, labels=torch.tensor([0, 1, 2])) for _ in range(2)]
    return ImageList(pictures, [(64, 96)] * 2, [(64, 96)] * 2, [(1.0, 1.0)] * 2), targets


@pytest.mark.parametrize("name", BACKBONES)
def test_thirty_steps_halve_the_loss_and_reach_every_parameter(name):
    model = detector(build(name)).train()
    images, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        total = sum(model.loss(model.extract_features(images), images, targets).values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_maps_have_their_strides_and_channels(name):
    backbone = build(name).eval()
    maps = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (2, channels, 64 // stride, 96 // stride) for channels, stride in zip(backbone.out_channels, (4, 8, 16, 32))
    ]


@pytest.mark.parametrize("name", WITH_STATISTICS)
@torch.no_grad()
def test_folded_norms_give_the_same(name):
    backbone = shaken(build(name))
    image = torch.randn(1, 3, 64, 96)
    before = backbone(image)
    after = fuse_conv_norm(backbone)(image)
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in backbone.modules())
    for a, b in zip(before, after):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


@pytest.mark.parametrize("name", FREEZING)
def test_stem_and_first_stage_do_not_learn(name):
    backbone = BACKBONES[name](frozen_stages=1, norm_eval=True).train()
    frozen = {key.split(".")[0] for key, value in backbone.named_parameters() if not value.requires_grad}
    assert frozen == {*backbone.stem_names, "layer1"}
    assert not any(part.training for part in backbone.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))


def test_widths_of_the_regnet_paper():
    """Table 8 of the paper: widths, and blocks of the stages."""
    assert [(s.width, s.blocks) for s in stages_of(DESIGNS["3.2GF"])] == [(96, 2), (192, 6), (432, 15), (1008, 2)]
    assert [(s.width, s.blocks) for s in stages_of(DESIGNS["12GF"])] == [(224, 2), (448, 5), (896, 11), (2240, 1)]
    assert stages_of(DESIGNS["8.0GF"])[0] == Stage(width=80, blocks=2, group_width=80)
    with pytest.raises(ValueError, match="expected one of 400MF"):
        RegNet("5GF")


def test_torchvisions_regnets_fit():
    for design, name in WEIGHTS.items():
        theirs = torchvision.models.get_model(name).state_dict()
        with torch.device("meta"):
            ours = RegNet(design).state_dict()
        given = {key: value.shape for key, value in regnet_bgr(theirs).items() if not key.startswith("fc.")}
        assert given == {key: value.shape for key, value in ours.items()}


@torch.no_grad()
def test_regnet_equals_torchvisions():
    """Its maps of a picture in RGB are ours of the picture in BGR."""
    torch.manual_seed(0)
    theirs = shaken(torchvision.models.regnet_x_800mf(weights=None))
    ours = RegNet("800MF").eval()
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours.load_state_dict(regnet_bgr(state))
    picture = torch.randn(1, 3, 64, 96)
    x = theirs.stem(picture)
    for stage, found in zip(theirs.trunk_output, ours(picture.flip(1))):
        x = stage(x)
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4 * float(x.abs().max()))


@torch.no_grad()
def test_swin_equals_torchvisions():
    """Its stages' maps, normalised, are ours, though patches merge in another order."""
    torch.manual_seed(0)
    theirs = torchvision.models.swin_t(weights=None).eval()
    for part in theirs.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
    ours = SwinTransformer("tiny", merging=UnfoldMerging).eval()
    ours.load_state_dict(swin_unfolded(theirs.state_dict()))
    picture = torch.randn(1, 3, 256, 288)
    x, maps = picture, []
    for index, part in enumerate(theirs.features):
        x = part(x)
        if index % 2:
            maps.append(F.layer_norm(x, x.shape[-1:]).permute(0, 3, 1, 2))
    for found, expected in zip(ours(picture), maps):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_convnext_equals_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.convnext_tiny(weights=None).eval()
    for name, value in theirs.named_parameters():
        if name.endswith("layer_scale"):
            value.uniform_(0.5, 1.5)
    ours = ConvNeXt("tiny").eval()
    ours.load_state_dict(convnext(theirs.state_dict()))
    picture = torch.randn(1, 3, 64, 96)
    x, maps = picture, []
    for index, part in enumerate(theirs.features):
        x = part(x)
        if index % 2:
            maps.append(F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], eps=1e-6).permute(0, 3, 1, 2))
    for found, expected in zip(ours(picture), maps):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_early_layers_of_convnext_learn_slowly():
    """Tiny has the layers 0 to 7; the head is the last, and each layer before it learns at 0.95 times its rate."""
    config = get_config("faster_rcnn_convnext-t_fpn_fp16_1x_det_bdd100k")
    with torch.device("meta"):
        model = fdl.build(config.model)
    groups = fdl.build(config.schedule).optimizer.groups(model)
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    layers = {
        "downsample_layers.0.0.weight": 0, "stages.0.2.pointwise_conv1.weight": 1, "downsample_layers.1.1.weight": 2,
        "stages.1.0.depthwise_conv.weight": 2, "stages.2.2.pointwise_conv2.weight": 3,
        "stages.2.5.pointwise_conv2.weight": 4, "stages.2.6.pointwise_conv2.weight": 5,
        "stages.3.0.pointwise_conv1.weight": 6,
    }  # fmt: skip
    for name, layer in layers.items():
        rate, decay = settings[id(model.backbone.get_parameter(name))]
        assert (rate, decay) == (pytest.approx(1e-4 * 0.95 ** (7 - layer)), 0.05)
    still = (
        "backbone.stages.2.0.gamma",
        "backbone.norm0.weight",
        "backbone.stages.0.0.norm.bias",
        "rpn.predictor.conv.bias",
    )
    assert {settings[id(model.get_parameter(name))][1] for name in still} == {0.0}
    assert settings[id(model.get_parameter("backbone.norm0.weight"))][0] == pytest.approx(1e-4)
    assert settings[id(model.get_parameter("neck.fpn_convs.0.conv.weight"))] == (pytest.approx(1e-4), 0.05)


def authors_pvt(version: int) -> dict[str, torch.Tensor]:
    """A classifier of one block a stage under its authors' names, from 8 channels on."""
    shapes: dict[str, tuple[int, ...]] = {"head.weight": (5, 64)}
    before = 3
    for stage, (width, reduction, growth) in enumerate(zip((8, 16, 40, 64), (8, 4, 2, 0), (8, 8, 4, 4)), start=1):
        side, hidden, block = (4, 2, 2, 2)[stage - 1], width * growth, f"block{stage}.0"
        side = side if version == 1 else (7, 3, 3, 3)[stage - 1]
        shapes |= {
            f"patch_embed{stage}.proj.weight": (width, before, side, side),
            f"{block}.attn.q.weight": (width, width),
        }
        shapes |= {f"{block}.attn.kv.weight": (2 * width, width), f"{block}.attn.kv.bias": (2 * width,)}
        shapes |= {f"{block}.attn.proj.weight": (width, width)}
        biases = ["patch_embed#.proj", "patch_embed#.norm", "block#.0.norm1", "block#.0.norm2", "block#.0.attn.q"]
        biases += ["block#.0.attn.proj", "block#.0.mlp.fc2"]
        if reduction:
            shapes[f"{block}.attn.sr.weight"] = (width, width, reduction, reduction)
            biases += ["block#.0.attn.sr", "block#.0.attn.norm"]
        shapes |= {f"{block}.mlp.fc1.weight": (hidden, width), f"{block}.mlp.fc1.bias": (hidden,)}
        shapes |= {f"{block}.mlp.fc2.weight": (width, hidden)}
        if version == 1:
            shapes[f"pos_embed{stage}"] = (1, (56 >> (stage - 1)) ** 2 + (stage == 4), width)
        else:
            shapes |= {
                f"{block}.mlp.dwconv.dwconv.weight": (hidden, 1, 3, 3),
                f"{block}.mlp.dwconv.dwconv.bias": (hidden,),
            }
            biases.append("norm#")
        shapes |= {f"{name.replace('#', str(stage))}.bias": (width,) for name in biases}
        norms = [name for name in biases if "norm" in name]
        shapes |= {f"{name.replace('#', str(stage))}.weight": (width,) for name in norms}
        before = width
    if version == 1:
        shapes |= {"cls_token": (1, 1, 64), "norm.weight": (64,), "norm.bias": (64,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("version", [1, 2])
def test_the_authors_pvt_fills_ours(version):
    given = authors_pvt(version)
    ours = (PVT if version == 1 else PVTv2)((1, 1, 1, 1), channels=8)
    ours.load_state_dict(pvt(given))
    block = ours.layers[1][1][-1]
    torch.testing.assert_close(block.attn.attn.in_proj_weight[:16].data, given["block2.0.attn.q.weight"])
    torch.testing.assert_close(block.attn.attn.in_proj_weight[16:].data, given["block2.0.attn.kv.weight"])
    if version == 1:
        torch.testing.assert_close(ours.layers[3][1][0].pos_embed.data, given["pos_embed4"][:, 1:])


@torch.no_grad()
def test_embedded_positions_stretch_over_the_map():
    embedding = PositionEmbedding(1, 2)
    embedding.pos_embed.copy_(torch.tensor([0.0, 1, 2, 3]).view(1, 4, 1))
    torch.testing.assert_close(embedding(torch.zeros(1, 2, 2, 1)).flatten(), torch.tensor([0.0, 1, 2, 3]))
    wide = embedding(torch.zeros(1, 2, 4, 1))[
        0, :, :, 0
    ]  # between the centres of two places: a quarter, three quarters
    torch.testing.assert_close(wide[0], torch.tensor([0.0, 0.25, 0.75, 1.0]))


def test_norms_and_positions_of_swin_do_not_decay():
    config = get_config("faster_rcnn_swin-t_fpn_1x_det_bdd100k")
    with torch.device("meta"):
        model = fdl.build(config.model)
    groups = fdl.build(config.schedule).optimizer.groups(model)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    still = {name for name, p in model.named_parameters() if decays[id(p)] == 0}
    assert {group["lr"] for group in groups} == {1e-4}
    assert still == {name for name, _ in model.named_parameters() if "norm" in name or "position_bias_table" in name}


@torch.no_grad()
def test_resolutions_of_hrnet_exchange():
    """Without blocks and with 1x1 convolutions of ones, a map gets the pixels of the coarser one."""
    module = HRModule((1, 2)).eval()
    module.branches = nn.ModuleList(nn.Identity() for _ in range(2))
    nn.init.ones_(module.fuse_layers[0][1][0].weight)
    fine, coarse = torch.rand(1, 1, 4, 6), torch.rand(1, 2, 2, 3)
    found = module([fine, coarse])[0]
    expected = fine + coarse.sum(1, keepdim=True).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_levels_of_hrfpn_are_means():
    neck = HRFPN((1, 1), 2, levels=3)
    nn.init.ones_(neck.reduction_conv.conv.weight)
    for conv in neck.fpn_convs:
        nn.init.dirac_(conv.conv.weight)
    fine, coarse = torch.rand(1, 1, 8, 8), torch.full((1, 1, 4, 4), 3.0)
    first, second, third = neck([fine, coarse])
    torch.testing.assert_close(first, (fine + 3).expand(1, 2, 8, 8))
    torch.testing.assert_close(second, F.avg_pool2d(first, 2))
    torch.testing.assert_close(third[0, 0, 1, 1], first[0, 0, 4:, 4:].mean())


@torch.no_grad()
def test_parts_of_res2net_build_on_one_another():
    block = Res2NetBlock(8, 8, inner=2, scales=4, norm="bn").eval()
    for part in block.parts:
        nn.init.dirac_(part.conv.weight)
    parts = torch.rand(1, 8, 3, 3).split(2, dim=1)
    first, second, third, last = block.combine(parts)
    torch.testing.assert_close(first, parts[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second, parts[0] + parts[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(third, parts[0] + parts[1] + parts[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last, parts[3])


@torch.no_grad()
def test_split_attention_weighs_the_splits():
    attention = SplitAttention(4, "bn").eval()
    nn.init.dirac_(attention.conv.weight, groups=2)
    nn.init.zeros_(attention.fc2.weight)
    attention.fc2.bias.copy_(torch.tensor([1.0] * 4 + [3.0] * 4).log())  # weights 1/4 and 3/4
    x = torch.rand(1, 4, 5, 5)
    splits = attention.conv(x).split(4, dim=1)
    torch.testing.assert_close(attention(x), splits[0] / 4 + splits[1] * 3 / 4, rtol=1e-4, atol=1e-4)


def test_a_detectors_file_fills_a_backbone_with_deformable_convolutions(tmp_path):
    """Whose offsets begin at nothing."""
    given = {f"backbone.{name}": value for name, value in BACKBONES["regnet"]().state_dict().items()}
    torch.save({"state_dict": {**given, "neck.x": torch.zeros(1)}}, tmp_path / "a.pth")
    ours = BACKBONES["regnet_deformable"]()
    assert load_backbone(ours, tmp_path / "a.pth", convert=regnet_bgr).complete
    torch.testing.assert_close(ours.layer2[0].conv2.weight.data, given["backbone.layer2.0.conv2.weight"])
    assert not ours.layer2[0].conv2.conv_offset.weight.any()


def test_names_of_the_authors_classifiers():
    stem = ("0.weight", "1.bias", "3.weight", "4.bias", "6.weight")
    given = {**{f"conv1.{name}": torch.zeros(0) for name in stem}, "bn1.bias": torch.zeros(0)}
    expected = {*(f"stem.{name}" for name in stem), "stem.7.bias"}
    assert resnest({**given, "layer1.0.conv1.weight": torch.zeros(0)}).keys() == {*expected, "layer1.0.conv1.weight"}
    ends = ("incre_modules.0.0.conv1", "downsamp_modules.0.0", "final_layer.0", "classifier")
    given_hrnet = {f"{name}.weight": torch.zeros(0) for name in ("transition1.0.0", *ends)}
    assert hrnet(given_hrnet).keys() == {"transition1.0.0.weight"}
    parts = {"layer1.0.convs.2.weight": torch.zeros(0), "layer1.0.bns.2.bias": torch.zeros(0)}
    renamed = {*expected, "layer1.0.parts.2.conv.weight", "layer1.0.parts.2.norm.bias"}
    assert res2net({**given, **parts}).keys() == renamed


@pytest.mark.parametrize(
    "method", ["ConvNeXt", "HRNet", "PVT", "PVTv2", "RegNet", "Res2Net", "ResNeSt", "Swin Transformer"]
)
def test_every_published_row_has_its_config(method):
    rows = [row.name for row in zoo_table() if row.method == method]
    assert rows
    assert [name for name in rows if name not in list_models()] == []
