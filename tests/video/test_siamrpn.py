"""SiamRPN++: crops, anchors and choice by hand, streaming, batches, bad input, training."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidperc import open_session
from vidperc.data.datasets import ClipDataset
from vidperc.data.frame_samplers import Pair
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms.siamese import CropRange, SiamesePair, _recolour
from vidperc.engine.experiment import TestData
from vidperc.engine.test import test as score
from vidperc.evaluation.sot_evaluator import SOTEvaluator, one_pass
from vidperc.models import get_config, load, prepare
from vidperc.ops.correlation import depthwise_correlation
from vidperc.ops.crop import sample_windows, window_bounds
from vidperc.structures import Clip, Frame, Instances, TrackState, Video, VideoRecord
from vidperc.video.siamrpn_anchors import (
    AnchorGrid,
    Postprocessor,
    decode,
    encode,
    hanning_window,
    shape_penalty,
    to_centers,
    to_corners,
)
from vidperc.video.siamrpn_training import BACKGROUND, IGNORED, OBJECT, SiameseCriterion
from vidperc.video.siamrpn_tuning import Trial, grid, prompt_box, record, replay, run, tune


def untrained():
    """The tiny model from nothing, which has learnt nothing about where objects are."""
    torch.manual_seed(0)
    return fdl.build(get_config("tiny_siamese_rpn").model)


@pytest.fixture(scope="module")
def model():
    return prepare(untrained())


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    return [np.roll(noise, 2 * k, 1) for k in range(6)]


# Operations


def test_correlation_is_each_images_own():
    features, kernels = torch.randn(3, 4, 9, 8), torch.randn(3, 4, 5, 3)
    out = depthwise_correlation(features, kernels)
    assert out.shape == (3, 4, 5, 6)
    expected = (features[1, 2, 3:8, 4:7] * kernels[1, 2]).sum()
    assert torch.allclose(out[1, 2, 3, 4], expected, atol=1e-5)
    shared = depthwise_correlation(features, kernels[:1])
    assert torch.allclose(shared[2], depthwise_correlation(features[2:], kernels[:1])[0], atol=1e-5)
    with pytest.raises(ValueError, match="larger"):
        depthwise_correlation(kernels, features)


@pytest.mark.parametrize("bounds", [[10, 20, 40, 50], [-15, -8, 30, 37], [60, 50, 110, 99], [-30, -30, 120, 120]])
def test_windows_equal_padding_cutting_and_resizing(bounds):
    image = torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8)
    fill = torch.tensor([10.0, 20.0, 30.0])
    x1, y1, x2, y2 = bounds
    padded = fill[:, None, None].repeat(1, 270, 290)
    padded[:, 100:170, 100:190] = image.float()
    cut = padded[None, :, y1 + 100 : y2 + 101, x1 + 100 : x2 + 101]
    expected = F.interpolate(cut, (33, 33), mode="bilinear", align_corners=False)[0]
    out = sample_windows(image, torch.tensor([bounds], dtype=torch.float32), 33, fill[None])[0]
    assert torch.allclose(out, expected, atol=1e-3)


def test_window_bounds_are_cut_towards_zero_and_short_at_the_far_border():
    bounds = window_bounds(torch.tensor([[50.6, 4.2], [95.0, 50.0]]), torch.tensor([20.0, 11.0]), 100, 100)
    assert bounds.tolist() == [[40, -5, 60, 14], [89, 44, 99, 55]]  # 100.5 -> 100 lies outside -> 99


# Anchors and choice


def test_anchors_by_hand():
    anchors = AnchorGrid().boxes(25, 25)
    assert anchors.shape == (3125, 4)
    middle = anchors[(12 * 25 + 12) * 5 :][:5]
    assert middle.tolist() == [[0, 0, 104, 32], [0, 0, 88, 40], [0, 0, 64, 64], [0, 0, 40, 88], [0, 0, 32, 104]]
    assert anchors[0, :2].tolist() == [-96, -96]
    assert anchors[5, :2].tolist() == [-88, -96]  # along a row first
    window = hanning_window(25, 25, 5).reshape(25, 25, 5)
    assert window[12, 12].tolist() == [1] * 5
    assert window[0].max() < 1e-6
    assert window[6, 12, 0] == pytest.approx(0.5)


def test_codes_there_and_back():
    anchors, boxes = AnchorGrid().boxes(3, 3), torch.rand(45, 4) * 50 + 5
    assert torch.allclose(decode(anchors, encode(anchors, boxes)), boxes, atol=1e-3)
    assert to_corners(torch.tensor([5.0, 6, 4, 2])).tolist() == [3, 5, 7, 7]
    assert to_centers(torch.tensor([3.0, 5, 7, 7])).tolist() == [5, 6, 4, 2]


def test_penalty_by_hand():
    same = torch.tensor([40.0, 20.0])
    assert shape_penalty(same, same, 0.3) == 1
    # twice as large: scale changes by 2, aspect not; turned over: aspect changes by 4, the scale not
    assert shape_penalty(2 * same, same, 0.3) == pytest.approx(math.exp(-0.3))
    assert shape_penalty(same / 2, same, 0.3) == pytest.approx(math.exp(-0.3))
    assert shape_penalty(same.flip(0), same, 0.3) == pytest.approx(math.exp(-0.9))


def test_choice_by_hand():
    anchors = torch.tensor([[0.0, 0, 20, 20], [8, 0, 20, 20]])
    logits = torch.tensor([[[0.0, 1.0], [0.0, 2.0]]])
    boxes, scales = torch.tensor([[50.0, 60, 10, 10]]), torch.tensor([2.0])
    window = torch.tensor([1.0, 0.5])
    codes = torch.zeros(1, 2, 4)
    near, score = Postprocessor(0.1, 0.9, 0.5)(logits, codes, anchors, window, boxes, scales)
    assert near.tolist() == [[50, 60, 10, 10]]
    assert score.item() == pytest.approx(1 / (1 + math.exp(-1)))
    far, _ = Postprocessor(0.1, 0.0, 0.5)(logits, codes, anchors, window, boxes, scales)
    assert far.tolist() == [[54, 60, 10, 10]]  # 8 pixels of the search region are 4 of the picture
    codes[0, 1, 2:] = math.log(2)  # 20 wide and high in the picture, twice the box
    grown, score = Postprocessor(0.1, 0.0, 0.5)(logits, codes, anchors, window, boxes, scales)
    rate = math.exp(-0.1) * score.item() * 0.5
    assert grown[0, 2].item() == pytest.approx(10 + 10 * rate, rel=1e-5)


def test_no_finite_score_leaves_the_box_and_calls_it_lost():
    logits = torch.full((1, 2, 2), torch.nan)
    boxes = torch.tensor([[5.0, 6, 10, 10]])
    anchors = torch.tensor([[0.0, 0, 20, 20], [8, 0, 20, 20]])
    out, score = Postprocessor()(logits, torch.zeros(1, 2, 4), anchors, torch.ones(2), boxes, torch.ones(1))
    assert torch.equal(out, boxes)
    assert score.tolist() == [0]


# Following


def test_one_result_per_frame_and_the_prompt_first(model, frames):
    results = list(model.stream(Video.from_frames(frames, prompt=[40, 30, 80, 70])))
    assert len(results) == len(frames)
    assert results[0].boxes.tolist() == [[40, 30, 80, 70]]
    assert results[0].scores.tolist() == [1]
    for result in results:
        assert len(result) == 1 and result.ids.tolist() == [0]
        assert result.states[0] in (TrackState.CONFIRMED, TrackState.LOST)
        assert torch.isfinite(result.boxes).all()


def test_many_objects_and_videos_at_once_equal_one_by_one(model, frames):
    prompts = [[40, 30, 80, 70], [10, 60, 50, 110], [90, 20, 150, 90]]
    alone = [list(model.stream(Video.from_frames(frames, prompt=prompt))) for prompt in prompts]
    together = list(model.stream(Video.from_frames(frames, prompt=torch.tensor(prompts, dtype=torch.float32))))
    for step, result in enumerate(together):
        expected = torch.cat([each[step].boxes for each in alone])
        assert torch.allclose(result.boxes, expected, atol=2e-3)
    videos = [Video.from_frames(frames, prompt=prompt) for prompt in prompts[:2]]
    with model.inference():
        states = [model.init_state(video) for video in videos]
        model.step(videos[0].frame(0), states[0])  # the second video begins a step later
        for step in range(len(frames) - 1):
            pair = model.step_batch([videos[0].frame(step + 1), videos[1].frame(step)], states)
            assert torch.allclose(pair[0].boxes, alone[0][step + 1].boxes, atol=2e-3)
            assert torch.allclose(pair[1].boxes, alone[1][step].boxes, atol=2e-3)


def test_session_equals_stream(model, frames):
    expected = list(model.stream(Video.from_frames(frames, prompt=[40, 30, 80, 70])))
    session = open_session(model, prompt=[40, 30, 80, 70])
    for frame, result in zip(frames, expected):
        assert torch.equal(session.update(frame).boxes, result.boxes)


def test_ids_and_labels_of_the_prompt_are_kept(model, frames):
    prompt = Instances(torch.tensor([[40.0, 30, 80, 70]]), labels=torch.tensor([3]), ids=torch.tensor([17]))
    last = list(model.stream(Video.from_frames(frames, prompt=prompt)))[-1]
    assert last.ids.tolist() == [17] and last.labels.tolist() == [3]


def test_half_precision_stays_close(frames):
    torch.manual_seed(0)
    model = load("tiny_siamese_rpn", precision="bf16")
    results = list(model.stream(Video.from_frames(frames[:3], prompt=[40, 30, 80, 70])))
    assert results[-1].boxes.dtype == torch.float32
    assert torch.isfinite(results[-1].boxes).all()


# Bad input


def test_no_prompt(model, frames):
    with pytest.raises(ValueError, match="needs a prompt"):
        list(model.stream(Video.from_frames(frames)))
    with pytest.raises(ValueError, match="needs a prompt"):
        open_session(model)


@pytest.mark.parametrize("box", [[200, 10, 240, 50], [-50, 10, 0, 50], [10, 130, 50, 150]])
def test_prompt_outside_of_the_picture(model, frames, box):
    with pytest.raises(ValueError, match=r"outside of frame 0, 160x120"):
        list(model.stream(Video.from_frames(frames, prompt=box)))


def test_prompt_too_large_for_any_picture(model, frames):
    with pytest.raises(ValueError, match=r"box 0 .* is too large"):
        list(model.stream(Video.from_frames(frames, prompt=[-1e9, -1e9, 1e9, 1e9])))


@pytest.mark.parametrize(
    "box", [[10, 10, 10, 50], [30, 10, 20, 50], [float("nan"), 0, 5, 5], "box", ["1", "2", "3", "4"], [1, 2, 3], []]
)
def test_prompt_without_an_area(frames, box):
    with pytest.raises(ValueError, match=r"^street\.mp4, first frame: prompt"):
        Video.from_frames(frames, prompt=box, name="street.mp4")


def test_errors_of_a_prompt_name_video_frame_and_box(model, frames):
    flat = torch.tensor([[10.0, 10, 50, 50], [10, 10, 50, 10]])
    with pytest.raises(ValueError, match=r"street\.mp4, first frame: prompt: box 1 has no area .*50\.0, 10\.0\]"):
        open_session(model, flat, "street.mp4")
    session = open_session(model, flat + torch.tensor([[0.0, 0, 0, 0], [900, 0, 900, 5]]), "street.mp4")
    with pytest.raises(ValueError, match=r"street\.mp4: prompt: box 1 \[910\.0, .*outside of frame 0, 160x120"):
        session.update(frames[0])
    with pytest.raises(ValueError, match=r"^street\.mp4: SiamRPN needs a prompt"):
        open_session(model, name="street.mp4")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            torch.zeros(120, 160, 3, dtype=torch.uint8),
            r"expected an RGB tensor \(3, H, W\), got a tensor \(120, 160, 3\)",
        ),
        (torch.zeros(3, 0, 160), "expected an RGB tensor"),
        (np.zeros((120, 160, 3), np.uint8), "got ndarray"),
        (torch.zeros(3, 120, 160, dtype=torch.int64), "expected uint8 or floats"),
        (torch.full((3, 120, 160), torch.nan), "not finite"),
    ],
)
def test_frames_that_are_no_pictures(model, frames, image, message):
    for seen in (0, 2):
        session = open_session(model, prompt=[40, 30, 80, 70])
        for frame in frames[:seen]:
            session.update(frame)
        with pytest.raises(ValueError, match=f"session, frame 7: .*{message}"):
            session.update(Frame(image, index=7))


@pytest.mark.parametrize(
    "setting", [{"penalty": -1.0}, {"window_influence": 2.0}, {"size_rate": math.nan}, {"penalty": "x"}]
)
def test_settings_out_of_range(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        Postprocessor(**setting)


def test_box_larger_than_the_picture_and_boxes_stay_in_it(model, frames):
    for result in list(model.stream(Video.from_frames(frames, prompt=[-500, -400, 700, 600])))[1:]:
        centers = to_centers(result.boxes)[0]
        assert 0 <= centers[0] <= 160 and 0 <= centers[1] <= 120
        assert centers[2] <= 160 and centers[3] <= 120


def test_object_that_leaves_and_frames_that_change_size(model, frames):
    mixed = [frames[0], frames[1][:60, :80], np.zeros((200, 300, 3), np.uint8), frames[2]]
    session = open_session(model, prompt=[150, 100, 170, 130])
    results = [session.update(frame) for frame in mixed]
    for frame, result in zip(mixed[1:], results[1:]):
        centers = to_centers(result.boxes)[0]
        assert centers[0] <= frame.shape[1] and centers[1] <= frame.shape[0]


def test_redetect_searches_the_whole_frame(frames):
    """With a network that knows only where a bright square is, however far from the last box."""

    class Bright(torch.nn.Module):
        def forward(self, x):
            return [F.avg_pool2d(x[:, :1], 8, 8)]

    class Argmax(torch.nn.Module):
        def embed_template(self, template):
            from vidperc.video.siamrpn_head import TemplateKernels

            return TemplateKernels([torch.zeros(1, 1, 1, 1)], [torch.zeros(1, 1, 1, 1)])

        def forward(self, kernels, search):
            bright = search[0][:, :, 3:28, 3:28] / 255 * 20 - 10
            logits = torch.cat([-bright.expand(-1, 5, -1, -1), bright.expand(-1, 5, -1, -1)], 1)
            return logits, torch.zeros(len(bright), 20, 25, 25)

    model = load("tiny_siamese_rpn")
    model.backbone, model.neck, model.head = Bright(), torch.nn.Identity(), Argmax()
    model.template_size, model.search_size, model.anchors = 127, 255, AnchorGrid()
    start, later = np.zeros((400, 600, 3), np.uint8), np.zeros((400, 600, 3), np.uint8)
    start[20:50, 20:50] = 255
    later[320:350, 520:550] = 255
    video = Video.from_frames([start, later], prompt=[20, 20, 50, 50])
    with model.inference():
        state = model.init_state(video)
        model.step(video.frame(0), state)
        lost = model.step(video.frame(1), state)
    assert lost.states[0] == TrackState.LOST
    found = model.redetect(video.frame(1), state)
    assert found.states[0] == TrackState.CONFIRMED
    assert (to_centers(found.boxes)[0, :2] - torch.tensor([535.0, 335.0])).abs().max() < 12
    with pytest.raises(ValueError, match="object 1 of 1"):
        model.redetect(video.frame(1), state, [1])
    with pytest.raises(ValueError, match="not seen a frame"):
        model.redetect(video.frame(1), model.init_state(video))


# Training


def test_assignment_by_hand():
    anchors = AnchorGrid().boxes(25, 25)
    criterion = SiameseCriterion()
    labels = criterion.assign(anchors, torch.tensor([0.0, 0, 64, 64]))
    # The square anchor in the middle, 4 that are 8 pixels beside it (0.78), 4 diagonally (0.62), 4 at 16 pixels (0.6).
    assert (labels == OBJECT).sum() == 13
    assert labels.reshape(25, 25, 5)[12, 12, 2] == OBJECT
    assert labels.reshape(25, 25, 5)[12, 13, 2] == OBJECT  # 56 * 64 shared: overlap 0.78
    assert (labels == BACKGROUND).sum() == 48  # of 64 samples a quarter is kept for objects
    far = labels.reshape(25, 25, 5)[12, 15, 2]  # 40 of 64 shared: overlap 0.45, neither
    assert far == IGNORED
    other = criterion.assign_distractor(anchors, torch.tensor([16.0, 0, 64, 64]))
    assert (other == BACKGROUND).sum() == 16 and (other == OBJECT).sum() == 0
    places = (other.reshape(25, 25, 5) == BACKGROUND).any(2).nonzero()
    assert (places - torch.tensor([12, 14])).abs().max() <= 3


def test_loss_of_a_perfect_answer_is_nothing():
    anchors = AnchorGrid().boxes(25, 25)
    box = torch.tensor([[0.0, 0, 64, 64]])
    criterion = SiameseCriterion()
    labels = criterion.assign(anchors, box[0])
    logits = torch.full((1, len(anchors), 2), -20.0)
    everywhere = (to_corners(anchors) - to_corners(box)).abs().sum(1) <= 40
    logits[0, :, 0], logits[0, everywhere, 0], logits[0, everywhere, 1] = 20, -20, 20
    logits[0, labels == OBJECT] = torch.tensor([-20.0, 20])
    losses = criterion(logits, encode(anchors, box.expand(len(anchors), 4))[None], anchors, box, torch.tensor([True]))
    assert losses["loss_bbox"] == 0
    shifted = encode(anchors, box.expand(len(anchors), 4))[None] + 0.25
    losses = criterion(logits, shifted, anchors, box, torch.tensor([True]))
    assert losses["loss_bbox"].item() == pytest.approx(1.2 * 4 * 0.25, rel=1e-4)


STILL = CropRange(63, 4, 0.05, colours=((0.0,) * 3,) * 3)


def pairs(count, **options):
    records = synthetic_videos("train", count=2, length=12, flavour="sot")
    dataset = ClipDataset(records, Pair(5), [SiamesePair(**options)])
    return [dataset[number % len(dataset), number] for number in range(count)]


def test_pairs_hold_the_object_where_the_box_says():
    """A red rectangle on grey: what is red in the crop is the box."""
    picture = np.full((120, 160, 3), 90, np.uint8)
    picture[40:80, 60:90] = (255, 0, 0)
    frame = Frame.from_array(picture)
    frame.instances = Instances(torch.tensor([[60.0, 40, 90, 80]]), ids=torch.tensor([4]))
    clean = {"colours": ((0.0,) * 3,) * 3}
    transform = SiamesePair(CropRange(127, 4, 0.05, **clean), CropRange(255, 64, 0.18, **clean), positive=1.0)
    offsets = []
    for seed in range(8):
        clip = transform(Clip([frame, frame]), np.random.default_rng(seed))
        for crop in clip.frames:
            red = (crop.array[..., 0] > 172).nonzero()
            seen = [red[1].min(), red[0].min(), red[1].max() + 1, red[0].max() + 1]
            assert np.abs(np.array(seen) - crop.instances.boxes[0].numpy()).max() <= 2
        assert [crop.size for crop in clip.frames] == [(127, 127), (255, 255)]
        offsets.append(to_centers(clip.frames[1].instances.boxes)[0, :2] - 127.5)
    assert torch.stack(offsets).abs().max() > 30  # not always in the middle
    assert torch.stack(offsets).abs().max() <= 64 / (1 - 0.18) + 0.01


def test_a_pair_is_grey_as_a_whole():
    shown = [
        [(frame.array.std(2).max() == 0) for frame in clip.frames]
        for seed in (0.0, 1.0)
        for clip in pairs(2, template=STILL, search=STILL, positive=1.0, grey=seed)
    ]
    assert shown == [[False, False]] * 2 + [[True, True]] * 2


def test_colours_shift_together_as_published():
    """Standard deviations by channel are the lengths of the rows: 1.2, 2.5 and 8.2 for red, green and blue."""
    grey = np.full((8, 8, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    offsets = np.stack([_recolour(grey, CropRange(127, 4, 0.05), rng)[0, 0] for _ in range(4000)]) - 128.0
    assert offsets.std(0) == pytest.approx([1.204, 2.520, 8.235], rel=0.05)
    assert np.abs(offsets.mean(0)).max() < 0.4
    alike = _recolour(grey, CropRange(127, 4, 0.05), rng)
    assert (alike == alike[0, 0]).all()


def test_blur_is_a_cross():
    picture = np.zeros((21, 21, 3), np.uint8)
    picture[10, 10] = 250
    still = ((0.0,) * 3,) * 3
    drawn = CropRange(127, 4, 0.05, blur=1.0, blur_sides=(5, 5), colours=still)
    blurred = _recolour(picture, drawn, np.random.default_rng(0))[..., 0].astype(float)
    ys, xs = blurred.nonzero()
    assert {*zip(ys, xs)} <= {(10, x) for x in range(8, 13)} | {(y, 10) for y in range(8, 13)}
    assert blurred[10, 10] == 50  # one fifth, however it is shared between the two directions
    assert blurred[8, 10] + blurred[10, 8] == pytest.approx(50, abs=1)


def test_losses_are_means_over_pairs():
    """A pair with 13 objects among its anchors, and one of different objects: its 16 count as much as the other's."""
    anchors, boxes = AnchorGrid().boxes(25, 25), torch.tensor([[0.0, 0, 64, 64], [0.0, 0, 64, 64]])
    logits, codes = torch.zeros(2, len(anchors), 2), encode(anchors, boxes[:1]).expand(2, -1, -1) + 0.5
    logits[1, :, 0] = 20
    losses = SiameseCriterion()(logits, codes, anchors, boxes, torch.tensor([True, False]))
    assert losses["loss_cls"].item() == pytest.approx((math.log(2) / 2 + math.log(2) / 2 + 0) / 2, rel=1e-5)
    assert losses["loss_bbox"].item() == pytest.approx(1.2 * 4 * 0.5 / 2, rel=1e-4)


