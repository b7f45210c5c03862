"""The R-CNN family end to end from uint8 frames against the recorded outputs of the reference."""

from __future__ import annotations

import kit
import pytest

GOLDENS = (
    "cascade_rcnn_r50_fpn_1x_coco",
    "detectors_cascade_rcnn_r50_1x_coco",
    "dh_faster_rcnn_r50_fpn_1x_coco",
    "dynamic_rcnn_r50_fpn_1x_coco",
    "crpn_r50_caffe_fpn_1x_coco",
    "fast_rcnn_r50_fpn_1x_coco",
    "faster-rcnn_r50_fpn_4e_mot17-half",
    "faster_rcnn_r50_fpg-chn128_crop640_50e_coco",
    "faster_rcnn_r50_fpn_1x_cityscapes",
    "faster_rcnn_r50_fpn_1x_coco",
    "faster_rcnn_r50_fpn_1x_det_bdd100k",
    "faster_rcnn_r50_fpn_1x_voc0712",
    "faster_rcnn_r50_fpn_attention_1111_1x_coco",
    "faster_rcnn_r50_fpn_carafe_1x_coco",
    "faster_rcnn_r50_fpn_dconv_c3-c5_1x_coco",
    "faster_rcnn_r50_fpn_gn-all_scratch_6x_coco",
    "faster_rcnn_r50_fpn_gn_ws-all_1x_coco",
    "faster_rcnn_r50_fpn_mdconv_c3-c5_1x_coco",
    "faster_rcnn_r50_pafpn_1x_coco",
    "libra_faster_rcnn_r50_fpn_1x_coco",
    "faster_rcnn_r50_fpn_groie_1x_coco",
    "grid_rcnn_r50_fpn_gn-head_2x_coco",
    "htc_r50_fpn_1x_coco",
    "mask_rcnn_r50_fpn_15e_deepfashion",
    "mask_rcnn_r50_fpn_1x_coco",
    "mask_rcnn_r50_fpn_1x_coco_v1",
    "mask_rcnn_r50_fpn_albu_1x_coco",
    "mask_rcnn_r50_fpn_gn-all_2x_coco",
    "mask_rcnn_r50_fpn_instaboost_4x_coco",
    "mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco",
    "mask_rcnn_r50_fpn_sample1e-3_mstrain_1x_lvis_v1",
    "ms_rcnn_r50_caffe_fpn_1x_coco",
    "point_rend_r50_caffe_fpn_mstrain_1x_coco",
    "pisa_faster_rcnn_r50_fpn_1x_coco",
    "rpn_r50_fpn_1x_coco",
    "scnet_r50_fpn_1x_coco",
    "tridentnet_r50_caffe_1x_coco",
    "sabl_faster_rcnn_r50_fpn_1x_coco",
)


@pytest.mark.parametrize("name", GOLDENS)
def test_outputs_equal_the_recorded_ones(name, tmp_path):
    result = kit.detector_agreement(name, tmp_path)
    assert result.passed, result
