"""What CornerNet and CentripetalNet share: the backbone, the test and the schedule."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.transforms import CentreCropPad, Flip, PhotometricDistortion, Resize
from vidperc.engine.experiment import Experiment
from vidperc.engine.optim import AdamW
from vidperc.engine.schedule import Schedule
from vidperc.image.backbones.hourglass import HourglassNet
from vidperc.image.mirrored import MirroredDetector
from vidperc.image.preprocess_centred import CentredPreprocessor

from .classes import coco_classes
from .dense import dense_keys
from .det_data import on_changed_coco


def corner_detector(head: fdl.Config, *, batch_size: int, milestone: int) -> fdl.Config:
    """Corners from two hourglasses on COCO, 210 epochs of Adam."""
    model = fdl.Config(
        MirroredDetector, preprocessor=fdl.Config(CentredPreprocessor), backbone=fdl.Config(HourglassNet), head=head
    )
    config = fdl.Config(
        Experiment,
        task="det",
        model=model,
        classes=coco_classes(),
        published_keys=(*dense_keys(), (r"^head\.predictor\.(tl|br)_(\w+)\.(\d)\.", r"head.predictor.\1.\3.\2.")),
        schedule=fdl.Config(
            Schedule,
            epochs=210,
            milestones=(milestone,),
            warmup_ratio=1 / 3,
            batch_size=batch_size,
            clip_norm=35.0,
            optimizer=fdl.Config(AdamW, lr=5e-4, weight_decay=0.0),
        ),
    )
    side = (511, 511)
    transforms = [
        fdl.Config(PhotometricDistortion),
        fdl.Config(CentreCropPad, side),
        fdl.Config(Resize, side, keep_ratio=False),
        fdl.Config(Flip),
    ]
    return on_changed_coco(config, transforms)
