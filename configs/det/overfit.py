"""A detector that must learn 64 real images by heart: a check of the whole of training, not a model to use."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.datasets import ClipDataset
from vidperc.data.readers.coco import read_coco
from vidperc.data.transforms import Resize
from vidperc.engine.experiment import Experiment, TestData, TrainData
from vidperc.engine.optim import AdamW
from vidperc.engine.schedule import Cosine, Schedule
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.image.backbones import ResNet
from vidperc.image.heads.rpn import ProposalSelector
from vidperc.image.samplers import RandomSampler

from ..common.classes import coco_classes
from ..common.models import fpn, preprocessor
from ..common.two_stage import faster_rcnn, rpn_head


def faster_rcnn_r18_fpn_coco64() -> fdl.Config:
    """Faster R-CNN, ResNet-18 from nothing, short side 320, scored on the images it learns.

    Give the data by `annotations=FILE images=FOLDER`.
    """
    records = fdl.Config(read_coco, "data/COCO64/annotations/instances.json", "data/COCO64/images", coco_classes())
    transforms = [fdl.Config(Resize, (533, 320))]
    return fdl.Config(
        Experiment,
        task="det",
        model=_model(),
        classes=coco_classes(),
        train_data=fdl.Config(TrainData, dataset=fdl.Config(ClipDataset, records, transforms=transforms)),
        test_data=fdl.Config(TestData, records, fdl.Partial(COCOEvaluator, classes=coco_classes()), "AP50"),
        schedule=fdl.Config(
            Schedule, iterations=2000, batch_size=2, warmup_iterations=50, clip_norm=10.0, ema_decay=0.99,
            curve=fdl.Config(Cosine, final=0.01), evaluate_every=250,
            optimizer=fdl.Config(AdamW, lr=8e-4, weight_decay=0.01, norm_decay=0.0, bias_decay=0.0),
        ),
    )  # fmt: skip


def _model() -> fdl.Config:
    """The published Faster R-CNN at 64 channels, with fewer regions."""
    model = faster_rcnn()
    model.preprocessor = preprocessor((533, 320))
    model.backbone = fdl.Config(ResNet, depth=18, frozen_stages=-1, norm_eval=False)
    model.neck = fpn((64, 128, 256, 512), out_channels=64)
    model.rpn = rpn_head(64, scales=(4,))
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=500, post_nms=200)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=1000, post_nms=400)
    model.roi_head.box_head.in_channels = 64
    model.roi_head.box_head.hidden = 512
    model.roi_head.sampler.sampler = fdl.Config(RandomSampler, 128, 0.25)
    return model
