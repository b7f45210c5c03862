"""Optimisers, schedules and precisions of detectors are those of the recorded configurations."""

from __future__ import annotations

import fiddle as fdl
import kit
import pytest

from vidperc.engine.optim import Optimizer
from vidperc.engine.schedule import Schedule, held, rising
from vidperc.models import config_name, get_config, list_models

NAMES = sorted(path.name.removesuffix(".json.gz") for path in (kit.HERE / "specs").glob("*.json.gz"))
WARM_UPS = {"linear": rising, "constant": held}


def schedule_of(name: str) -> Schedule:
    """Of a detector that trains."""
    if config_name(name) not in list_models("det") or get_config(name).schedule is None:
        pytest.skip("no detector that trains by epochs")
    return fdl.build(get_config(name).schedule)


@pytest.mark.parametrize("name", NAMES)
def test_optimisers(name):
    found: Optimizer = schedule_of(name).optimizer
    published = kit.load_spec(name)["hyper"]["optimizer"]
    decay = published.get("weight_decay", 0.0)
    kind = "AdamW" if published["type"] == "Adam" and not decay else published["type"]  # the same without decay
    assert type(found).__name__ == kind
    assert (found.lr, found.weight_decay) == (published["lr"], decay)
    if kind == "SGD":
        assert (found.momentum, found.nesterov) == (published["momentum"], published.get("nesterov", False))
    rules = published.get("paramwise_cfg") or {}
    norms = 0.0 if "norm" in rules.get("custom_keys", {}) else rules.get("norm_decay_mult", 1.0)
    factors = (norms, rules.get("bias_decay_mult", 1.0), rules.get("bias_lr_mult", 1.0))
    if "decay_type" not in rules:  # whose factors go by layer, not by kind
        assert (found.norm_decay, found.bias_decay, found.bias_lr) == factors


@pytest.mark.parametrize("name", NAMES)
def test_schedules(name):
    found, published = schedule_of(name), kit.load_spec(name)["hyper"]
    rate = published["lr_config"]
    if rate["policy"] != "step" or "max_epochs" not in published.get("runner", {}):
        pytest.skip("no steps by epochs")
    assert (found.epochs, list(found.milestones)) == (published["runner"]["max_epochs"], rate["step"])
    assert (found.gamma, found.curve) == (rate.get("gamma", 0.1), None)
    if rate.get("warmup") is None:
        assert found.warmup_iterations == 0
    else:
        assert (found.warmup_iterations, found.warmup) == (rate["warmup_iters"], WARM_UPS[rate["warmup"]])
        assert found.warmup_ratio == pytest.approx(rate["warmup_ratio"], rel=1e-3)
    clip = published["optimizer_config"].get("grad_clip")
    assert found.clip_norm == (None if clip is None else clip["max_norm"])
    assert found.precision == ("fp16" if published.get("fp16") else "fp32")
