"""Learning rates over a run, parameter groups, averages of weights."""

import pytest
import torch
from torch import nn

from vidperc.engine.ema import EMA
from vidperc.engine.memory import recompute
from vidperc.engine.optim import SGD, AdamW, Rule, set_rate, wake
from vidperc.engine.schedule import Cosine, Poly, Schedule, WarmCosine, held
from vidperc.layers.deform_conv import DeformConv


def test_steps_by_epoch_and_warm_up():
    schedule = Schedule(epochs=12, milestones=(8, 11), warmup_iterations=10, warmup_ratio=0.1)
    assert schedule.length(100) == 1200
    assert schedule.factor(0, 100) == pytest.approx(0.1)
    assert schedule.factor(5, 100) == pytest.approx(0.55)
    factors = [schedule.factor(i, 100) for i in (10, 799, 800, 1099, 1100)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_warm_up_that_is_held():
    schedule = Schedule(epochs=12, milestones=(8, 11), warmup_iterations=10, warmup_ratio=0.25, warmup=held)
    assert [schedule.factor(i, 100) for i in (0, 9, 10, 800)] == pytest.approx([0.25, 0.25, 1, 0.1])


def test_steps_by_iteration():
    schedule = Schedule(iterations=50, milestones=(30,), warmup_iterations=0)
    assert schedule.length(7.5) == 50
    assert [schedule.factor(i, 7.5) for i in (0, 29, 30)] == pytest.approx([1, 1, 0.1])


def test_curves():
    schedule = Schedule(iterations=100, curve=Cosine(final=0.2), warmup_iterations=0)
    assert [schedule.factor(i, 1) for i in (0, 50, 100)] == pytest.approx([1, 0.6, 0.2])
    assert Cosine(0.1, flat=0.5)(0.5) == pytest.approx(0.1)
    assert [Poly(2.0)(x) for x in (0, 0.5, 1)] == pytest.approx([1, 0.25, 0])


def test_bad_schedules():
    with pytest.raises(ValueError, match="length above 0"):
        Schedule(epochs=0)
    with pytest.raises(ValueError, match="batch size 0"):
        Schedule(batch_size=0)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(2, 2)
        self.frozen.requires_grad_(False)


def groups_by_name(model, optimizer):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}


def test_yolox_curve_by_hand():
    """300 epochs: up by the square in 5, down half a cosine in 280, flat for 15."""
    factor = Schedule(epochs=300, curve=WarmCosine(warm=5 / 300, flat=15 / 300), warmup_iterations=0).factor
    expected = {0: 0, 1: 1 / 25, 2.5: 1 / 4, 5: 1, 145: 0.05 + 0.95 / 2, 285: 0.05, 299: 0.05}
    for epoch, value in expected.items():
        assert factor(round(epoch * 10), 10) == pytest.approx(value), epoch


def test_rules_multiply():
    model = Small()
    rules = [Rule("^backbone", lr=0.1), Rule(r"backbone\.0", weight_decay=0.0)]
    optimizer = SGD(lr=1.0, weight_decay=0.5, rules=rules, norm_decay=0.0, bias_lr=2.0, bias_decay=0.1).build(model)
    groups = groups_by_name(model, optimizer)
    assert (groups["backbone.0.weight"]["lr"], groups["backbone.0.weight"]["weight_decay"]) == (0.1, 0)
    assert (groups["backbone.1.weight"]["lr"], groups["backbone.1.weight"]["weight_decay"]) == (0.1, 0)
    assert (groups["head.weight"]["lr"], groups["head.weight"]["weight_decay"]) == (1.0, 0.5)
    assert (groups["head.bias"]["lr"], groups["head.bias"]["weight_decay"]) == (2.0, 0.05)
    assert "frozen.weight" not in groups
    assert set_rate(optimizer, 0.5) == 1.0
    assert groups["backbone.0.weight"]["lr"] == pytest.approx(0.05)


def test_what_moves_a_deformable_convolution_learns_as_weights_do():
    model = nn.Sequential(DeformConv(4, 4, bias=True))
    groups = groups_by_name(model, SGD(lr=1.0, weight_decay=0.5, bias_lr=2.0, bias_decay=0.0).build(model))
    assert (groups["0.bias"]["lr"], groups["0.bias"]["weight_decay"]) == (2.0, 0)
    for name in ("0.conv_offset.bias", "0.conv_offset.weight", "0.weight"):
        assert (groups[name]["lr"], groups[name]["weight_decay"]) == (1.0, 0.5)


def test_a_rule_must_match():
    with pytest.raises(ValueError, match="'neck' matches no parameter"):
        AdamW(rules=[Rule("neck")]).build(Small())
    assert isinstance(AdamW().build(Small()), torch.optim.AdamW)


def test_ema_by_hand():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    ema = EMA(model, 0.5)
    model.weight.data.fill_(1.0)
    ema.update(model)  # weight 1 - min(0.5, 2/11)
    assert float(ema.state["weight"]) == pytest.approx(9 / 11)
    with ema.applied(model):
        assert model.weight.item() == pytest.approx(9 / 11)
    assert model.weight.item() == 1


def test_recompute_changes_no_gradient():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)))
    x = torch.randn(5, 3)
    model(x).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    recompute(model, ["1"])
    model(x).sum().backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected))
    with pytest.raises(ValueError, match="no submodule 'nope'"):
        recompute(model, ["nope"])
    with pytest.raises(ValueError, match="learns batch statistics"):
        recompute(Small(), ["backbone"])


def test_parameters_that_begin_to_learn_later():
    model = Small()
    optimizer = SGD(lr=1.0, rules=[Rule("^backbone", lr=0.1), Rule(r"backbone\.0", start=10)]).build(model)
    learning = []
    for time in (0, 9.99, 10):
        wake(optimizer, time)
        learning.append({name for name, p in model.named_parameters() if p.requires_grad})
    late = {"backbone.0.weight", "backbone.0.bias"}
    assert learning[0] == learning[1] == learning[2] - late
    assert late < learning[2] and not any(name.startswith("frozen") for name in learning[2])
    assert groups_by_name(model, optimizer)["backbone.0.weight"]["lr"] == 0.1
