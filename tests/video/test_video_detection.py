"""DFF, FGFA, SELSA: what their schedules, windows and references promise, on small untrained networks."""

from __future__ import annotations

from dataclasses import replace

import fiddle as fdl
import numpy as np
import pytest
import torch

import vidperc
from vidperc.models import get_config, prepare
from vidperc.ops.warp import warp
from vidperc.structures import Clip, Frame, Instances, Video
from vidperc.video.selsa import reference_numbers
from vidperc.video.temporal_roi_align import TemporalRoIAlign

METHODS = ("dff", "fgfa", "selsa", "selsa_troialign", "selsa_window")
NAMES = {
    "selsa_window": "selsa_faster_rcnn_r50_dc5_window",
    "selsa_troialign": "selsa_troialign_faster_rcnn_r50_dc5_7e_imagenetvid",
}


def small(method: str, **changes):
    """The published config with narrow networks, looking at small pictures."""
    config = get_config(NAMES.get(method, f"{method}_faster_rcnn_r50_dc5_1x_imagenetvid")).model
    detector = config.detector
    detector.backbone.depth, detector.backbone.base_channels = 18, 8
    detector.backbone.frozen_stages = -1
    detector.neck.in_channels, detector.neck.out_channels = (64,), 16
    detector.preprocessor.test_scale = (128, 96)
    predictor = detector.rpn.predictor
    detector.rpn.predictor = fdl.Config(fdl.get_callable(predictor), 16, 16, anchors=12)
    detector.rpn.select.post_nms = detector.rpn.select_training.post_nms = 20
    detector.roi_head.box_head = fdl.Config(
        fdl.get_callable(detector.roi_head.box_head), 16, classes=3, hidden=32, fcs=2,
        **({"heads": 4} if "selsa" in method else {}),
    )  # fmt: skip
    if "selsa" not in method:
        config.flow.width = 4
    if method == "fgfa":
        config.aggregator.channels, config.radius = 16, 2
    if method in ("selsa", "selsa_troialign"):
        config.references = 4
    if method == "selsa_troialign":
        config.align.channels = 16
    if method == "selsa_window":
        config.radius, config.stride = 2, 2
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(1)
    return prepare(fdl.build(config))


def clip(length: int, seed: int = 0, size=(96, 128)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 255, (size[0] + length, size[1], 3), dtype=np.uint8)
    return [base[t : t + size[0]] for t in range(length)]


