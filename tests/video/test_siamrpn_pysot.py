"""SiamRPN++ with PySOT's backbones: against a plain statement of the networks, from checkpoints with PySOT's names."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vidperc import open_session
from vidperc.checkpoint.keys import rename_keys
from vidperc.checkpoint.load import CheckpointError
from vidperc.data.datasets import ClipDataset
from vidperc.data.frame_samplers import Pair
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms.siamese import CropRange, SiamesePair
from vidperc.image.backbones.siamese_alexnet import SiameseAlexNet
from vidperc.image.backbones.siamese_mobilenet import SiameseMobileNet
from vidperc.layers.packed_conv import can_pack
from vidperc.models import get_config, load
from vidperc.ops.crop import exact_window_bounds
from vidperc.structures import Frame, Video
from vidperc.video.siamrpn_anchors import AnchorGrid, Postprocessor, PySOTAnchorGrid
from vidperc.video.siamrpn_convs import DirectReLU6Conv, PackedReLU6Conv
from vidperc.video.siamrpn_network import FoldedNetwork, ModuleNetwork, fold, middle
from vidperc.video.siamrpn_tuning import prompt_box, record, replay, run

ALEXNET, MOBILENET, RESNET = "siamrpn_alex_dwxcorr", "siamrpn_mobilev2_l234_dwxcorr", "siamrpn_r50_l234_dwxcorr"
NAMES = [ALEXNET, MOBILENET]


# The networks once more, as functions of a checkpoint with PySOT's names


class State(dict[str, Tensor]):
    """A checkpoint that is filled at random, layer by layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)

    def conv(self, name: str, out: int, inputs: int, side: int, *, bias: bool = False) -> None:
        scale = (2 / (inputs * side * side)) ** 0.5
        self[f"{name}.weight"] = torch.randn(out, inputs, side, side, generator=self.random) * scale
        if bias:
            self[f"{name}.bias"] = torch.randn(out, generator=self.random) * 0.1

    def norm(self, name: str, channels: int) -> None:
        for part, low, high in (
            ("weight", 0.7, 1.3),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.7, 1.3),
        ):
            self[f"{name}.{part}"] = low + (high - low) * torch.rand(channels, generator=self.random)

    def branch(self, name: str, out: int) -> None:
        for part in ("conv_kernel", "conv_search"):
            self.conv(f"{name}.{part}.0", 256, 256, 3)
            self.norm(f"{name}.{part}.1", 256)
        self.conv(f"{name}.head.0", 256, 256, 1)
        self.norm(f"{name}.head.1", 256)
        self.conv(f"{name}.head.3", out, 256, 1, bias=True)

    def adjust(self, channels: list[int]) -> None:
        for level, count in enumerate(channels, 2):
            self.conv(f"neck.downsample{level}.downsample.0", 256, count, 1)
            self.norm(f"neck.downsample{level}.downsample.1", 256)
            self.branch(f"rpn_head.rpn{level}.cls", 10)
            self.branch(f"rpn_head.rpn{level}.loc", 20)


def alexnet_state() -> State:
    state = State()
    for place, out, inputs, side in (
        (0, 96, 3, 11),
        (4, 256, 96, 5),
        (8, 384, 256, 3),
        (11, 384, 384, 3),
        (14, 256, 384, 3),
    ):
        state.conv(f"backbone.features.{place}", out, inputs, side, bias=True)
        state.norm(f"backbone.features.{place + 1}", out)
    state.branch("rpn_head.cls", 10)
    state.branch("rpn_head.loc", 20)
    return state


# Layer, channels of its input and of itself, blocks; channels are MobileNetV2's times 1.4 without fractions.
MOBILE_LAYERS = (
    (1, 44, 22, 1),
    (2, 22, 33, 2),
    (3, 33, 44, 3),
    (4, 44, 89, 4),
    (5, 89, 134, 3),
    (6, 134, 224, 3),
    (7, 224, 448, 1),
)


def mobilenet_state() -> State:
    state = State()
    state.conv("backbone.layer0.0", 44, 3, 3)
    state.norm("backbone.layer0.1", 44)
    for layer, before, channels, blocks in MOBILE_LAYERS:
        for block in range(blocks):
            inputs = channels if block else before
            inner = inputs * (1 if layer == 1 else 6)
            name = f"backbone.layer{layer}.{block}.conv"
            state.conv(f"{name}.0", inner, inputs, 1)
            state.norm(f"{name}.1", inner)
            state.conv(f"{name}.3", inner, 1, 3)
            state.norm(f"{name}.4", inner)
            state.conv(f"{name}.6", channels, inner, 1)
            state.norm(f"{name}.7", channels)
    state.adjust([44, 134, 448])
    return state