def test_an_object_that_has_left_is_paired_with_itself():
    here, gone = (Frame.from_array(np.full((90, 90, 3), level, np.uint8)) for level in (200, 20))
    here.instances = Instances(torch.tensor([[30.0, 30, 60, 60]]), ids=torch.tensor([1]))
    gone.instances = Instances(torch.tensor([[30.0, 30, 60, 60]]), ids=torch.tensor([2]))
    transform = SiamesePair(STILL, STILL, positive=1.0)
    clip = transform(Clip([here, gone]), np.random.default_rng(0))
    assert [int(frame.array.min()) for frame in clip.frames] == [200, 200]
    assert [frame.instances.ids.tolist() for frame in clip.frames] == [[0], [0]]
    here.instances = None
    with pytest.raises(ValueError, match="no object"):
        transform(Clip([here, gone]), np.random.default_rng(0))


def test_negative_pairs_have_another_id():
    ids = [[int(frame.instances.ids[0]) for frame in clip.frames] for clip in pairs(6, positive=0.0)]
    assert ids == [[0, 1]] * 6
    assert [[int(f.instances.ids[0]) for f in clip.frames] for clip in pairs(3, positive=1.0)] == [[0, 0]] * 3


def plain_record(name, level):
    """One picture of one grey, with an object."""
    frame = Frame.from_array(np.full((90, 90, 3), level, np.uint8))
    objects = Instances(torch.tensor([[30.0, 30, 60, 60]]))
    return VideoRecord(name, length=1, instances={0: objects}, load=lambda _: frame)


