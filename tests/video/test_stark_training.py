"""Training of STARK: which frames make a clip, crops by hand, losses by hand, both stages learn."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import fiddle as fdl
import numpy as np
import pytest
import torch

from vidperc.data.problems import DataError
from vidperc.data.readers.sot_files import sot_record
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms.stark import StarkCrops, mirrored
from vidperc.data.trident import TridentClips, central_box, draw_trident, object_tracks
from vidperc.models import get_config
from vidperc.ops.padded_crop import PaddedCrop
from vidperc.structures import Clip, Frame, Instances, VideoRecord
from vidperc.video.stark_training import BoxCriterion, ScoreCriterion, training_batch

# Frames of a clip


def test_the_second_template_is_near_the_search_frame_on_the_side_of_the_first():
    rng = np.random.default_rng(0)
    seen = np.setdiff1d(np.arange(1000), np.arange(300, 500))
    draws = np.array([draw_trident(seen, 50, rng) for _ in range(2000)])
    template, near, search = draws.T
    assert np.isin(draws, seen).all()
    late = template >= search
    assert ((near - search)[late] >= 0).all() and ((near - search)[late] < 50).all()
    assert ((search - near)[~late] > 0).all() and ((search - near)[~late] <= 50).all()
    assert (template < 100).any() and (template > 900).any()  # the first is anywhere
    assert 0.4 < late.mean() < 0.6


def test_frames_alone_have_nothing_near():
    with pytest.raises(DataError, match="within 10 frames"):
        draw_trident(np.array([0]), 10, FirstThenLast())


class FirstThenLast:
    """Draws that always have the template before the search frame."""

    def choice(self, frames, count=1):
        return np.array([0, 500])


def video(name, level, length=30, hidden=(), size=(80, 100), ids=True):
    """Frames of one grey with one object; where it is hidden its box is ignored."""
    instances = {
        index: Instances(
            torch.tensor([[30.0, 20, 60, 50]]),
            ids=torch.tensor([7]) if ids else None,
            ignored=torch.tensor([index in hidden]),
        )
        for index in range(length)
    }
    picture = np.full((*size, 3), level, np.uint8)

    def load(index):
        frame = Frame.from_array(picture, index)
        frame.instances = instances[index]
        return frame

    return VideoRecord(name, length=length, instances=instances, load=load)


def test_only_visible_frames_and_each_object_has_one_number():
    records = [video("a", 20, hidden=range(5, 12)), video("short", 50, length=19), video("still", 90, length=1)]
    records.append(video("hidden", 50, hidden=range(24)))  # seen in six frames, twice a clip's
    clips = TridentClips(records, gap=5)
    assert len(clips) == 2
    for seed in range(40):
        clip = clips.raw_clip(0, np.random.default_rng(seed))
        assert (len(clip), clip.key, clip.video) == (3, 2, "a")
        assert not {frame.index for frame in clip.frames} & set(range(5, 12))
        assert [frame.instances.ids.tolist() for frame in clip.frames] == [[0]] * 3
        assert abs(clip[1].index - clip[2].index) <= 5
    assert [frame.index for frame in clips[1, 3].frames] == [0, 0, 0]


def test_single_object_benchmarks_tell_their_visible_frames():
    boxes = np.tile([10.0, 20, 30, 40], (30, 1))
    boxes[4] = np.nan
    record = sot_record("a", [Path(f"{k}.jpg") for k in range(30)], boxes, absent=np.arange(30) % 3 == 2)
    (track,) = object_tracks(5, record)
    assert (track.record, track.key) == (5, 0)
    assert track.frames.tolist() == [k for k in range(30) if k != 4 and k % 3 != 2]


def test_objects_of_a_picture_are_told_apart_by_row():
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 20, 40, 40], [50, 50, 60, 60]])
    objects = Instances(boxes, ignored=torch.tensor([False, True, False]))
    frame = Frame(torch.zeros(3, 80, 100, dtype=torch.uint8), instances=objects)
    record = VideoRecord("still", length=1, instances={0: objects}, load=lambda _: frame)
    assert [(track.key, track.frames.tolist()) for track in object_tracks(0, record)] == [(0, [0]), (2, [0])]
    clip = TridentClips([record])[1, 0]
    assert clip[2].instances.boxes.tolist() == [[50, 50, 60, 60]]


def test_negative_clips_are_of_the_same_video_where_it_has_frames_without_the_object():
    clips = TridentClips([video("a", 20, hidden=range(5, 12)), video("b", 60), video("c", 90)], positive=0.0)
    for seed in range(10):
        same, other = clips[0, seed], clips[1, seed]
        assert same[2].index in range(5, 12) and int(same[2].image[0, 0, 0]) == 20
        assert same[2].instances.boxes.tolist() == [[43, 35, 55, 45]]  # 100/8 x 80/8, in the middle
        assert int(other[0].image[0, 0, 0]) == 60 and int(other[2].image[0, 0, 0]) in (20, 90)
        assert other[2].instances.boxes.tolist() == [[30, 20, 60, 50]]
        for clip in (same, other):
            assert [int(frame.instances.ids) for frame in clip.frames] == [0, 0, 1]
    half = TridentClips([video("a", 20), video("b", 60)], positive=0.5)
    shown = Counter(int(half[0, seed][2].instances.ids) for seed in range(200))
    assert 70 < shown[0] < 130
    with pytest.raises(DataError, match="no other object"):
        TridentClips([video("a", 20)], positive=0.0).raw_clip(0, np.random.default_rng(0))


def test_the_central_box_is_in_whole_pixels():
    assert central_box(Frame(torch.zeros(3, 3, 5))).tolist() == [[2, 1, 3, 2]]


def test_no_objects():
    with pytest.raises(DataError, match="no object to train on in 1 videos"):
        TridentClips([video("short", 50, length=19)])


# Crops


def still_crops(**changes):
    """Nothing is drawn."""
    return StarkCrops(64, 160, **{"shift": 0.0, "scale": 0.0, "grey": 0.0, "brightness": 0.0, "flip": 0.0, **changes})


def gradient(index=0):
    """Red is x, green is y; a box of 30x20 about (50, 40)."""
    y, x = np.mgrid[:120, :160].astype(np.uint8)
    frame = Frame.from_array(np.stack([x, y, np.full_like(x, 200)], 2), index)
    frame.instances = Instances(torch.tensor([[35.0, 30, 65, 50]]), ids=torch.tensor([0]))
    return frame


def test_crops_by_hand():
    clip = still_crops()(Clip([gradient(k) for k in range(3)], key=2), np.random.default_rng(0))
    template, _, search = clip.frames
    side = math.ceil(math.sqrt(600) * 2)  # 49
    assert template.size == (64, 64) and search.size == (160, 160)
    assert not template.padding.any()
    # the middle of the crop: x from round(50 - 24.5) = 26 (to even) on, 49 wide
    assert template.image[0, 32, 31:33].mean().item() == pytest.approx(26 + 24, abs=0.02)
    scale = 64 / side
    wanted = [31.5 - 15 * scale, 31.5 - 10 * scale, 31.5 + 15 * scale, 31.5 + 10 * scale]
    assert template.instances.boxes[0].tolist() == pytest.approx(wanted, abs=1e-4)
    # 123 wide: from 50 - 61.5 = -12 (to even) to 110, y from 40 - 61.5 = -22 to 100
    assert search.padding[:, 0].all() and search.padding[0].all()
    assert not search.padding[80:, 80:].any()
    assert bool((search.image[:, search.padding & (search.image[2] == 0)] == 0).all())


def test_the_search_region_moves_and_its_box_with_it():
    rng = np.random.default_rng(0)
    crops = still_crops(shift=4.5, scale=0.5)
    middles, sides = [], []
    for _ in range(150):
        frames = crops(Clip([gradient(k) for k in range(3)], key=2), rng).frames
        x1, y1, x2, y2 = frames[2].instances.boxes[0].tolist()
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        middles.append((x, y))
        sides.append((x2 - x1, y2 - y1))
        if 8 < x < 152 and 8 < y < 152:  # what is seen there is what was at (50, 40): red is x, green y
            seen = frames[2].image[:2, round(y), round(x)].tolist()
            assert seen == pytest.approx([50, 40], abs=2.5)
        assert frames[0].instances.boxes[0].tolist() == frames[1].instances.boxes[0].tolist()
    middles, sides = np.array(middles), np.array(sides)
    assert np.abs(middles - 79.5).max() <= 2.25 / 5 * 160
    assert np.abs(middles - 79.5).max() > 0.9 * 2.25 / 5 * 160
    ratio = np.log(sides[:, 0] / sides[:, 1])
    assert ratio.std() == pytest.approx(0, abs=1e-4)  # the crop is square: both are scaled alike
    assert np.log(sides[:, 0]).std() == pytest.approx(0.5 / math.sqrt(2), rel=0.15)


def test_mirror_grey_and_light():
    frame = gradient()
    crop = PaddedCrop(frame.image, instances=frame.instances, padding=torch.zeros(120, 160, dtype=torch.bool))
    crop.padding[:, :10] = True
    turned = mirrored(crop)
    assert turned.instances.boxes.tolist() == [[95, 30, 125, 50]]
    assert turned.padding[:, 150:].all() and not turned.padding[:, :150].any()
    assert torch.equal(turned.image[0, 0], frame.image[0, 0].flip(0))
    clip = Clip([gradient(k) for k in range(3)], key=2)
    grey = still_crops(grey=1.0)(clip, np.random.default_rng(0))
    assert all(torch.equal(f.image[0], f.image[2]) for f in grey.frames)
    plain = still_crops()(clip, np.random.default_rng(0))
    lit = still_crops(brightness=0.2)(clip, np.random.default_rng(0))
    factors = [float(a.image[2, 32, 32] / b.image[2, 32, 32]) for a, b in zip(lit.frames, plain.frames)]
    assert all(0.8 <= factor <= 1.2 for factor in factors) and len(set(factors)) == 3  # each its own


def test_a_crop_outside_of_the_picture_is_an_error():
    frame = gradient()
    frame.instances = Instances(torch.tensor([[400.0, 30, 420, 50]]), ids=torch.tensor([0]))
    with pytest.raises(ValueError, match="outside of the picture"):
        still_crops()(Clip([frame] * 3, key=2), np.random.default_rng(0))
    frame.instances = None
    with pytest.raises(ValueError, match="expected one box"):
        still_crops()(Clip([frame] * 3, key=2), np.random.default_rng(0))


# Losses


def test_box_losses_by_hand():
    boxes = torch.tensor([[0.0, 0, 0.5, 0.5], [0.2, 0.2, 0.4, 0.4]])
    truth = torch.tensor([[0.0, 0, 0.5, 0.5], [0.6, 0.2, 0.8, 0.4]])
    losses = BoxCriterion()(boxes, truth)
    assert losses["loss_bbox"].item() == pytest.approx(5 * 0.8 / 8)
    # the second pair is disjoint: 0.08 of a hull of 0.6 x 0.2 is covered
    assert losses["loss_iou"].item() == pytest.approx(2 * (0 + 1 + (0.12 - 0.08) / 0.12) / 2, rel=1e-4)
    outside = BoxCriterion()(torch.tensor([[0.5, 0.5, 1.0, 1.0]]), torch.tensor([[0.5, 0.5, 2.0, 3.0]]))
    assert outside["loss_bbox"].item() == 0  # the truth ends at the crop


def test_boxes_without_an_area_leave_out_the_overlap_of_the_batch():
    good, turned = [0.2, 0.2, 0.4, 0.4], [0.4, 0.2, 0.2, 0.4]
    for boxes, truth in (([good, turned], [good, good]), ([good, good], [good, [1.1, 0.2, 1.4, 0.4]])):
        found = torch.tensor(boxes, requires_grad=True)
        losses = BoxCriterion()(found, torch.tensor(truth))
        assert losses["loss_iou"].item() == 0 and losses["loss_bbox"].item() > 0
        sum(losses.values()).backward()
        assert torch.isfinite(found.grad).all()


def test_score_loss_by_hand():
    loss = ScoreCriterion()(torch.tensor([0.0, math.log(3)]), torch.tensor([True, False]))["loss_cls"]
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


# Both stages


@pytest.fixture(scope="module")
def clips():
    """Four positive and four negative ones."""
    records = synthetic_videos("train", 8, 30, (160, 256), "sot")
    return [
        TridentClips(records, [StarkCrops(64, 160)], gap=20, positive=positive)[number, number]
        for positive in (1.0, 0.0)
        for number in range(4)
    ]


def learn(model, clips, steps, rate):
    """The sums of the losses of `steps` steps, and the parameters without a gradient in the first."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    history, without = [], set()
    for step in range(steps):
        loss = sum(model(clips).values())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        optimizer.step()
        history.append(loss.item())
    return history, without


