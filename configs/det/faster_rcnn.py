"""Faster R-CNN (https://arxiv.org/abs/1506.01497) with FPN (https://arxiv.org/abs/1612.03144), DC5 and C4."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import three_stages
from vidperc.checkpoint.initial import InitialWeights
from vidperc.image.backbones.resnet import ResNetStage
from vidperc.image.heads.rpn import ProposalSelector
from vidperc.image.losses.boxes import bounded_iou_loss, giou_loss, iou_loss
from vidperc.image.regression import BoxRegression, Loss
from vidperc.image.roi_heads.box_head import PooledBoxHead
from vidperc.image.roi_heads.deform_pool import DeformRoIExtractor, DeformRoIPool, ModulatedDeformRoIPool
from vidperc.image.roi_heads.extractor import RoIExtractor

from ..common.backbones import with_caffe, with_dconv, with_depth, with_mdconv, with_resnext, with_scratch
from ..common.classes import cityscapes_classes, voc_classes
from ..common.det_data import any_short_side, on_coco, six_short_sides
from ..common.other_data import on_cityscapes, on_voc
from ..common.schedules import schedule_1x, schedule_2x, schedule_3x, schedule_cityscapes, schedule_voc
from ..common.two_stage import experiment, faster_rcnn, rpn_head, smooth_l1

ZOO = "https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn"
OF_ALL_CLASSES = "faster_rcnn_r50_caffe_fpn_mstrain_3x_coco_bbox_mAP-0.398_20200504_163323-30042637.pth"
OF_COCO = "faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth"


def _caffe_dc5(schedule: fdl.Config | None = None) -> fdl.Config:
    """One map of stride 16 from a dilated last stage, without a neck."""
    config = with_caffe(experiment(faster_rcnn(), schedule))
    model = config.model
    model.neck = None
    model.backbone.strides, model.backbone.dilations, model.backbone.out_indices = (1, 2, 2, 1), (1, 1, 1, 2), (3,)
    model.rpn = rpn_head(2048, strides=(16,), scales=(2, 4, 8, 16, 32), allowed_border=0)
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=6000, post_nms=1000)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=12000, post_nms=2000)
    model.roi_head.extractor = fdl.Config(RoIExtractor, 7, strides=(16,))
    model.roi_head.box_head.in_channels = 2048
    return config


def _caffe_c4() -> fdl.Config:
    """One map of stride 16 from the third stage; the fourth looks at each region."""
    config = with_caffe(experiment(faster_rcnn()))
    model = config.model
    config.initial.convert = three_stages
    model.neck = None
    model.backbone.num_stages, model.backbone.out_indices = 3, (2,)
    model.rpn = rpn_head(1024, strides=(16,), scales=(2, 4, 8, 16, 32))
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=6000, post_nms=1000)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=12000, post_nms=2000)
    model.roi_head.extractor = fdl.Config(RoIExtractor, 14, strides=(16,))
    stage = fdl.Config(ResNetStage, depth=50, stage=3, stride=2, style="caffe", norm="frozen_bn")
    model.roi_head.box_head = fdl.Config(PooledBoxHead, stage, in_channels=2048, classes=80)
    return config


def _with_box_loss(loss: Loss, weight: float = 10.0) -> fdl.Config:
    """The second stage learns boxes by a loss of their overlap."""
    config = experiment(faster_rcnn())
    config.model.roi_head.criterion.regression = fdl.Config(BoxRegression, loss=loss, weight=weight)
    return config


def faster_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(faster_rcnn()))


def faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(faster_rcnn())


def faster_rcnn_r50_fpn_2x_coco() -> fdl.Config:
    return experiment(faster_rcnn(), schedule_2x())


def faster_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(faster_rcnn()), 101)


def faster_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(faster_rcnn()), 101)


def faster_rcnn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(experiment(faster_rcnn(), schedule_2x()), 101)


def faster_rcnn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(faster_rcnn()))


def faster_rcnn_x101_32x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(faster_rcnn(), schedule_2x()))


def faster_rcnn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(faster_rcnn()), 101, 64, 4)


def faster_rcnn_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(faster_rcnn(), schedule_2x()), 101, 64, 4)


def faster_rcnn_r50_caffe_fpn_mstrain_1x_coco() -> fdl.Config:
    return on_coco(with_caffe(experiment(faster_rcnn())), six_short_sides())


def faster_rcnn_r50_caffe_fpn_mstrain_2x_coco() -> fdl.Config:
    config = with_caffe(experiment(faster_rcnn(), schedule_2x(milestones=(16, 23))))
    return on_coco(config, six_short_sides())


def faster_rcnn_r50_caffe_fpn_mstrain_3x_coco() -> fdl.Config:
    return on_coco(with_caffe(experiment(faster_rcnn(), schedule_3x())), any_short_side())


def _of_classes(*names: str) -> fdl.Config:
    """Learns some of COCO's classes, from a detector of all."""
    config = with_caffe(experiment(faster_rcnn(len(names)), classes=names))
    weights = f"{ZOO}/faster_rcnn_r50_caffe_fpn_mstrain_3x_coco/{OF_ALL_CLASSES}"
    config.initial = fdl.Config(InitialWeights, model=weights)
    return on_coco(config, six_short_sides())


