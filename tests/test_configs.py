"""Every config is tested by existing: it builds, and its names lead back to it."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch
from fiddle.experimental import serialization

import vidperc
from vidperc.engine.experiment import Experiment
from vidperc.image.torchvision_detector import ARCHITECTURES
from vidperc.models import TASKS, config_name, override
from vidperc.sequence import SequenceModel
from vidperc.zoo import zoo_table

NAMES = vidperc.list_models()


def test_there_are_models_of_every_kind():
    assert len(NAMES) == len(set(NAMES))
    assert all(name == config_name(name) for name in NAMES)
    assert set(vidperc.list_models("mot")) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_builds(name):
    """On the meta device: all parts and shapes, no memory. It can be written beside a run."""
    config = vidperc.get_config(name)
    assert fdl.get_callable(config) is Experiment
    assert serialization.dump_json(config)
    assert config.task in (*TASKS, "reid")
    if name in ARCHITECTURES:
        override(config.model, "pretrained", False)
    with torch.device("meta"):
        model = fdl.build(config.model)
    assert isinstance(model, SequenceModel)


def test_every_published_row_has_its_config():
    assert [row.name for row in zoo_table() if row.name not in NAMES] == []


def test_configs_do_not_share_state():
    first = vidperc.get_config("sort")
    first.model.tracker.max_age = 7
    assert vidperc.get_config("sort").model.tracker.max_age != 7


def test_published_spelling_and_near_names():
    assert config_name("faster-rcnn_r50_fpn_4e_mot17-half.py") == "faster_rcnn_r50_fpn_4e_mot17_half"
    with pytest.raises(KeyError, match="did you mean sort"):
        vidperc.load("sort_mot1")
    with pytest.raises(AttributeError, match="max_age"):
        vidperc.load("sort_mot15", max_aeg=2)


@pytest.mark.parametrize("name", [name for name in NAMES if "_caffe_" in name])
def test_batch_norms_of_caffe_style_backbones_do_not_learn(name):
    model = vidperc.get_config(name).model
    backbone = getattr(model, "backbone", None) or model.detector.backbone
    assert backbone.norm in ("frozen_bn", "exact_bn")