def test_thirty_steps_of_stage_1_halve_the_loss_and_every_parameter_learns(clips):
    torch.manual_seed(0)
    model = fdl.build(get_config("tiny_stark_st1").model).train()
    history, without = learn(model, clips[:4], 30, 2e-3)
    assert np.mean(history[-3:]) < 0.5 * history[0]
    # the first attention of the decoder is the query's to itself, which begins as zeros: but for its biases nothing
    assert all(name.startswith(("transformer.decoder.0.self_attn", "transformer.decoder.0.norm1")) for name in without)


def test_stage_2_learns_its_scores_and_nothing_else(clips):
    torch.manual_seed(0)
    model = fdl.build(get_config("tiny_stark_st2").model).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    history, without = learn(model, clips, 40, 1e-2)
    assert all(name.startswith("score_head") != (name in without) for name, _ in model.named_parameters())
    assert np.mean(history[-3:]) < 0.5 * history[0]
    after = model.state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"score_head"}


def test_clips_that_are_no_training_data(clips):
    model = fdl.build(get_config("tiny_stark_st1").model).train()
    with pytest.raises(ValueError, match="2 templates and a search frame, got 2 frames"):
        model([Clip(clips[0].frames[:2])])
    with pytest.raises(ValueError, match="expected a PaddedCrop of 64x64, got a Frame of 160x120"):
        model([Clip([gradient(k) for k in range(3)])])
    bare = [PaddedCrop(f.image, padding=f.padding) for f in clips[0].frames]
    with pytest.raises(ValueError, match="expected one box to train on, got None"):
        model([Clip(bare)])
    model.criterion = None
    with pytest.raises(ValueError, match="no criterion"):
        model(clips[:1])
    batch = training_batch(clips, 2, (64, 160), torch.device("cpu"))
    assert batch.positive.tolist() == [True] * 4 + [False] * 4
    assert len(batch.templates) == 2 and batch.search[1].shape == (8, 160, 160)


