"""Data sets by the name of their format, and the tools that convert and draw them."""

import importlib.util
import sys

import cv2
import pytest
from conftest import ROOT

from vidperc.data.formats import FORMATS, SOURCES, read_dataset, write_dataset
from vidperc.data.readers.motchallenge import read_mot_sequences
from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.engine.video_detection import find_vid


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_unknown_formats():
    assert "coco" in SOURCES
    assert "coco" in FORMATS
    with pytest.raises(ValueError, match="'nope' cannot be read; there is synthetic, coco"):
        read_dataset("nope")
    with pytest.raises(ValueError, match="'nope' cannot be written"):
        write_dataset("nope", [], "x")


def test_convert(tmp_path, monkeypatch, capsys):
    words = ["synthetic", "motchallenge", "--out", str(tmp_path), "count=2", "length=3", "flavour=mot", "size=(64,96)"]
    monkeypatch.setattr(sys, "argv", ["convert_dataset.py", *words])
    assert tool("convert_dataset").main() == 0
    assert "2 videos, 6 frames" in capsys.readouterr().out
    assert [record.length for record in read_mot_sequences(tmp_path)] == [3, 3]
    monkeypatch.setattr(sys, "argv", ["convert_dataset.py", "coco", "otb", "--out", "x", "annotations=no", "images=no"])
    assert tool("convert_dataset").main() == 1
    assert "no: no such file" in capsys.readouterr().err


def test_synthetic_videos_as_imagenets_validation_set(tmp_path, monkeypatch):
    """The option of the writer goes to it, and a model finds the classes that ImageNet does not have by name."""
    words = ["synthetic", "imagenet_vid", "--out", str(tmp_path), "split=test", "count=2", "length=3", "flavour=vid"]
    monkeypatch.setattr(sys, "argv", ["convert_dataset.py", *words, "out.split=val"])
    assert tool("convert_dataset").main() == 0
    found = find_vid(tmp_path, ("zebra", *CLASSES)).records
    for written, read in zip(synthetic_videos("test", 2, 3, flavour="vid"), found, strict=True):
        assert (read.name, read.classes) == (written.name, ("zebra", *CLASSES))
        for index, objects in read.instances.items():
            expected = written.load(index).instances
            expected = expected[~expected.ignored]
            assert len(objects) > 0
            assert sorted(objects.labels.tolist()) == sorted((expected.labels + 1).tolist())
    monkeypatch.setattr(sys, "argv", ["convert_dataset.py", *words, "out.part=val"])
    assert tool("convert_dataset").main() == 1


def test_browse(tmp_path, monkeypatch):
    words = ["tiny_det", "--out", str(tmp_path), "--samples", "2", "count=2", "length=4"]
    monkeypatch.setattr(sys, "argv", ["browse_dataset.py", *words])
    assert tool("browse_dataset").main() == 0
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).shape == (160, 260, 3)
