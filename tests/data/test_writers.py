"""What is written in a benchmark's layout is read back by that benchmark's reader."""

import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as rle_codec

from vidperc.data.datasets import read_frame
from vidperc.data.problems import DataError, DataWarning
from vidperc.data.readers.coco import read_coco
from vidperc.data.readers.got10k import read_got10k
from vidperc.data.readers.motchallenge import read_mot_sequences
from vidperc.data.readers.otb import read_otb
from vidperc.data.readers.pascal import read_imagenet_vid
from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.data.writers import (
    write_coco,
    write_got10k,
    write_imagenet_vid,
    write_motchallenge,
    write_otb,
    write_youtube_vis,
)
from vidperc.structures import Frame, Instances, VideoRecord


def videos(flavour, count=2, length=4, **changes):
    return synthetic_videos("val", count, length, (96, 128), flavour, **changes)


def truths(record):
    return [record.load(index).instances for index in range(record.length)]


def by_id(objects):
    return {int(key): objects[i] for i, key in enumerate(objects.ids)}


def test_motchallenge(tmp_path):
    records = videos("mot")
    back = {record.name: record for record in read_mot_sequences(write_motchallenge(records, tmp_path))}
    for record in records:
        other = back[record.name]
        assert (other.length, other.fps, other.size) == (4, 25, (96, 128))
        for index, truth in enumerate(truths(record)):
            read = by_id(other.instances[index])
            assert len(read) == len(truth) > 0
            for key, item in by_id(truth).items():
                assert (read[key + 1].boxes - item.boxes).abs().max() < 0.02
                assert bool(read[key + 1].ignored) == bool(item.ignored)
                assert float(read[key + 1].visibilities) == pytest.approx(float(item.visibilities), abs=1e-3)
        difference = read_frame(other, 0).array.astype(int) - record.load(0).array
        assert np.abs(difference).mean() < 6  # JPEG


def test_cocovid_with_masks(tmp_path):
    records = videos("vis")
    path = write_coco(records, tmp_path)
    back = read_coco(path, tmp_path / "images", masks=True)
    assert back[0].classes == CLASSES
    for record, other in zip(records, back):
        for index, truth in enumerate(truths(record)):
            read = read_frame(other, index).instances
            assert torch.equal(read.labels, truth.labels)
            assert torch.equal(read.masks, truth.masks)
            assert (read.boxes - truth.boxes).abs().max() < 0.02
    tracks = [a["instance_id"] for a in json.loads(path.read_text())["annotations"]]
    assert len(set(tracks)) == sum(len({int(k) for t in truths(record) for k in t.ids}) for record in records)


def test_imagenet_vid(tmp_path):
    records = videos("vid", min_visibility=0.0)
    write_imagenet_vid(records, tmp_path, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        back = read_imagenet_vid(tmp_path, classes={name: name for name in CLASSES})
    for record, other in zip(records, back):
        assert other.name == record.name
        for index, truth in enumerate(truths(record)):
            whole = truth.boxes.round()
            kept = truth[(whole[:, 2:] > whole[:, :2]).all(1)]
            read = other.instances[index]
            assert torch.equal(read.ids, kept.ids)
            assert torch.equal(read.labels, kept.labels)
            assert torch.equal(read.boxes, kept.boxes.round())
        assert read_frame(other, 1).size == (96, 128)


def test_youtube_vis(tmp_path):
    records = videos("vis")
    content = json.loads(write_youtube_vis(records, tmp_path).read_text())
    assert [video["length"] for video in content["videos"]] == [4, 4]
    first = records[0]
    tracks = [a for a in content["annotations"] if a["video_id"] == 1]
    objects = [by_id(truth) for truth in truths(first)]
    seen = sorted({key for truth in objects for key in truth})
    assert len(tracks) == len(seen)
    for index, truth in enumerate(objects):
        masks = {rle_codec.decode(t["segmentations"][index]).tobytes() for t in tracks if t["segmentations"][index]}
        assert masks == {item.masks[0].numpy().astype(np.uint8).tobytes() for item in truth.values()}
    name = content["videos"][0]["file_names"][3]
    assert cv2.imread(str(tmp_path / "JPEGImages" / name)).shape == (96, 128, 3)
    with pytest.raises(DataError, match="need masks"):
        write_youtube_vis(videos("mot"), tmp_path)


@pytest.mark.parametrize(("write", "read"), [(write_got10k, lambda p: read_got10k(p, "train")), (write_otb, read_otb)])
def test_single_object_tracking(tmp_path, write, read):
    records = videos("sot")
    write(records, tmp_path)
    back = {record.name: record for record in read(tmp_path)}
    for record in records:
        for index, truth in enumerate(truths(record)):
            target = truth[truth.ids == 0]
            box = back[record.name].instances[index].boxes
            assert (box - target.boxes).abs().max() <= 1.0
        assert read_frame(back[record.name], 3).size == (96, 128)


def test_nothing_to_write_is_named(tmp_path):
    def load(index):
        return Frame.from_array(np.zeros((8, 8, 3), np.uint8), index)

    with pytest.raises(DataError, match="v, frame 0: there is no truth"):
        write_coco([VideoRecord("v", length=1, load=load)], tmp_path)
    assert not (tmp_path / "annotations.json").exists()
    record = VideoRecord("v", length=1, load=load, instances={0: Instances(torch.tensor([[0.0, 0, 4, 4]]))})
    with pytest.raises(DataError, match="v, frame 0: the objects have no labels"):
        write_motchallenge([record], tmp_path)
