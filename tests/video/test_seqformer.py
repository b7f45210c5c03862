"""SeqFormer's parts on values derived another way, its streaming, and bad input."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch

import vidperc
from vidperc.image.losses import binary_focal_loss, giou_loss
from vidperc.sequence import open_session
from vidperc.structures import Clip, Frame, Instances, Video
from vidperc.video.clip_matching import ClipInstances, ClipTracks
from vidperc.video.seqformer_criterion import dice, video_targets
from vidperc.video.seqformer_decoder import TimeSum
from vidperc.video.seqformer_masks import (
    best_class,
    dynamic_masks,
    every_class,
    masks_at,
    parameters_per_mask,
    upsample_twice,
)

SIZE = (64, 96)


def make(**options):
    """A tiny network with random weights that finds something."""
    torch.manual_seed(5)
    config = vidperc.get_config("tiny_seqformer").model
    for name, value in {"score_threshold": 0.0, "top_k": 3, **options}.items():
        setattr(config, name, value)
    model = fdl.build(config).eval()
    for head in model.decoder.bbox_embed:
        torch.nn.init.normal_(head.last.weight, std=0.2)
    return model


def frames(length, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (length, *size, 3), dtype=np.uint8)


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b):
        assert torch.equal(one.ids, other.ids)
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=1e-4)
        assert (one.masks == other.masks).float().mean() > 0.999 if one.masks.numel() else True


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("options", [{"clip_length": 3}, {"clip_length": 3, "clip_stride": 2}, {"clip_length": None}])
def test_a_result_for_every_frame(options, length):
    model = make(**options)
    results = list(model.stream(Video.from_frames(frames(length))))
    assert len(results) == length
    for objects in results:
        assert objects.masks.shape[1:] == SIZE
        assert len(objects) == len(objects.ids.unique())
        objects.validate()


def test_clips_come_with_their_delay():
    session = open_session(make(clip_length=3))
    given = [session.update(frame) is not None for frame in frames(5)]
    assert given == [False, False, True, True, True]
    assert len(session.finish()) == 2


def test_a_video_without_frames():
    model = make(clip_length=3)
    assert list(model.finish(model.init_state())) == []
    model = make(clip_length=None)
    assert list(model.finish(model.init_state())) == []


@pytest.mark.parametrize("clip_length", [3, None])
def test_interleaved_videos_equal_each_alone(clip_length):
    model = make(clip_length=clip_length)
    videos = [frames(4, seed=1), frames(4, seed=2)]
    alone = [list(model.stream(Video.from_frames(video))) for video in videos]
    sessions = [open_session(model) for _ in videos]
    found: list[list[Instances]] = [[], []]
    for t in range(4):
        for k in (0, 1):
            result = sessions[k].update(videos[k][t])
            found[k] += [] if result is None else [result]
    for k in (0, 1):
        found[k] += list(sessions[k].finish())
        assert_same(alone[k], found[k])


def test_frames_of_changing_size_keep_their_own():
    sizes = [(64, 96), (48, 80), (64, 96)]
    video = [frames(1, size)[0] for size in sizes]
    for options in ({"clip_length": 2}, {"clip_length": None}):
        results = list(make(**options).stream(Video.from_frames(video)))
        assert [tuple(objects.masks.shape[1:]) for objects in results] == sizes


def test_a_live_source_works_whole_and_in_clips():
    class Live:
        name, fps, size, length = "live", None, None, None

        def frames(self, start=0):
            return iter([Frame.from_array(array, t) for t, array in enumerate(frames(4))])

        def read(self, index):
            raise TypeError

    for clip_length in (None, 3):
        model = make(clip_length=clip_length)
        pairs = list(model.stream_frames(Video(Live())))
        assert [frame.index for frame, _ in pairs] == [0, 1, 2, 3]
        assert_same([objects for _, objects in pairs], list(model.stream(Video.from_frames(frames(4)))))


def test_chunks_and_the_file_equal_the_plain_computation():
    """More frames than are decoded at once, all of them in a temporary file."""
    video = Video.from_frames(frames(11))
    model = make(clip_length=None)
    found = model.segment(video)
    images = model.preprocessor.batch(list(frames(11)))
    with torch.inference_mode():
        encoded = model.encode(images.tensor, model.geometry(images.sizes, images.padded_size), SIZE)
        plain = model.decoder(*model.queries(), encoded, 11)[-1]
        masks = model.masks(plain, 0, found.queries, encoded.mask_features, SIZE)
    torch.testing.assert_close(found.boxes, plain.boxes[0][:, found.queries], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.mask_logits(0, 11), masks, atol=1e-3, rtol=1e-3)
    assert_same(list(found), list(make(clip_length=None, max_memory=0).segment(video)))


def test_final_scores_are_the_last_streamed_ones():
    model = make(clip_length=3)
    video = Video.from_frames(frames(6))
    streamed, final = list(model.stream(video)), list(model.segment(video))
    last = {int(i): float(s) for objects in streamed for i, s in zip(objects.ids, objects.scores)}
    for i, s in zip(final[-1].ids, final[-1].scores):
        assert last[int(i)] == pytest.approx(float(s), abs=1e-6)


def test_time_sum_is_a_softmax():
    seen, logits = torch.randn(7, 3, 5), torch.randn(7, 3, 1) * 20
    total = TimeSum()
    for part in (slice(0, 1), slice(1, 5), slice(5, 7)):
        total.add(seen[part], logits[part])
    torch.testing.assert_close(total.mean(), (seen * logits.softmax(0)).sum(0), atol=1e-5, rtol=1e-5)


def test_dynamic_masks_by_hand():
    """Pixel by pixel, with the coordinates written out."""
    torch.manual_seed(2)
    parameters, features, centres = torch.randn(1, parameters_per_mask()), torch.randn(1, 8, 2, 3), torch.rand(1, 1, 2)
    w1, w2, w3, b1, b2, b3 = parameters[0].split([80, 64, 8, 8, 8, 1])
    expected = torch.zeros(2, 3)
    for y in range(2):
        for x in range(3):
            where = torch.tensor([x * 8 + 4.0, y * 8 + 4.0])
            relative = centres[0, 0] * torch.tensor([20.0, 14.0]) - where  # width 20, height 14
            hidden = (w1.view(8, 10) @ torch.cat((relative, features[0, :, y, x])) + b1).relu()
            expected[y, x] = (w3 @ (w2.view(8, 8) @ hidden + b2).relu() + b3).item()
    found = dynamic_masks(parameters, features, centres, (14, 20))
    torch.testing.assert_close(found, upsample_twice(expected)[None, None], atol=1e-4, rtol=1e-4)


def test_upsampling_by_hand():
    x = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    expected = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2], [2, 2, 3, 4], [4, 4, 5, 6]], dtype=torch.float32)
    torch.testing.assert_close(upsample_twice(x), expected)


def test_masks_are_cut_to_the_unpadded_frame():
    logits = torch.full((2, 4, 4), 1.0)
    logits[1] = math.nan  # never observed
    masks = masks_at(logits, (12, 10), (6, 5))
    assert masks.shape == (2, 6, 5)
    assert masks[0].all()
    assert not masks[1].any()
    assert masks_at(logits[:0], (12, 10), (6, 5)).shape == (0, 6, 5)


def test_rows():
    scores, numbers = torch.tensor([[0.6, 0.4], [0.1, 0.05]]), torch.tensor([3, 7])
    rows = every_class(scores, 0.3, numbers)
    assert (rows.objects.tolist(), rows.labels.tolist(), rows.ids.tolist()) == ([3, 3], [0, 1], [6, 7])
    rows = best_class(scores, 0.3, numbers)
    assert (rows.objects.tolist(), rows.labels.tolist(), rows.ids.tolist()) == ([3], [0], [3])


def blob(rows, columns):
    logits = torch.full((1, 8, 12), -20.0)
    logits[0, rows, columns] = 20.0
    return logits


def test_tracks_vanish_and_return_while_clips_still_see_them():
    """An instance that overlaps a past clip's continues it; one elsewhere is born."""
    tracks = ClipTracks(2)
    left, right = blob(slice(0, 4), slice(0, 4)), blob(slice(4, 8), slice(8, 12))

    def clip(start, *logits):
        stacked = torch.stack([part.expand(3, -1, -1) for part in logits])
        return ClipInstances(start, torch.full((len(logits), 2), 0.5), stacked, torch.zeros(len(logits), 3, 4))

    assert tracks.update(clip(0, left))[0].tolist() == [0]
    assert tracks.update(clip(1, right))[0].tolist() == [1]
    assert tracks.update(clip(2, right, left))[0].tolist() == [1, 0]
    assert tracks.pop(0).tracks.tolist() == [0]
    seen = tracks.pop(2)
    assert seen.tracks.tolist() == [0, 1]
    torch.testing.assert_close(seen.logits[0], left[0])
    assert tracks.pop(4).counts.tolist() == [1, 1]