def test_both_objects_of_a_pair_are_of_one_data_set():
    from vidperc.configs.common.siamese import mixed_pairs

    dark, bright = ([plain_record(str(k), level + k) for k in range(20)] for level in (20, 200))
    data = mixed_pairs([dark, bright], (0.5, 0.5), 40, [SiamesePair(STILL, STILL, positive=0.0)])
    shown = [[int(f.array.max()) for f in data.dataset[number, number].frames] for number in range(40)]
    assert [template for template, _ in shown] == [*range(20, 40), *range(200, 220)]
    assert all((template < 100) == (search < 100) for template, search in shown)
    assert len({search for _, search in shown}) > 15  # others, not always the same


def test_the_other_object_is_drawn_by_object_not_by_frame():
    """One is seen in 1 frame, the other in 9: each is every second one."""
    from vidperc.data.objects import ObjectClips

    objects = Instances(torch.tensor([[30.0, 30, 60, 60]]), ids=torch.tensor([0]))
    records = [
        VideoRecord(str(length), length=length, instances=dict.fromkeys(range(length), objects)) for length in (1, 9)
    ]
    data, rng = ObjectClips(records), np.random.default_rng(0)
    drawn = np.bincount([data.draw(rng) for _ in range(4000)], minlength=10) / 4000
    assert drawn == pytest.approx([0.5, *[0.5 / 9] * 9], abs=0.03)


