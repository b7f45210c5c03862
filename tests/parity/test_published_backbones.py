"""Detectors on other backbones than ResNets end to end against the recorded outputs of the reference."""

from __future__ import annotations

import fiddle as fdl
import kit
import pytest

from vidperc.models import get_config

GOLDENS = (
    "faster_rcnn_convnext-t_fpn_fp16_1x_det_bdd100k",
    "faster_rcnn_hrnetv2p_w18_1x_coco",
    "faster_rcnn_r2_101_fpn_2x_coco",
    "faster_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
    "faster_rcnn_swin-t_fpn_1x_det_bdd100k",
    "retinanet_pvt-t_fpn_1x_det_bdd100k",
    "retinanet_pvtv2-b0_fpn_1x_det_bdd100k",
    "retinanet_regnetx-800MF_fpn_1x_coco",
)


@pytest.mark.parametrize("name", GOLDENS)
def test_outputs_equal_the_recorded_ones(name, tmp_path):
    result = kit.detector_agreement(name, tmp_path)
    assert result.passed, result


@pytest.mark.parametrize("name", GOLDENS)
def test_training_is_as_published(name):
    config, published = get_config(name), kit.load_spec(name)["hyper"]
    schedule, optimizer = fdl.build(config.schedule), published["optimizer"]
    assert type(schedule.optimizer).__name__ == optimizer["type"]
    assert (schedule.optimizer.lr, schedule.optimizer.weight_decay) == (optimizer["lr"], optimizer["weight_decay"])
    clip = published["optimizer_config"]["grad_clip"]
    assert schedule.clip_norm == (None if clip is None else clip["max_norm"])
    rate = published["lr_config"]
    assert list(schedule.milestones) == rate["step"]
    assert (schedule.warmup_iterations, schedule.warmup_ratio) == (rate["warmup_iters"], rate["warmup_ratio"])
    assert schedule.epochs == published["runner"]["max_epochs"]
    assert schedule.precision == ("fp16" if "fp16" in published else "fp32")
    backbone, given = (
        published["model"]["backbone"],
        fdl.ordered_arguments(config.model.backbone, include_defaults=True),
    )
    for key in ("frozen_stages", "norm_eval", "depth"):
        assert given.get(key) == backbone.get(key), key
    assert given.get("drop_path", 0.1) == backbone.get("drop_path_rate", 0.1)
