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
def test_what_of_a_backbone_learns_is_as_published(name):
    published = kit.load_spec(name)["hyper"]["model"]["backbone"]
    given = fdl.ordered_arguments(get_config(name).model.backbone, include_defaults=True)
    for key in ("frozen_stages", "norm_eval", "depth"):
        assert given.get(key) == published.get(key), key
    assert given.get("drop_path", 0.1) == published.get("drop_path_rate", 0.1)