def test_thirty_steps_halve_the_loss_and_every_parameter_learns():
    model = untrained().train()
    clips = pairs(4, positive=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for step in range(30):
        loss = sum(model(clips).values())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
            assert not without
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-3:]) < 0.5 * history[0]


def test_whole_frames_are_cropped_about_their_box():
    model = untrained().train()
    video = synthetic_videos("train", count=1, length=3, flavour="sot")[0]
    frames = [video.load(index) for index in (0, 2)]
    for frame in frames:
        frame.instances = frame.instances[0]
    assert all(torch.isfinite(value) for value in model([Clip(frames)] * 2).values())
    with pytest.raises(ValueError, match="template and a search"):
        model([Clip(frames[:1])])
    frames[1].instances = None
    with pytest.raises(ValueError, match="expected one box"):
        model([Clip(frames)])


# Tuning


def test_replay_with_the_network_where_it_looked_equals_a_run(model, frames):
    video = Video.from_frames(frames, prompt=[40, 30, 80, 70])
    boxes = run(model, video)
    recorded = record(model, video, boxes)  # looks where the run looked
    other = Postprocessor(0.4, 0.9, 0.1)
    again = replay(recorded, prompt_box(video), [other, model.postprocessor], model.min_side)
    assert np.abs(again[1] - boxes).max() < 0.05
    assert np.array_equal(again[0], replay(recorded, prompt_box(video), [other], model.min_side)[0])
    assert np.abs(again[0] - again[1]).max() > 0.05


