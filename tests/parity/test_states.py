"""Every published config that is here has exactly the tensors of its published checkpoint, after renaming."""

from __future__ import annotations

import gzip
import json
from functools import cache

import fiddle as fdl
import kit
import pytest
import torch

from vidperc.checkpoint import rename_keys
from vidperc.models import config_name, get_config, list_models


@cache
def states() -> dict[str, list]:
    """{published name: [[tensor, shape, "p" or "b"], ...]}"""
    path = kit.find_or_none("", "states.json.gz")
    if path is None:
        return {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)["states"]


KNOWN = sorted(name for name in states() if config_name(name) in list_models())


@pytest.mark.skipif(not states(), reason="no recorded names and shapes of the published checkpoints")
@pytest.mark.parametrize("name", KNOWN)
def test_the_published_tensors_fill_the_model(name):
    config = get_config(name)
    with torch.device("meta"):
        model = fdl.build(config.model)
    shapes = {tensor: tuple(shape) for tensor, shape, _ in states()[name]}
    published = {new: shapes[old] for old, new in rename_keys(shapes, config.published_keys).items()}
    expected = {tensor: tuple(value.shape) for tensor, value in model.state_dict().items()}
    assert published == expected