def faster_rcnn_r50_caffe_fpn_mstrain_1x_coco_person() -> fdl.Config:
    return _of_classes("person")


def faster_rcnn_r50_caffe_fpn_mstrain_1x_coco_person_bicycle_car() -> fdl.Config:
    return _of_classes("person", "bicycle", "car")


def faster_rcnn_r50_caffe_dc5_1x_coco() -> fdl.Config:
    return _caffe_dc5()


def faster_rcnn_r50_caffe_dc5_mstrain_1x_coco() -> fdl.Config:
    return on_coco(_caffe_dc5(), six_short_sides())


def faster_rcnn_r50_caffe_dc5_mstrain_3x_coco() -> fdl.Config:
    return on_coco(_caffe_dc5(schedule_3x(milestones=(28, 34))), six_short_sides())


def faster_rcnn_r50_caffe_c4_1x_coco() -> fdl.Config:
    return _caffe_c4()


def faster_rcnn_r50_caffe_c4_mstrain_1x_coco() -> fdl.Config:
    return on_coco(_caffe_c4(), six_short_sides())


def faster_rcnn_r50_fpn_iou_1x_coco() -> fdl.Config:
    return _with_box_loss(iou_loss)


def faster_rcnn_r50_fpn_giou_1x_coco() -> fdl.Config:
    return _with_box_loss(giou_loss)


def faster_rcnn_r50_fpn_bounded_iou_1x_coco() -> fdl.Config:
    # The loss is the mean over x, y, width and height; the published weight of 10 is of their sum.
    return _with_box_loss(bounded_iou_loss, weight=40.0)


def faster_rcnn_r50_fpn_fp16_1x_coco() -> fdl.Config:
    return experiment(faster_rcnn(), schedule_1x(precision="fp16"))


def faster_rcnn_r50_fpn_gn_all_scratch_6x_coco() -> fdl.Config:
    return with_scratch(experiment(faster_rcnn()))


def faster_rcnn_r50_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(experiment(faster_rcnn()))


def faster_rcnn_r101_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_depth(experiment(faster_rcnn()), 101))


def faster_rcnn_x101_32x4d_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_resnext(experiment(faster_rcnn())))


def faster_rcnn_r50_fpn_mdconv_c3_c5_1x_coco() -> fdl.Config:
    return with_mdconv(experiment(faster_rcnn()))


def faster_rcnn_r50_fpn_mdconv_c3_c5_group4_1x_coco() -> fdl.Config:
    return with_mdconv(experiment(faster_rcnn()), deform_groups=4)


def faster_rcnn_r50_fpn_dpool_1x_coco() -> fdl.Config:
    return _with_pooling(DeformRoIPool)


def faster_rcnn_r50_fpn_mdpool_1x_coco() -> fdl.Config:
    return _with_pooling(ModulatedDeformRoIPool)


def _with_pooling(pool: type[DeformRoIPool]) -> fdl.Config:
    """Deformable RoI pooling, of each level its own."""
    config = experiment(faster_rcnn())
    config.model.roi_head.extractor = fdl.Config(DeformRoIExtractor, roi_layers=[fdl.Config(pool) for _ in range(4)])
    return config


def faster_rcnn_r50_fpn_1x_cityscapes() -> fdl.Config:
    config = experiment(faster_rcnn(8), schedule_cityscapes(), classes=cityscapes_classes())
    config.model.preprocessor.test_scale = (2048, 1024)
    config.model.roi_head.criterion.regression.loss = smooth_l1()
    config.initial = fdl.Config(InitialWeights, model=f"{ZOO}/faster_rcnn_r50_fpn_1x_coco/{OF_COCO}")
    return on_cityscapes(config)


def faster_rcnn_r50_fpn_1x_voc0712() -> fdl.Config:
    config = experiment(faster_rcnn(20), schedule_voc(), classes=voc_classes())
    config.model.preprocessor.test_scale = (1000, 600)
    return on_voc(config)