def same(a: list[Instances], b: list[Instances]) -> None:
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        torch.testing.assert_close(left.boxes, right.boxes, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(left.scores, right.scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [1, 2, 3, 6])
@pytest.mark.filterwarnings("ignore:the video has")
def test_one_result_per_frame(method, length):
    results = list(small(method).stream(Video.from_frames(clip(length))))
    assert len(results) == length
    assert all(len(result) for result in results)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("other_size", [(96, 128), (64, 112)])
def test_videos_in_one_batch_equal_each_alone(method, other_size):
    model = small(method)
    videos = [Video.from_frames(clip(6, 1)), Video.from_frames(clip(6, 2, other_size))]
    alone = [list(model.stream(video)) for video in videos]
    with model.inference():
        states = [model.init_state(video) for video in videos]
        together: list[list[Instances]] = [[], []]
        for frames in zip(*videos, strict=True):
            for kept, result in zip(together, model.step_batch(frames, states), strict=True):
                if result is not None:
                    kept.append(result)
        for kept, state in zip(together, states, strict=True):
            kept.extend(model.finish(state))
    for left, right in zip(together, alone, strict=True):
        same(left, right)


@pytest.mark.parametrize("method", METHODS)
def test_a_slice_is_a_video(method):
    model, frames = small(method), clip(9, 3)
    same(list(model.stream(Video.from_frames(frames)[2:8])), list(model.stream(Video.from_frames(frames[2:8]))))


@pytest.mark.parametrize("method", ["dff", "fgfa", "selsa_window"])
def test_live_source(method):
    model, frames = small(method), clip(6, 4)
    same(list(model.stream(vidperc.Video(iter(frames)))), list(model.stream(Video.from_frames(frames))))


def test_selsa_says_that_a_live_source_has_no_whole():
    model = small("selsa")
    with pytest.raises(ValueError, match="sliding window"):
        next(iter(model.stream(vidperc.Video(iter(clip(3))))))


def test_dff_uses_the_backbone_on_key_frames_alone():
    model, calls = small("dff", key_interval=3), []
    model.detector.backbone.register_forward_hook(lambda *_: calls.append(1))
    list(model.stream(Video.from_frames(clip(7))))
    assert len(calls) == 3  # frames 0, 3, 6


def test_dff_equals_the_detector_on_key_frames():
    model, frames = small("dff", key_interval=2), clip(3)
    results = list(model.stream(Video.from_frames(frames)))
    same([results[0], results[2]], [model.detector.predict([frames[k]])[0] for k in (0, 2)])


def test_fgfa_computes_each_frame_once():
    model, calls = small("fgfa"), []
    model.detector.backbone.register_forward_hook(lambda *_: calls.append(1))
    list(model.stream(Video.from_frames(clip(8))))
    assert len(calls) == 8


def test_fgfa_window_stays_small():
    model = small("fgfa")
    session = vidperc.open_session(model)
    for frame in clip(12):
        session.update(frame)
    assert len(session.state.window) <= 2 * model.radius + 1


def test_selsa_reads_its_references_once():
    model, calls = small("selsa"), []
    model.detector.backbone.register_forward_hook(lambda module, inputs, out: calls.append(len(inputs[0])))
    list(model.stream(Video.from_frames(clip(9))))
    assert sum(calls) == 4 + 9


def test_reference_numbers():
    assert reference_numbers(101, 5) == [0, 25, 50, 75, 100]
    assert reference_numbers(20, 4) == [0, 6, 13, 19]
    assert reference_numbers(6, 3) == [0, 2, 5]  # 2.5 goes to the even number
    with pytest.warns(UserWarning, match="3 frames"):
        assert reference_numbers(3, 4) == [0, 1, 1, 2]


@pytest.mark.parametrize("method", ["dff", "fgfa"])
def test_a_change_of_size_is_one_warning_and_a_new_start(method):
    model = small(method, **({"key_interval": 10} if method == "dff" else {}))
    first, second = clip(4, 5), clip(4, 6, size=(64, 96))
    with pytest.warns(UserWarning, match="from 128x96 to 96x64") as caught:
        results = list(model.stream(vidperc.Video(iter(first + second))))
    assert len([w for w in caught if "changes from" in str(w.message)]) == 1
    assert len(results) == 8
    same(results[4:], list(model.stream(Video.from_frames(second))))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("live", [False, True])
def test_sizes_in_turn_are_at_most_one_warning(method, live, recwarn):
    if live and method in ("selsa", "selsa_troialign"):
        pytest.skip("needs the whole video")
    frames = [frame for pair in zip(clip(3, 5), clip(3, 6, size=(64, 96)), strict=True) for frame in pair]
    results = list(small(method).stream(vidperc.Video(iter(frames)) if live else Video.from_frames(frames)))
    assert [len(result) > 0 for result in results] == [True] * 6
    for result, frame in zip(results, frames, strict=True):  # boxes are of each frame's own picture
        assert (result.boxes[:, 2] <= frame.shape[1]).all() and (result.boxes[:, 3] <= frame.shape[0]).all()
    assert len(recwarn) == (1 if method in ("dff", "fgfa") else 0)  # regions look across sizes


def test_windows_and_intervals_longer_than_the_video():
    for model in (small("selsa_window", stride=50), small("fgfa", radius=15), small("dff", key_interval=50)):
        assert len(list(model.stream(Video.from_frames(clip(3))))) == 3


@pytest.mark.parametrize(
    ("name", "option"),
    [("tiny_dff", "key_interval"), ("tiny_fgfa", "radius"), ("tiny_fgfa", "chunk"), ("tiny_selsa", "references"),
     ("tiny_selsa", "chunk"), ("selsa_faster_rcnn_r50_dc5_window", "stride")],
)  # fmt: skip
def test_an_impossible_option_is_named(name, option):
    with pytest.raises(ValueError, match=option) as caught:
        vidperc.load(name, **{option: 0})
    assert len(str(caught.value)) < 80  # nothing but that


def test_warp_moves_by_whole_cells():
    """Cell p is read at p (W - 1) / W, so a flow that undoes the factor moves exactly."""
    features = torch.arange(16.0).reshape(1, 1, 1, 16).expand(1, 1, 16, 16)
    x = torch.arange(16.0)
    target = (x - 2).clamp(0)
    flow = torch.stack(((target * 16 / 15 - x).expand(16, 16), torch.zeros(16, 16)))[None]
    torch.testing.assert_close(warp(features, flow)[0, 0, 3], target)


def training_clip(length: int, key: int) -> Clip:
    target = Instances(torch.tensor([[10.0, 10, 60, 50], [40, 30, 110, 90]]), labels=torch.tensor([0, 2]))
    frames = [Frame.from_array(picture.copy(), t) for t, picture in enumerate(clip(length))]
    frames[key].instances = target
    return Clip(frames, key=key)


@pytest.mark.parametrize("method", METHODS)
def test_it_learns(method):
    """30 steps on one clip at least halve the loss, and the gradient reaches what is not frozen."""
    model = small(method).train()
    clips = [training_clip(2 if method == "dff" else 3, 1)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        torch.manual_seed(0)
        loss = torch.stack(list(model(clips).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2, losses[::6]
    without = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without, without


@pytest.mark.parametrize(
    ("method", "parts"),
    [("dff", ["flow"]), ("fgfa", ["flow", "aggregator"]), ("selsa", ["aggregators"]), ("selsa_troialign", ["align"])],
)
def test_a_detectors_checkpoint_in_a_video_model_names_what_is_missing(method, parts, tmp_path):
    from vidperc.configs.common.video_detection import video_keys

    from vidperc.checkpoint import CheckpointError, load_checkpoint

    model = small(method)
    state = {f"detector.{name}": value for name, value in model.detector.state_dict().items()}
    torch.save({"state_dict": {n: v for n, v in state.items() if "aggregators" not in n}}, tmp_path / "detector.pth")
    with pytest.raises(CheckpointError, match="missing: ") as caught:
        load_checkpoint(model, tmp_path / "detector.pth", video_keys())
    assert all(part in str(caught.value) for part in parts)


def test_temporal_roi_align_by_hand():
    """One channel block, K = 1: a cell takes the place of the same direction; alike embeddings weigh evenly."""
    align = TemporalRoIAlign(2, similar=1, blocks=1)
    torch.nn.init.zeros_(align.embed.weight)  # every embedding is the bias: all weights are equal
    features = torch.tensor([[[[3.0, 0.0]], [[0.0, 5.0]]]])  # two places: (3, 0) and (0, 5)
    regions = torch.tensor([1.0, 0.1]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(align.most_similar(regions, features).flatten(), torch.tensor([3.0, 0.0]))
    mixed = align(regions, [features], [3])  # itself once, the place three times
    torch.testing.assert_close(mixed.flatten(), torch.tensor([(1.0 + 3 * 3.0) / 4, 0.1 / 4]))


def test_temporal_roi_align_counts_repeated_references():
    torch.manual_seed(0)
    align = TemporalRoIAlign(8, similar=2, blocks=4)
    regions, one, two = torch.randn(5, 8, 7, 7), torch.randn(1, 8, 6, 9), torch.randn(1, 8, 4, 5)
    torch.testing.assert_close(align(regions, [one, two], [2, 1]), align(regions, [one, two, one], [1, 1, 1]))


def test_temporal_roi_align_of_no_regions():
    align = TemporalRoIAlign(8, similar=2, blocks=4)
    assert align(torch.zeros(0, 8, 7, 7), [torch.randn(1, 8, 6, 9)], [1]).shape == (0, 8, 7, 7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:the video has")
def test_frames_without_any_region(method):
    model = small(method)
    model.detector.rpn.select = replace(model.detector.rpn.select, post_nms=0)
    assert [len(found) for found in model.stream(Video.from_frames(clip(4)))] == [0] * 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:the video has")
def test_low_precision_runs(method):
    model, video = small(method), Video.from_frames(clip(3))
    model.precision = "bf16"
    for result in model.stream(video):
        assert torch.isfinite(result.boxes).all()
        assert result.scores.dtype == torch.float32