def convolved(s: State, x: Tensor, conv: str, norm: str, **geometry: int) -> Tensor:
    """Convolution and batch norm by their formulas."""
    x = F.conv2d(x, s[f"{conv}.weight"], s.get(f"{conv}.bias"), **geometry)
    mean, var, weight, bias = (
        s[f"{norm}.{p}"][:, None, None] for p in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def alexnet(s: State, x: Tensor) -> list[Tensor]:
    name = "backbone.features"
    x = convolved(s, x, f"{name}.0", f"{name}.1", stride=2)
    x = F.max_pool2d(x, 3, 2).relu()
    x = convolved(s, x, f"{name}.4", f"{name}.5")
    x = F.max_pool2d(x, 3, 2).relu()
    x = convolved(s, x, f"{name}.8", f"{name}.9").relu()
    x = convolved(s, x, f"{name}.11", f"{name}.12").relu()
    return [convolved(s, x, f"{name}.14", f"{name}.15")]


# (stride, padding, dilation) of the 3x3 of every layer's first block and of its other ones
MOBILE_GEOMETRY = {
    1: ((1, 1, 1), ()),
    2: ((2, 0, 1), (1, 1, 1)),
    3: ((2, 0, 1), (1, 1, 1)),
    4: ((1, 1, 1), (1, 2, 2)),
    5: ((1, 2, 2), (1, 2, 2)),
    6: ((1, 2, 2), (1, 4, 4)),
    7: ((1, 4, 4), ()),
}


def mobilenet(s: State, x: Tensor) -> list[Tensor]:
    x = convolved(s, x, "backbone.layer0.0", "backbone.layer0.1", stride=2).clamp(0, 6)
    levels = []
    for layer, _, _, blocks in MOBILE_LAYERS:
        for block in range(blocks):
            stride, padding, dilation = MOBILE_GEOMETRY[layer][min(block, 1)]
            name = f"backbone.layer{layer}.{block}.conv"
            y = convolved(s, x, f"{name}.0", f"{name}.1").clamp(0, 6)
            depthwise = {"stride": stride, "padding": padding, "dilation": dilation, "groups": y.shape[1]}
            y = convolved(s, y, f"{name}.3", f"{name}.4", **depthwise).clamp(0, 6)
            y = convolved(s, y, f"{name}.6", f"{name}.7")
            x = x + y if block else y
        if layer in (3, 5, 7):
            place = (3, 5, 7).index(layer) + 2
            levels.append(
                convolved(s, x, f"neck.downsample{place}.downsample.0", f"neck.downsample{place}.downsample.1")
            )
    return levels


def correlated(s: State, name: str, template: Tensor, search: Tensor) -> Tensor:
    kernel = convolved(s, template, f"{name}.conv_kernel.0", f"{name}.conv_kernel.1").relu()
    search = convolved(s, search, f"{name}.conv_search.0", f"{name}.conv_search.1").relu()
    places = search.unfold(2, kernel.shape[2], 1).unfold(3, kernel.shape[3], 1)  # (1, D, H, W, h, w)
    x = torch.einsum("bdyxij,bdij->bdyx", places, kernel)
    x = convolved(s, x, f"{name}.head.0", f"{name}.head.1").relu()
    return F.conv2d(x, s[f"{name}.head.3.weight"], s[f"{name}.head.3.bias"])


def stated(name: str, s: State, template: Tensor, search: Tensor) -> list[Tensor]:
    """Logits (1, 10, H, W) and codes (1, 20, H, W)."""
    if name == ALEXNET:
        (z,), (x,) = alexnet(s, template), alexnet(s, search)
        return [correlated(s, f"rpn_head.{branch}", z, x) for branch in ("cls", "loc")]
    zs, xs = [z[..., 4:11, 4:11] for z in mobilenet(s, template)], mobilenet(s, search)
    return [
        sum(correlated(s, f"rpn_head.rpn{k + 2}.{branch}", zs[k], xs[k]) for k in range(3)) / 3
        for branch in ("cls", "loc")
    ]


STATES = {ALEXNET: alexnet_state, MOBILENET: mobilenet_state}


@pytest.fixture(scope="module", params=NAMES, name="published")
def _published(request, tmp_path_factory):
    """Name, checkpoint, and the model with it."""
    state = STATES[request.param]()
    path = tmp_path_factory.mktemp("pysot") / "model.pth"
    torch.save(dict(state), path)
    return request.param, state, load(request.param, path, fuse=False)


def test_networks_are_as_they_are_stated(published):
    name, state, model = published
    torch.manual_seed(0)
    template, search = torch.rand(1, 3, 127, 127) * 255, torch.rand(1, 3, model.search_size, model.search_size) * 255
    modules = ModuleNetwork(model.backbone, model.neck, model.head)
    folded = fold(modules, torch.float32, model.search_size, model.center_size)
    assert isinstance(folded, FoldedNetwork)
    with torch.no_grad():
        expected = stated(name, state, template, search)
        for network in (modules, folded):
            kernels = network.embed_template(middle(network.features(template), model.center_size))
            outputs = network.correlate(kernels, network.features(search))
            for out, wanted in zip(outputs, expected):
                side = {ALEXNET: 21, MOBILENET: 25}[name]
                assert out.shape == wanted.shape == (1, wanted.shape[1], side, side)
                assert (out - wanted).abs().max() < 1e-4 * wanted.std()


def test_bfloat16_rounds_no_more_than_the_modules_do(published):
    _, _, model = published
    torch.manual_seed(0)
    template, search = torch.rand(1, 3, 127, 127) * 255, torch.rand(1, 3, model.search_size, model.search_size) * 255
    modules = ModuleNetwork(model.backbone, model.neck, model.head)
    folded = fold(modules, torch.bfloat16, model.search_size, model.center_size)

    def outputs(network):
        kernels = network.embed_template(middle(network.features(template), model.center_size))
        return torch.cat([out.float() for out in network.correlate(kernels, network.features(search))], 1)

    with torch.no_grad():
        exact, half = outputs(modules), outputs(folded)
        with torch.autocast("cpu", torch.bfloat16):
            usual = outputs(modules)
    assert 0 < (half - exact).abs().mean() < 1.2 * (usual - exact).abs().mean()


# Checkpoints


def test_forms_of_a_published_checkpoint(tmp_path):
    state = alexnet_state()
    by_layer = {}
    for key, value in state.items():
        words = key.split(".")
        if words[:2] == ["backbone", "features"]:
            place = int(words[2])
            layer, start = next((n, s) for n, s in ((5, 14), (4, 11), (3, 8), (2, 4), (1, 0)) if place >= s)
            key = f"backbone.layer{layer}.{place - start}.{words[3]}"
        by_layer[key] = value
    forms = {
        "parallel": {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 50},
        "layers": by_layer,
    }
    search = torch.rand(1, 3, 87, 87)
    for name, content in forms.items():
        torch.save(content, tmp_path / f"{name}.pth")
        model = load(ALEXNET, tmp_path / f"{name}.pth", fuse=False)
        with torch.no_grad():
            assert torch.allclose(model.backbone(search)[0], alexnet(state, search)[0], atol=1e-4)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    state = alexnet_state()
    for change in ("missing", "unexpected"):
        content = dict(state)
        if change == "missing":
            del content["rpn_head.loc.head.3.bias"]
        else:
            content["rpn_head.cls_weight"] = torch.ones(3)
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(CheckpointError, match=f"1 {change}: head"):
            load(ALEXNET, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load(MOBILENET, tmp_path / "wrong.pth")


def resnet_names() -> set[str]:
    """Of PySOT's ResNet-50 model."""

    def norm(name):
        return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["backbone.conv1.weight", *norm("backbone.bn1"), "rpn_head.cls_weight", "rpn_head.loc_weight"]
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            for k in (1, 2, 3):
                names += [
                    f"backbone.layer{layer}.{block}.conv{k}.weight",
                    *norm(f"backbone.layer{layer}.{block}.bn{k}"),
                ]
        names += [f"backbone.layer{layer}.0.downsample.0.weight", *norm(f"backbone.layer{layer}.0.downsample.1")]
    for level in (2, 3, 4):
        names += [f"neck.downsample{level}.downsample.0.weight", *norm(f"neck.downsample{level}.downsample.1")]
        for branch in ("cls", "loc"):
            name = f"rpn_head.rpn{level}.{branch}"
            for part in ("conv_kernel", "conv_search", "head"):
                names += [f"{name}.{part}.0.weight", *norm(f"{name}.{part}.1")]
            names += [f"{name}.head.3.weight", f"{name}.head.3.bias"]
    return set(names)


def test_names_of_the_resnet():
    config = get_config(RESNET)
    with torch.device("meta"):
        model = fdl.build(config.model)
    assert set(rename_keys(resnet_names(), config.published_keys).values()) == set(model.state_dict())


# Geometry


def test_sides_of_the_levels():
    with torch.no_grad():
        alex, mobile = SiameseAlexNet().eval(), SiameseMobileNet().eval()
        for side, expected in ((127, 6), (255, 22), (287, 26)):
            assert [tuple(x.shape) for x in alex(torch.zeros(1, 3, side, side))] == [(1, 256, expected, expected)]
        for side, expected in ((127, 15), (255, 31)):
            levels = [tuple(x.shape) for x in mobile(torch.zeros(1, 3, side, side))]
            assert levels == [(1, channels, expected, expected) for channels in (44, 134, 448)]
    assert alex.out_channels == [256] and mobile.out_channels == [44, 134, 448]


def reach(backbone, level: int, side: int) -> tuple[int, int]:
    """First and last column of the input that an output in the middle depends on, all weights being one sign."""
    backbone = backbone.double().eval()
    for name, parameter in backbone.named_parameters():
        torch.nn.init.constant_(parameter, 1e-3 if parameter.ndim > 1 else 0.01 if name.endswith("bias") else 1.0)
    picture = torch.full((1, 3, side, side), 1e-3, dtype=torch.float64, requires_grad=True)
    out = backbone(picture)[level]
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    columns = picture.grad[0].abs().sum((0, 1)).nonzero()[:, 0]
    return int(columns[0]), int(columns[-1])


def test_a_mobilenets_levels_look_about_their_position():
    """Output k of a level is centred on pixel 7 + 8 k; its reach sums (kernel - 1) x dilation x jump over the layers.

    Stem 2, layer 1 2 x 2, layer 2 2 x 2 + 2 x 4, layer 3 2 x 4 + 2 x (2 x 8): 58 pixels, and the output's own. Layers 4
    and 5 add 16 x (1 + 3 x 2) + 16 x 2 x 3 = 208; layers 6 and 7 add 16 x (2 + 4 + 4) + 16 x 4 = 224.
    """
    for level, positions, expected in ((0, 15, 59), (1, 39, 59 + 208), (2, 67, 59 + 208 + 224)):
        first, last = reach(SiameseMobileNet(0.25), level, 7 + 8 * positions)
        assert (first + last) / 2 == 7 + 8 * (positions // 2)
        assert last - first + 1 == expected


def test_a_step_of_eight_pixels_is_a_step_of_one_position(published):
    """Everywhere in an AlexNet, which is nowhere padded; away from the border in the other's first level."""
    margin, backbone = {ALEXNET: 0, MOBILENET: 8}[published[0]], published[2].backbone
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 263, 263) * 255
    with torch.no_grad():
        here, there = backbone(picture[..., :255, :255])[0], backbone(picture[..., 8:263, 8:263])[0]
    side = here.shape[-1] - margin
    one = here[..., 1 + margin : side, 1 + margin : side]
    other = there[..., margin : side - 1, margin : side - 1]
    assert (one - other).abs().max() < 1e-4 * one.std()


def test_an_alexnets_output_sees_87_pixels():
    """11 + 2 x 2 + 4 x 4 + 2 x 4 + 3 x 2 x 8; 6 of them, 8 apart, are 127."""
    torch.manual_seed(0)
    backbone = SiameseAlexNet().eval()
    picture = torch.rand(1, 3, 127, 127)
    with torch.no_grad():
        before = backbone(picture)[0][0, :, 0, 0]
        changed = picture.clone()
        changed[..., 87:] += 5
        assert torch.allclose(backbone(changed)[0][0, :, 0, 0], before, atol=1e-5)
        changed[..., 84:87] += 50
        assert not torch.allclose(backbone(changed)[0][0, :, 0, 0], before, atol=1e-3)
    assert backbone(torch.zeros(1, 3, 87, 87))[0].shape[-2:] == (1, 1)


def test_anchors_are_pysots():
    assert PySOTAnchorGrid().shapes() == [(104, 32), (88, 40), (64, 64), (40, 80), (32, 96)]
    assert AnchorGrid().shapes()[3:] == [(40, 88), (32, 104)]


def test_windows_have_the_wanted_side():
    """About the corner of pixels at 50, ten are 45..54 by PySOT's rounding down of 49.5 - 5; an odd side as well."""
    bounds = exact_window_bounds(torch.tensor([[50.0, 50.5], [3.0, 98.0]]), torch.tensor([10.0, 11.0]), 100, 100)
    assert bounds.tolist() == [[44, 45, 53, 54], [-3, 92, 7, 102]]


@pytest.mark.parametrize(
    ("name", "numbers", "search", "middle"),
    [
        (ALEXNET, (0.16, 0.40, 0.30), 287, 6),
        (f"{ALEXNET}_otb", (0.16, 0.40, 0.30), 287, 6),
        (MOBILENET, (0.04, 0.40, 0.5), 255, 7),
        (RESNET, (0.05, 0.42, 0.38), 255, 7),
    ],
)
def test_published_settings(name, numbers, search, middle):
    config = get_config(name)
    assert fdl.build(config.model.postprocessor) == Postprocessor(*numbers)
    with torch.device("meta"):
        model = fdl.build(config.model)
    assert (model.template_size, model.search_size, model.center_size) == (127, search, middle)
    assert config.schedule.epochs == 20


@pytest.mark.skipif(not can_pack(torch.device("cpu")), reason="torch is built without oneDNN")
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(2, 0, 1, 12), (1, 4, 4, 12), (1, 1, 1, 1)])
def test_convolution_with_relu6(stride, padding, dilation, groups):
    x = torch.randn(2, 12, 19, 21).to(memory_format=torch.channels_last) * 4
    weight, bias = torch.randn(24 if groups == 1 else 12, 12 // groups, 3, 3), torch.randn(24 if groups == 1 else 12)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, padding, dilation, groups).clamp(0, 6)
    assert expected.max() == 6
    geometry = (stride, padding, dilation)
    for conv in (DirectReLU6Conv(weight, bias, geometry, groups), PackedReLU6Conv(weight, bias, geometry, groups, 20)):
        assert torch.allclose(conv(x).double(), expected, atol=1e-4)


# Following


@pytest.fixture(scope="module")
def frames():
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    return [np.roll(noise, 2 * k, 1) for k in range(3)]


def test_many_objects_and_videos_at_once_equal_one_by_one(published, frames):
    model = published[2]
    prompts = [[40.0, 30, 80, 70], [90, 20, 150, 90]]
    alone = [list(model.stream(Video.from_frames(frames, prompt=prompt))) for prompt in prompts]
    for step, result in enumerate(model.stream(Video.from_frames(frames, prompt=torch.tensor(prompts)))):
        assert torch.allclose(result.boxes, torch.cat([each[step].boxes for each in alone]), atol=2e-3)
        assert torch.allclose(result.scores, torch.cat([each[step].scores for each in alone]), atol=1e-4)
    videos = [Video.from_frames(frames, prompt=prompt) for prompt in prompts]
    with model.inference():
        states = [model.init_state(video) for video in videos]
        model.step(videos[0].frame(0), states[0])  # the second video begins a step later
        for step in range(2):
            pair = model.step_batch([videos[0].frame(step + 1), videos[1].frame(step)], states)
            assert torch.allclose(pair[0].boxes, alone[0][step + 1].boxes, atol=2e-3)
            assert torch.allclose(pair[1].boxes, alone[1][step].boxes, atol=2e-3)
    sessions = [open_session(model, prompt) for prompt in prompts]
    for step, frame in enumerate(frames):
        for session, each in zip(sessions, alone):
            assert torch.allclose(session.update(frame).boxes, each[step].boxes, atol=2e-3)


def test_replay_with_the_network_where_it_looked_equals_a_run(published, frames):
    model = published[2]
    video = Video.from_frames(frames, prompt=[40, 30, 80, 70])
    boxes = run(model, video)
    again = replay(record(model, video, boxes), prompt_box(video), [model.postprocessor], model.min_side)
    assert np.abs(again[0] - boxes).max() < 0.05


def test_redetect(published, frames):
    model = published[2]
    video = Video.from_frames(frames, prompt=[40, 30, 80, 70])
    with model.inference():
        state = model.init_state(video)
        for frame in video:
            model.step(frame, state)
    found = model.redetect(video.frame(2), state, [0])
    assert len(found) == 1 and torch.isfinite(found.boxes).all()


# Training

STILL = ((0.0,) * 3,) * 3


def small(name):
    """The model on small crops, all of it learning, and the ranges of its crops."""
    torch.manual_seed(0)
    config = get_config(name).model
    config.backbone.trained_stages = None
    if name == ALEXNET:
        sizes = config.template_size, _ = 103, 135
        config.center_size, config.search_size = 3, 167  # what it is trained on is not what it searches
    else:
        sizes = config.template_size, config.search_size = 63, 127
        config.backbone.width, config.neck.in_channels = 0.25, [8, 24, 80]
        config.head.in_channels, config.head.channels, config.neck.out_channels = [32] * 3, 32, 32
        config.center_size, config.anchors.scale = 7, 4
    return fdl.build(config).train(), sizes


@pytest.mark.parametrize(("name", "count", "steps"), [(ALEXNET, 2, 12), (MOBILENET, 2, 20)])
def test_it_learns_and_gradients_reach_every_parameter(name, count, steps):
    model, sizes = small(name)
    template, search = (CropRange(side, 2, 0.05, colours=STILL) for side in sizes)
    records = synthetic_videos("train", count=2, length=12, flavour="sot")
    dataset = ClipDataset(records, Pair(5), [SiamesePair(template, search, positive=1.0)])
    clips = [dataset[number, number] for number in range(count)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history = []
    for step in range(steps):
        loss = sum(model(clips).values())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
            assert not [n for n in silent if not (n.startswith("backbone.features") and n.endswith(CONV_BIASES))]
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-3:]) < 0.5 * history[0]