# What is published


@pytest.mark.parametrize(
    ("name", "epochs", "milestone", "positive"),
    [("stark_st1_r50_500e", 500, 400, 1.0), ("stark_st2_r50_50e", 50, 40, 0.5)],
)
@pytest.mark.parametrize("data", ["lasot", "trackingnet", "got10k"])
def test_published_schedule_and_data(name, epochs, milestone, positive, data):
    config = get_config(f"{name}_{data}")
    schedule = fdl.build(config.schedule)
    assert (schedule.epochs, schedule.milestones, schedule.batch_size) == (epochs, (milestone,), 128)
    assert (schedule.clip_norm, schedule.warmup_iterations) == (0.1, 0)
    assert fdl.get_callable(config.train_data).__name__ == ("got10k_alone" if data == "got10k" else "four_data_sets")
    assert (getattr(config.train_data, "positive", 1.0)) == positive
    with torch.device("meta"):
        model = fdl.build(config.model)
    rates = {group["lr"]: group["params"] for group in schedule.optimizer.build(model).param_groups}
    assert set(rates) == ({1e-4, 1e-5} if "st1" in name else {1e-4})
    assert all(group["weight_decay"] == 1e-4 for group in schedule.optimizer.build(model).param_groups)


def test_published_mix():
    from vidperc.configs.common.stark import equal_shares

    many = [video(str(k), 20 + k) for k in range(6)]
    few = [video("a", 100), video("b", 110)]
    data = equal_shares([many, few], positive=1.0, samples=120)
    assert len(data.dataset) == 8
    assert data.repeats == pytest.approx([10] * 6 + [30] * 2)
    crops = fdl.build(get_config("tiny_stark_st1").train_data.dataset.transforms[0])
    published = StarkCrops()
    assert (published.template_size, published.search_size) == (128, 320)
    for each in (crops, published):
        assert (each.shift, each.scale, each.grey, each.brightness, each.flip) == (4.5, 0.5, 0.05, 0.2, 0.5)