def clip_of(objects, length=2, size=(32, 64)):
    """`objects`: per frame the ids that are seen, each on an 8 x 8 square."""
    made = []
    for t in range(length):
        ids = objects[t]
        masks = torch.zeros(len(ids), *size, dtype=torch.bool)
        for row, number in enumerate(ids):
            masks[row, 8:16, 8 * number : 8 * number + 8] = True
        boxes = torch.tensor([[8.0 * n, 8, 8 * n + 8, 16] for n in ids]).reshape(-1, 4)
        truth = Instances(boxes, torch.zeros(len(ids), dtype=torch.int64), masks=masks, ids=torch.tensor(ids).long())
        made.append(Frame(torch.zeros(3, *size, dtype=torch.uint8), t, instances=truth))
    return Clip(made, video="made")


def test_targets_of_an_object_that_is_away():
    targets = video_targets(clip_of([[1, 2], [2]]), (32, 64))
    torch.testing.assert_close(targets.boxes[0, 0], torch.tensor([12 / 64, 12 / 32, 8 / 64, 8 / 32]))
    assert targets.boxes[0, 1].tolist() == [0, 0, 0, 0]
    assert targets.masks.shape == (2, 2, 8, 16)
    assert targets.masks.sum((2, 3)).tolist() == [[4, 0], [4, 4]]