CONV_BIASES = tuple(f".{place}.bias" for place in (0, 4, 8, 11, 14))  # what a batch norm takes away again


@pytest.mark.parametrize(("name", "late"), [(ALEXNET, {11, 12, 14, 15}), (MOBILENET, {3, 4, 5, 6, 7})])
def test_stages_that_learn_from_the_tenth_epoch_on(name, late):
    config = get_config(name)
    model, schedule = fdl.build(config.model).train(), fdl.build(config.schedule)
    groups = schedule.optimizer.build(model).param_groups
    assert {(group["lr"], group["start"]) for group in groups} == {(0.005, 0), (0.0005, 10)}
    learning = {id(p) for group in groups if group["start"] == 10 for p in group["params"]}
    names = [
        n.removeprefix("backbone.features.").removeprefix("backbone.layer")
        for n, p in model.named_parameters()
        if id(p) in learning
    ]
    assert {int(n.split(".")[0]) for n in names} == late
    assert not any(m.training for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    before = {n: b.clone() for n, b in model.backbone.named_buffers() if n.endswith("running_mean")}
    model.backbone(torch.rand(2, 3, 127, 127))  # the stages follow their statistics once they learn
    changed = {n for n, b in model.backbone.named_buffers() if n in before and not torch.equal(b, before[n])}
    assert {int(n.removeprefix("features.").removeprefix("layer").split(".")[0]) for n in changed} <= late
    assert changed


def test_search_crops_of_a_batch_have_one_size():
    model, _ = small(ALEXNET)
    records = synthetic_videos("train", count=1, length=3, flavour="sot")

    def clip(side):
        pair = SiamesePair(CropRange(103, 2, 0.05), CropRange(side, 2, 0.05), positive=1.0)
        return ClipDataset(records, Pair(2), [pair])[0, 0]

    assert all(torch.isfinite(value) for value in model([clip(135), clip(135)]).values())
    with pytest.raises(ValueError, match="expected a search crop of 135x135 pixels, got 151x151"):
        model([clip(135), clip(151)])


def test_frames_without_a_finite_score_keep_the_box(published, frames):
    model = published[2]
    weights = [parameter.clone() for parameter in model.head.parameters()]
    session = open_session(model, [40, 30, 80, 70])
    session.update(frames[0])
    try:
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter.fill_(torch.nan)
        result = session.update(Frame.from_array(frames[1], 1))
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.head.parameters(), weights):
                parameter.copy_(value)
    assert result.boxes.tolist() == [[40, 30, 80, 70]] and result.scores.tolist() == [0]
