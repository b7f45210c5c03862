"""Data sets by the name of their format, and the tools that convert and draw them."""

import importlib.util
import sys

import cv2
import pytest
from conftest import ROOT

from vidperc.data.formats import FORMATS, SOURCES, read_dataset, write_dataset
from vidperc.data.readers.motchallenge import read_mot_sequences


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


def test_browse(tmp_path, monkeypatch):
    words = ["tiny_det", "--out", str(tmp_path), "--samples", "2", "count=2", "length=4"]
    monkeypatch.setattr(sys, "argv", ["browse_dataset.py", *words])
    assert tool("browse_dataset").main() == 0
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).shape == (160, 260, 3)