def test_tuning_confirms_the_best_and_leaves_the_model_as_it_was(model, frames):
    video = Video.from_frames(frames, prompt=[40, 30, 80, 70])
    truth = np.tile(np.array([40.0, 30, 80, 70]), (len(frames), 1))
    before = model.postprocessor

    def score(_, boxes):
        return -float(np.abs(boxes - truth).mean())

    trials = tune(model, [video], [truth], score, grid((0.04,), (0.1, 0.4), (0.1, 0.5)), confirm=2)
    assert model.postprocessor == before
    assert isinstance(trials[0], Trial) and len(trials) == 5
    measured = [trial.measured for trial in trials if trial.measured is not None]
    assert measured == sorted(measured, reverse=True) and 2 <= len(measured) <= 3
    own = next(trial for trial in trials if trial.setting == before)
    assert own.measured is not None and trials[0].measured >= own.measured


@pytest.mark.parametrize(
    ("benchmark", "numbers", "batch", "grey"),
    [
        ("lasot", (0.05, 0.42, 0.38), 8 * 28, 0.0),
        ("trackingnet", (0.05, 0.42, 0.38), 8 * 28, 0.0),
        ("uav123", (0.1, 0.1, 0.5), 8 * 28, 0.0),
        ("otb100", (0.4, 0.5, 0.4), 8 * 16, 0.2),
        ("vot2018", (0.04, 0.44, 0.33), 8 * 28, 0.0),
    ],
)
def test_published_numbers(benchmark, numbers, batch, grey):
    for name in (f"siamese_rpn_r50_20e_{benchmark}", f"siamese_rpn_r50_fp16_20e_{benchmark}"):
        config = get_config(name)
        assert fdl.build(config.model.postprocessor) == Postprocessor(*numbers)
        assert config.schedule.batch_size == batch
        assert getattr(config.train_data, "grey", 0.0) == grey


