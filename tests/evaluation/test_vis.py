"""Run lengths, video instance segmentation's AP, DAVIS's measures, readers and submissions."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as codec

from vidperc.data.problems import DataError, DataWarning
from vidperc.data.readers.davis import read_davis
from vidperc.data.readers.youtube_vis import read_youtube_vis
from vidperc.evaluation.davis import DavisEvaluator, contour_accuracy, region_similarity
from vidperc.evaluation.vis import MaskTrack, VISEvaluator, track_iou
from vidperc.evaluation.youtube_vis import evaluate_youtube_vis
from vidperc.export.motchallenge import SubmissionError
from vidperc.export.youtube_vis import VideoEntry, check_youtube_vis, write_youtube_vis, youtube_vis_results
from vidperc.structures import Instances
from vidperc.structures.masks import (
    as_rle,
    decode_masks,
    encode_masks,
    pairwise_intersection,
    rle_area,
    rle_edges,
    run_lengths,
)

SIZE = (12, 16)


def random_masks(count, size=SIZE, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((count, *size)) < 0.4)


def square(x, y, side=4, size=SIZE):
    mask = torch.zeros(*size, dtype=torch.bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_run_lengths_equal_the_codec_and_back():
    masks = torch.cat(
        (random_masks(4), torch.zeros(1, *SIZE, dtype=torch.bool), torch.ones(1, *SIZE, dtype=torch.bool))
    )
    big = torch.zeros(1, 400, 700, dtype=torch.bool)
    big[0, 17:390, 3:680] = True  # runs of several digits, differences of both signs
    for mask in (*masks, *big):
        rle = encode_masks(mask[None])[0]
        runs = run_lengths(rle)
        flat = mask.numpy().T.reshape(-1)  # column by column
        np.testing.assert_array_equal(np.repeat(np.arange(len(runs)) % 2, runs), flat)
        assert rle_area(rle) == mask.sum()
        assert torch.equal(decode_masks([rle], tuple(mask.shape))[0], mask)


def test_shared_pixels_without_decoding():
    a, b = random_masks(3, seed=1), random_masks(4, seed=2)
    edges = [[rle_edges(rle) for rle in encode_masks(masks)] for masks in (a, b)]
    expected = a.flatten(1).double() @ b.flatten(1).double().T
    np.testing.assert_array_equal(pairwise_intersection(*edges), expected)


def test_segmentations_of_every_form():
    mask = square(2, 3)
    counts = run_lengths(encode_masks(mask[None])[0]).tolist()
    assert as_rle(None, SIZE) is None
    assert torch.equal(decode_masks([as_rle({"size": list(SIZE), "counts": counts}, SIZE)], SIZE)[0], mask)
    assert torch.equal(decode_masks([as_rle([[2, 3, 6, 3, 6, 7, 2, 7]], SIZE)], SIZE)[0], mask)
    with pytest.raises(ValueError, match="RLE of size \\[12, 16\\], the frame has \\[12, 17\\]"):
        as_rle(encode_masks(mask[None])[0], (12, 17))
    with pytest.raises(ValueError, match="null, polygons, or an RLE"):
        as_rle("text", SIZE)
    with pytest.raises(ValueError, match="runs have"):
        as_rle({"size": list(SIZE), "counts": "11"}, SIZE)


def track(label, masks, score=1.0):
    return MaskTrack(label, [None if mask is None else encode_masks(mask[None])[0] for mask in masks], score)


def test_iou_over_time_by_hand():
    a = track(0, [square(0, 0), square(0, 0), None])
    b = track(0, [square(2, 0), None, square(0, 0)])
    # frame 0: 8 shared, 24 covered; frames 1 and 2: 16 each without a counterpart
    assert track_iou([a], [b])[0, 0] == pytest.approx(8 / (24 + 16 + 16))
    with pytest.raises(ValueError, match="tracks of 2 and 3 frames"):
        track_iou([a], [track(0, [None, None])])
    with pytest.raises(ValueError, match="frame 0: masks of sizes"):
        track_iou([a], [track(0, [square(0, 0, size=(12, 18)), None, None])])


def test_average_precision_by_hand():
    """Two of one class; the best score is a false one: precision 1/2 up to recall 1/2, then 2/3."""
    evaluator = VISEvaluator(["thing", "unseen"])
    truth = [track(0, [square(0, 0)]), track(0, [square(8, 0)])]
    found = [track(0, [square(0, 8)], 0.9), track(0, [square(0, 0)], 0.8), track(0, [square(8, 0)], 0.7)]
    evaluator.add("video", found, truth)
    scores = evaluator.evaluate()
    assert scores["AP50"] == pytest.approx(2 / 3)
    assert scores["AR1"] == 0
    assert scores["AR10"] == 1
    assert np.isnan(scores["APl"])


def instances(masks, ids, labels=None, scores=None):
    masks = torch.stack(masks) if masks else torch.zeros(0, *SIZE, dtype=torch.bool)
    labels = torch.zeros(len(ids), dtype=torch.int64) if labels is None else torch.tensor(labels)
    scores = torch.ones(len(ids)) if scores is None else torch.tensor(scores)
    return Instances(torch.zeros(len(ids), 4), labels, scores, masks, torch.tensor(ids).long())


def test_evaluator_takes_frames_and_tracks_that_return():
    frames = [instances([square(0, 0), square(8, 0)], [5, 6]), instances([square(8, 0)], [6]),
              instances([square(0, 4), square(8, 0)], [5, 6])]  # fmt: skip
    evaluator = VISEvaluator()
    evaluator.process("video", frames, frames)
    assert evaluator.evaluate()["AP"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="video: 3 frames predicted, 2 annotated"):
        evaluator.process("video", frames, frames[:2])
    with pytest.raises(ValueError, match="needs masks, ids and labels"):
        evaluator.process("video", [Instances(torch.zeros(1, 4))], frames[:1])
    with pytest.raises(ValueError, match="no video"):
        VISEvaluator().evaluate()


def content():
    masks = encode_masks(torch.stack([square(0, 0), square(2, 2)]))
    return {
        "videos": [{"id": 3, "height": 12, "width": 16, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],  # with gaps, in no order
        "annotations": [
            {"id": 1, "video_id": 3, "category_id": 9, "iscrowd": 0, "segmentations": [masks[0], None],
             "bboxes": [[0, 0, 4, 4], None], "areas": [16, None]},
            {"id": 2, "video_id": 3, "category_id": 4, "iscrowd": 0, "segmentations": [None, masks[1]],
             "bboxes": [None, None], "areas": [None, 16]},
        ],
    }  # fmt: skip


def test_files_are_scored_and_checked():
    results = [{**entry, "score": 0.9} for entry in content()["annotations"]]
    scores = evaluate_youtube_vis(content(), results)
    assert scores.values["AP"] == pytest.approx(1.0)
    for change, message in (
        ({"video_id": 4}, "video_id 4 is not among"),
        ({"category_id": 5}, "category_id 5 is not among"),
        ({"segmentations": [None]}, "1 segmentations, the video has 2 frames"),
        ({"segmentations": encode_masks(random_masks(2, (3, 3)))}, "frame 0: RLE of size"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_youtube_vis(content(), [{**results[0], **change}])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "JPEGImages" / "a").mkdir(parents=True)
    for t in (0, 1):
        cv2.imwrite(str(tmp_path / "JPEGImages" / "a" / f"{t}.jpg"), np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "instances.json").write_text(json.dumps(content()))
    return tmp_path


def test_youtube_vis_reader(folder):
    (record,) = read_youtube_vis(folder / "instances.json", folder / "JPEGImages")
    assert record.classes == ("cat", "dog")
    assert record.attributes["category_ids"] == (4, 9)
    first, second = (record.load(t).instances for t in (0, 1))
    assert (first.labels.tolist(), second.labels.tolist()) == ([1], [0])
    assert torch.equal(first.masks[0], square(0, 0))
    assert second.boxes.tolist() == [[2, 2, 6, 6]]  # from the mask, where the file has no box
    wrong = content()
    wrong["annotations"][0]["segmentations"] = [None]
    (folder / "instances.json").write_text(json.dumps(wrong))
    with pytest.raises(DataError, match="annotation 1 of video 3: 1 segmentations, the video has 2 frames"):
        read_youtube_vis(folder / "instances.json", folder / "JPEGImages")


def test_forms_of_youtube_vis_2019_and_ovis(folder):
    """Runs as numbers or as text, nulls where an object is not seen, crowds, categories that are not listed."""
    given = content()
    mask = square(3, 1)
    # Column by column, of 12 pixels: three columns and one pixel before, then four columns of four.
    plain = {"size": list(SIZE), "counts": [37, 4, 8, 4, 8, 4, 8, 4, 115]}
    text = codec.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))["counts"].decode()
    given["annotations"] = [
        {"id": 5, "video_id": 3, "category_id": 9, "iscrowd": 1, "segmentations": [plain, None],
         "bboxes": [[3, 1, 4, 4], None], "areas": [16, None]},
        {"id": 6, "video_id": 3, "category_id": 4, "iscrowd": 0,
         "segmentations": [None, {"size": list(SIZE), "counts": text}], "bboxes": [None, [3, 1, 4, 4]]},
        {"id": 7, "video_id": 3, "category_id": 77, "segmentations": [None, None], "bboxes": [None, None]},
    ]  # fmt: skip
    (folder / "instances.json").write_text(json.dumps(given))
    with pytest.warns(DataWarning, match=r"1 annotations of categories that are not listed \(first: annotation 7\)"):
        (record,) = read_youtube_vis(folder / "instances.json", folder / "JPEGImages")
    first, second = (record.load(t).instances for t in (0, 1))
    assert torch.equal(first.masks, mask[None]) and torch.equal(second.masks, mask[None])
    assert (first.ids.tolist(), second.ids.tolist()) == ([5], [6])
    assert (first.ignored.tolist(), second.ignored.tolist()) == ([True], [False])
    del given["videos"][0]["height"]
    (folder / "instances.json").write_text(json.dumps(given))
    with pytest.raises(DataError, match=r"instances\.json: video 0 has no height"):
        read_youtube_vis(folder / "instances.json", folder / "JPEGImages")


def test_videos_without_annotations(folder):
    bare = content()
    del bare["annotations"]
    (folder / "instances.json").write_text(json.dumps(bare))
    (record,) = read_youtube_vis(folder / "instances.json", folder / "JPEGImages")
    assert record.instances == {}
    assert len(record.frames) == 2


def test_submission_is_checked_before_it_is_written(tmp_path):
    video = VideoEntry(3, 2, SIZE)
    frames = [instances([square(0, 0)], [7], [1], [0.5]), instances([], [])]
    entries = youtube_vis_results(video, frames, (4, 9))
    assert entries[0]["category_id"] == 9
    assert entries[0]["segmentations"][1] is None
    path = write_youtube_vis(tmp_path / "results.zip", entries, [video], (4, 9))
    assert evaluate_youtube_vis(content(), path).per_class[1] == pytest.approx(1.0)
    entries[0]["segmentations"] = [encode_masks(random_masks(1, (3, 3)))[0], None]
    assert "frame 0: RLE of size [3, 3]" in check_youtube_vis(entries, [video], (4, 9))[0]
    with pytest.raises(SubmissionError, match="is not written"):
        write_youtube_vis(tmp_path / "other.zip", entries, [video], (4, 9))
    assert not (tmp_path / "other.zip").exists()
    with pytest.raises(SubmissionError, match="1 frames given, it has 2"):
        youtube_vis_results(video, frames[:1], (4, 9))


def test_region_and_contour_by_hand():
    a, b = square(2, 2, 6, (40, 40)).numpy(), square(4, 2, 6, (40, 40)).numpy()
    assert region_similarity(a, b) == pytest.approx(24 / 48)
    assert contour_accuracy(a, a) == 1
    empty = np.zeros_like(a)
    assert (region_similarity(empty, empty), contour_accuracy(empty, empty)) == (1, 1)
    assert (region_similarity(a, empty), contour_accuracy(a, empty)) == (0, 0)
    far = square(30, 30, 6, (40, 40)).numpy()
    assert contour_accuracy(a, far) == 0
    near = square(3, 2, 6, (40, 40)).numpy()  # one pixel off, the tolerance is one pixel
    assert contour_accuracy(a, near) == 1


def test_davis_assigns_each_object_its_best_track():
    truth = [instances([square(0, 0), square(8, 0)], [1, 2])] * 2
    found = [instances([square(8, 0), square(0, 0), square(0, 8)], [4, 5, 6])] * 2
    evaluator = DavisEvaluator()
    evaluator.process("video", found, truth)
    assert evaluator.evaluate() == {"J": 1, "F": 1, "J&F": 1}
    evaluator.process("lost", [instances([], [])], truth[:1])
    assert evaluator.evaluate()["J"] == pytest.approx(0.5)


def test_davis_reader(tmp_path):
    for name in ("bear", "two"):
        (tmp_path / "JPEGImages" / name).mkdir(parents=True)
        (tmp_path / "Annotations" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "JPEGImages" / name / "00000.jpg"), np.zeros((*SIZE, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "Annotations/bear/00000.png"), square(1, 1).numpy().astype(np.uint8) * 255)
    indices = square(0, 0).numpy().astype(np.uint8) + 2 * square(8, 4).numpy()
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(tmp_path / "Annotations/two/00000.png")
    bear, two = read_davis(tmp_path)
    merged, objects = bear.load(0).instances, two.load(0).instances
    assert (merged.ids.tolist(), merged.boxes.tolist()) == ([1], [[1, 1, 5, 5]])
    assert objects.ids.tolist() == [1, 2]
    assert torch.equal(objects.masks[1], square(8, 4))


def test_the_davis_samples(data_root):
    records = read_davis(data_root / "vis" / "DAVIS2016")
    assert len(records) == 4
    frame = records[0].load(0)
    assert frame.instances.masks.shape[1:] == frame.size
    rle = codec.encode(np.asfortranarray(frame.instances.masks[0].numpy().astype(np.uint8)))
    assert codec.area(rle) == frame.instances.masks[0].sum()
