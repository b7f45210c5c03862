"""STARK: crops, boxes and templates by hand, streaming, batches, bad input."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidperc import open_session
from vidperc.models import get_config, load, prepare
from vidperc.ops.padded_crop import crop_sides, padded_crops
from vidperc.structures import Frame, Instances, TrackState, Video
from vidperc.video.siamrpn_anchors import to_centers, to_corners
from vidperc.video.stark import STARKST1, STARKST2, clip_boxes
from vidperc.video.stark_network import CornerHead, Tokens


def untrained(name="tiny_stark_st1", **changes):
    torch.manual_seed(0)
    config = get_config(name)
    for key, value in changes.items():
        setattr(config.model, key, value)
    return fdl.build(config.model)


@pytest.fixture(scope="module", params=["tiny_stark_st1", "tiny_stark_st2"], name="model")
def _model(request):
    return prepare(untrained(request.param))


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    return [np.roll(noise, 2 * k, 1) for k in range(6)]


def tensors(state):
    """All that a state holds."""
    targets = state.targets
    return [targets.templates.values, targets.templates.positions, targets.templates.padding, targets.boxes,
            targets.scores, targets.lost]  # fmt: skip


# Crops and boxes


@pytest.mark.parametrize(
    "box", [[60.0, 40, 80, 65], [0.0, 0, 21, 19], [70.0, 50, 90, 70], [-30.0, 10, 60, 64], [85.2, 3.3, 88.9, 6.1]]
)
def test_a_crop_is_cut_padded_and_resized_as_published(box):
    image = torch.randint(1, 256, (3, 70, 90), dtype=torch.uint8)
    x1, y1, x2, y2 = box
    side = int(np.ceil(np.sqrt((x2 - x1) * (y2 - y1)) * 5))
    left, top = round((x1 + x2) / 2 - side / 2), round((y1 + y2) / 2 - side / 2)
    room = 600
    padded, outside = torch.zeros(3, 2 * room, 2 * room), torch.ones(1, 2 * room, 2 * room)
    padded[:, room : room + 69, room : room + 89] = image[:, :-1, :-1].float()  # the last row and column do not count
    outside[:, room : room + 69, room : room + 89] = 0
    window = (slice(None), slice(room + top, room + top + side), slice(room + left, room + left + side))
    crops, padding, sides = padded_crops(image, to_centers(torch.tensor([box])), 5.0, 40)
    assert sides.tolist() == [side]
    expected = F.interpolate(padded[window][None], (40, 40), mode="bilinear", align_corners=False)
    assert torch.allclose(crops, expected, atol=1e-3)
    mask = F.interpolate(outside[window][None], (40, 40), mode="bilinear", align_corners=False)[:, 0] > 0
    assert torch.equal(padding, mask)


def test_sides_are_whole_pixels():
    assert crop_sides(torch.tensor([[44.0, 44], [10, 40], [3, 5]]), 5.0).tolist() == [220, 100, 20]


def test_boxes_are_clipped_with_a_margin():
    boxes = torch.tensor(
        [[10.0, 20, 12, 50], [-5, -30, 5, 3], [155, 30, 190, 200], [300, 10, 320, 30], [20, 20, 15, 9]]
    )
    wanted = [[10, 20, 20, 50], [0, 0, 10, 10], [150, 30, 160, 120], [150, 10, 160, 30], [20, 20, 30, 30]]
    assert to_corners(clip_boxes(boxes, 160, 120, 10)).tolist() == wanted


def test_corners_are_expectations():
    head = CornerHead(16)
    logits = torch.full((1, 1, 4, 4), -1e4)
    logits[0, 0, 2, 1] = logits[0, 0, 2, 3] = 0.0
    assert head._expect(logits).tolist() == [[32, 32]]  # x between 16 and 48, y 32
    boxes = head.eval()(torch.randn(2, 16), torch.randn(2, 25, 16))
    assert boxes.shape == (2, 4)
    assert bool((boxes >= 0).all() & (boxes <= 64).all())


def test_the_network_sees_the_padding(frames):
    """Tokens outside of the picture change nothing; positions count inside of the picture."""
    model = prepare(untrained())
    padding = torch.zeros(1, 160, 160, dtype=torch.bool)
    padding[:, :, :48] = True
    crops = torch.rand(1, 3, 160, 160) * 255
    with model.inference():
        tokens = model.embed(crops, padding)
        assert tokens.padding.view(10, 10)[0].tolist() == [True] * 3 + [False] * 7
        templates = model.embed(torch.rand(1, 3, 64, 64) * 255, torch.zeros(1, 64, 64, dtype=torch.bool))
        plain = model.transformer(Tokens.cat([templates, tokens], 1))[0]
        tokens.values[tokens.padding] = 1e3
        assert torch.allclose(model.transformer(Tokens.cat([templates, tokens], 1))[0], plain, atol=1e-5)
        tokens.padding[:] = False
        assert not torch.allclose(model.transformer(Tokens.cat([templates, tokens], 1))[0], plain, atol=1e-2)


# Following


def test_one_result_per_frame_and_the_prompt_first(model, frames):
    results = list(model.stream(Video.from_frames(frames, prompt=[40, 30, 80, 70])))
    assert len(results) == len(frames)
    assert results[0].boxes.tolist() == [[40, 30, 80, 70]]
    assert results[0].scores.tolist() == [1]
    for result in results[1:]:
        assert len(result) == 1 and result.ids.tolist() == [0]
        assert torch.isfinite(result.boxes).all()
        if isinstance(model, STARKST1):
            assert result.scores.tolist() == [-1] and result.states.tolist() == [TrackState.CONFIRMED]
        else:
            lost = result.scores[0] < model.lost_threshold
            assert result.states.tolist() == [TrackState.LOST if lost else TrackState.CONFIRMED]


def test_many_objects_and_videos_at_once_equal_one_by_one(model, frames):
    prompts = [[40, 30, 80, 70], [10, 60, 50, 110], [90, 20, 150, 90]]
    alone = [list(model.stream(Video.from_frames(frames, prompt=prompt))) for prompt in prompts]
    together = list(model.stream(Video.from_frames(frames, prompt=torch.tensor(prompts, dtype=torch.float32))))
    for step, result in enumerate(together):
        assert torch.allclose(result.boxes, torch.cat([each[step].boxes for each in alone]), atol=2e-3)
        assert torch.allclose(result.scores, torch.cat([each[step].scores for each in alone]), atol=1e-4)
    videos = [Video.from_frames(frames, prompt=prompt) for prompt in prompts[:2]]
    with model.inference():
        states = [model.init_state(video) for video in videos]
        model.step(videos[0].frame(0), states[0])  # the second video begins a step later
        for step in range(len(frames) - 1):
            pair = model.step_batch([videos[0].frame(step + 1), videos[1].frame(step)], states)
            assert torch.allclose(pair[0].boxes, alone[0][step + 1].boxes, atol=2e-3)
            assert torch.allclose(pair[1].boxes, alone[1][step].boxes, atol=2e-3)


def test_the_network_is_called_in_parts(frames):
    prompts = torch.tensor([[40.0, 30, 80, 70], [10, 60, 50, 110], [90, 20, 150, 90]])
    video = Video.from_frames(frames[:3], prompt=prompts)
    whole, parts = (list(prepare(untrained(max_batch=most)).stream(video)) for most in (16, 2))
    for one, other in zip(whole, parts):
        assert torch.allclose(one.boxes, other.boxes, atol=2e-3)


def test_ids_and_labels_of_the_prompt_are_kept(model, frames):
    prompt = Instances(torch.tensor([[40.0, 30, 80, 70]]), labels=torch.tensor([3]), ids=torch.tensor([17]))
    last = list(model.stream(Video.from_frames(frames, prompt=prompt)))[-1]
    assert last.ids.tolist() == [17] and last.labels.tolist() == [3]


def test_the_state_does_not_grow_and_the_first_templates_stay(model, frames):
    with model.inference():
        state = model.init_state(Video.from_frames(frames, prompt=[40, 30, 80, 70]))
        sizes, first = [], None
        for index in range(25):
            model.step(Frame.from_array(frames[index % 6]), state)
            sizes.append(sum(tensor.numel() for tensor in tensors(state)))
            values = state.targets.templates.values
            first = values[:, :16].clone() if first is None else first
            assert torch.equal(values[:, :16], first)
    assert len(set(sizes)) == 1


class Sure(torch.nn.Module):
    """Scores that are given, one of each object."""

    def __init__(self, scores):
        super().__init__()
        self.logits = torch.logit(torch.tensor(scores))

    def forward(self, query):
        return self.logits


def test_templates_are_renewed_where_the_score_is_high(frames):
    model = prepare(untrained("tiny_stark_st2", update_intervals=(2, 3)))
    model.score_head = Sure([0.9, 0.5])
    prompts = torch.tensor([[40.0, 30, 80, 70], [90, 20, 150, 90]])
    with model.inference():
        state = model.init_state(Video.from_frames(frames, prompt=prompts))
        model.step(Frame.from_array(frames[0]), state)
        before = state.targets.templates.values.clone().unflatten(1, (3, 16))
        assert torch.equal(before[:, 0], before[:, 1]) and torch.equal(before[:, 0], before[:, 2])
        for age, renewed in ((1, ()), (2, (1,)), (3, (2,)), (4, (1,)), (5, ()), (6, (1, 2))):
            frame = Frame.from_array(frames[age % 6])
            result = model.step(frame, state)
            after = state.targets.templates.values.clone().unflatten(1, (3, 16))
            assert torch.equal(after[1], before[1])  # a score of 0.5 is not above the threshold
            changed = tuple(place for place in range(3) if not torch.equal(after[0, place], before[0, place]))
            assert changed == renewed
            if renewed:
                expected = model.embed_templates(frame.image, to_centers(result.boxes[:1])).values[0]
                assert torch.allclose(after[0, renewed[0]], expected, atol=1e-5)
            before = after


def test_half_precision_stays_close(frames):
    """To a few of the search region's 200 pixels: an untrained network's maps are flat, and so sensitive."""
    video = Video.from_frames(frames[:2], prompt=[40, 30, 80, 70])
    one, other = (
        list(prepare(untrained("tiny_stark_st2"), precision=precision).stream(video))[-1]
        for precision in ("bf16", "fp32")
    )
    assert one.boxes.dtype == one.scores.dtype == torch.float32
    assert torch.allclose(one.boxes, other.boxes, atol=8)
    assert torch.allclose(one.scores, other.scores, atol=0.02)


def test_no_finite_box_leaves_the_last_one_and_calls_it_lost(frames):
    for name in ("tiny_stark_st1", "tiny_stark_st2"):
        model = prepare(untrained(name))
        with torch.no_grad():
            model.box_head.top_left[-1].bias.fill_(torch.nan)
        result = list(model.stream(Video.from_frames(frames[:3], prompt=[40, 30, 80, 70])))[-1]
        assert result.boxes.tolist() == [[40, 30, 80, 70]]
        assert result.scores.tolist() == [0] and result.states.tolist() == [TrackState.LOST]


# Bad input


def test_no_prompt(model, frames):
    with pytest.raises(ValueError, match="needs a prompt"):
        list(model.stream(Video.from_frames(frames)))
    with pytest.raises(ValueError, match="needs a prompt"):
        open_session(model)


def test_prompt_outside_of_the_picture_changes_nothing(model, frames):
    with pytest.raises(ValueError, match=r"outside of frame 0, 160x120"):
        list(model.stream(Video.from_frames(frames, prompt=[200, 10, 240, 50])))
    good = model.init_state(Video.from_frames(frames, prompt=[40, 30, 80, 70]))
    bad = model.init_state(Video.from_frames(frames, prompt=[200, 10, 240, 50]))
    with model.inference(), pytest.raises(ValueError, match="outside of"):
        model.step_batch([Frame.from_array(frames[0])] * 2, [good, bad])
    assert good.targets is None


def test_frames_that_are_no_pictures(model, frames):
    session = open_session(model, prompt=[40, 30, 80, 70])
    session.update(frames[0])
    with pytest.raises(ValueError, match=r"session, frame 7: expected an RGB tensor \(3, H, W\)"):
        session.update(Frame(torch.zeros(120, 160, 3, dtype=torch.uint8), index=7))


@pytest.mark.parametrize("prompt", [[150, 100, 170, 130], [159.5, 100, 170, 130], [-500, -400, 700, 600], [5, 5, 6, 6]])
def test_object_at_the_border_and_frames_that_change_size(model, frames, prompt):
    mixed = [frames[0], frames[1][:60, :80], np.zeros((200, 300, 3), np.uint8), frames[2], frames[3][:1, :1]]
    session = open_session(model, prompt=prompt)
    for frame, result in [(frame, session.update(frame)) for frame in mixed][1:-1]:
        x1, y1, x2, y2 = result.boxes[0].tolist()
        assert 0 <= x1 <= frame.shape[1] - 10 and 10 <= x2 <= frame.shape[1] and x2 - x1 >= 9.99
        assert 0 <= y1 <= frame.shape[0] - 10 and 10 <= y2 <= frame.shape[0] and y2 - y1 >= 9.99
    assert torch.isfinite(session.update(frames[4]).boxes).all()


def test_settings_can_be_given_by_name():
    for name in ("tiny_stark_st1", "tiny_stark_st2"):
        with pytest.warns(UserWarning, match="untrained"):
            model = load(name, search_factor=4.0, max_batch=3)
        assert (model.search_factor, model.max_batch) == (4.0, 3)


def test_update_intervals_out_of_range():
    with pytest.raises(ValueError, match="update_intervals"):
        untrained("tiny_stark_st2", update_intervals=(0,))


# What is published


@pytest.mark.parametrize("data", ["lasot", "trackingnet", "got10k"])
def test_published_numbers(data):
    with torch.device("meta"):
        first, second = (fdl.build(get_config(f"stark_{s}_{data}").model) for s in ("st1_r50_500e", "st2_r50_50e"))
    assert isinstance(first, STARKST1) and isinstance(second, STARKST2)
    for model in (first, second):
        assert (model.template_size, model.template_factor, model.templates) == (128, 2.0, 2)
        assert (model.search_size, model.search_factor, model.margin) == (320, 5.0, 10.0)
        assert (len(model.transformer.encoder), len(model.transformer.decoder)) == (6, 6)
    assert (second.update_intervals, second.update_threshold) == ((200,), 0.5)