def test_published_schedule_and_mix():
    from vidperc.configs.common.siamese import RiseAndFall, mixed_pairs

    from vidperc.data.objects import frame_weights

    curve = RiseAndFall()
    rates = [curve((epoch + 0.5) / 20) for epoch in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.27595, 0.38073, 0.52531, 0.72478], abs=1e-5)
    assert rates[5] == 1 and rates[19] == pytest.approx(0.1)
    falls = np.diff(np.log(rates[5:]))
    assert falls == pytest.approx(falls[0])
    first, second = (
        synthetic_videos(split, 1, length, (160, 256), "sot") for split, length in (("train", 4), ("val", 8))
    )
    data = mixed_pairs([first, second], (0.25, 0.75), 100, [])
    assert data.repeats == pytest.approx([25 / 4] * 4 + [75 / 8] * 8)
    box = torch.tensor([[0.0, 0, 20, 20]])
    first, both = (Instances(box.repeat(len(ids), 1), ids=torch.tensor(ids)) for ids in ([1], [1, 2]))
    long = VideoRecord("long", length=3, instances={0: first, 1: both, 2: first})
    three = Instances(box.repeat(3, 1), ignored=torch.tensor([False, True, False]))
    still = VideoRecord("still", length=1, instances={0: three})
    assert frame_weights(long) == pytest.approx({0: 1 / 3, 1: 4 / 3, 2: 1 / 3})
    assert frame_weights(still) == {0: 2.0}
    assert mixed_pairs([[long], [still]], (0.4, 0.6), 100, []).repeats == pytest.approx([20 / 3, 80 / 3, 20 / 3, 60])
    schedule = fdl.build(get_config("siamese_rpn_r50_fp16_20e_vot2018").schedule)
    assert schedule.precision == "fp16" and schedule.batch_size == 224
    model = fdl.build(get_config("siamese_rpn_r50_20e_lasot").model).train()
    groups = schedule.optimizer.build(model).param_groups
    late = {id(p) for group in groups if group["start"] == 10 for p in group["params"]}
    assert {(group["lr"], group["start"]) for group in groups} == {(0.005, 0), (0.0005, 10)}
    names = {name.split(".")[1] for name, p in model.named_parameters() if id(p) in late}
    assert names == {"layer2", "layer3", "layer4"}
    assert not any(module.training for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))


# The checkpoint that ships


def test_the_shipped_checkpoint_follows_a_synthetic_object():
    model = load("tiny_siamese_rpn")
    data = TestData(synthetic_videos("test", 2, 20, (160, 256), "sot"), SOTEvaluator, "success", one_pass)
    assert score(model, data)["success"] >= 0.6