def test_targets_need_ids_and_masks_and_one_size():
    clip = clip_of([[1], [1]])
    clip.frames[1].instances = clip.frames[1].instances.replace(masks=None)
    with pytest.raises(ValueError, match="made, frame 1: SeqFormer trains on objects with ids, labels and masks"):
        video_targets(clip, (32, 64))
    clip = clip_of([[1], [1]])
    clip.frames[1].image = torch.zeros(3, 16, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match="frame 1: size"):
        video_targets(clip, (32, 64))


@pytest.mark.parametrize("objects", [[[1, 2], [2]], [[], []]])
def test_learns_also_without_objects(objects):
    model = make().train()
    losses = model([clip_of(objects), clip_of([[3], []])])
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert len(losses) == 5 * len(model.decoder.layers)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    with pytest.raises(ValueError, match="one length"):
        model([clip_of(objects), clip_of([[1]], length=1)])


def test_losses_by_hand():
    logits, truth = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    p = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    expected = [-0.25 * (1 - p[0]) ** 2 * math.log(p[0]), -0.75 * p[1] ** 2 * math.log(1 - p[1])]
    torch.testing.assert_close(binary_focal_loss(logits, truth, 0.25), torch.tensor([expected]))
    assert dice(logits, truth).item() == pytest.approx(1 - (2 * p[0] + 1) / (p[0] + p[1] + 1 + 1), abs=1e-6)
    a, b = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 4]])
    assert 1 - giou_loss(a, b).item() == pytest.approx(2 / 10 - 2 / 12)


def test_bad_strides_are_refused():
    with pytest.raises(ValueError, match="clip_stride"):
        make(clip_length=2, clip_stride=3)
