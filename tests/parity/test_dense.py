"""One-stage detectors end to end from uint8 frames against the recorded outputs of the reference."""

from __future__ import annotations

import kit
import pytest

GOLDENS = (
    "atss_r50_fpn_1x_coco",
    "atss_r50_fpn_dyhead_1x_det_bdd100k",
    "autoassign_r50_fpn_8x2_1x_coco",
    "fcos_r50_caffe_fpn_gn-head_1x_coco",
    "fcos_tricks_r50_fpn_1x_det_bdd100k",
    "fovea_r50_fpn_4x4_1x_coco",
    "fsaf_r50_fpn_1x_coco",
    "ga_retinanet_r50_caffe_fpn_1x_coco",
    "gfl_r50_fpn_1x_coco",
    "ld_r18_gflv1_r101_fpn_coco_1x",
    "nas_fcos_fcoshead_r50_caffe_fpn_gn-head_4x4_1x_coco",
    "paa_r50_fpn_1x_coco",
    "reppoints_moment_r50_fpn_1x_coco",
    "retinanet_free_anchor_r50_fpn_1x_coco",
    "retinanet_ghm_r50_fpn_1x_coco",
    "retinanet_r50_fpn_1x_coco",
    "retinanet_r50_fpn_1x_coco_v1",
    "retinanet_r50_fpn_fp16_1x_coco",
    "retinanet_r50_fpn_rsb_1x_det_bdd100k",
    "retinanet_r50_nasfpn_crop640_50e_coco",
    "ssd300_coco",
    "ssd300_wider_face",
    "vfnet_r50_fpn_1x_coco",
    "yolact_r50_1x8_coco",
    "yolof_r50_c5_8x8_1x_coco",
    "yolov3_d53_320_273e_coco",
)


@pytest.mark.parametrize("name", GOLDENS)
def test_outputs_equal_the_recorded_ones(name, tmp_path):
    result = kit.detector_agreement(name, tmp_path)
    assert result.passed, result
