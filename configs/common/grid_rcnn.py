"""Grid R-CNN from its parts."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.engine.schedule import Schedule
from vidperc.image.roi_heads.extractor import RoIExtractor
from vidperc.image.roi_heads.grid import ClassHead, GridCriterion, GridHead, GridRoIHead

from .two_stage import cascade_rcnn, experiment, region_sampler


def grid_rcnn(schedule: fdl.Config | None = None) -> fdl.Config[Experiment]:
    """Grid R-CNN, ResNet-50 with FPN, on COCO for 25 epochs, the first of them to warm up."""
    model = cascade_rcnn()  # whose region proposals it has
    model.roi_head = fdl.Config(
        GridRoIHead,
        extractor=fdl.Config(RoIExtractor, 7),
        class_head=fdl.Config(ClassHead, 256),
        grid_extractor=fdl.Config(RoIExtractor, 14),
        grid_head=fdl.Config(GridHead, 256),
        sampler=region_sampler(match_low_quality=True),
        criterion=fdl.Config(GridCriterion),
    )
    if schedule is None:
        schedule = fdl.Config(Schedule, epochs=25, milestones=(17, 23), warmup_iterations=3665, warmup_ratio=1 / 80)
    config = experiment(model, schedule)
    config.published_keys = (
        (r"^roi_head\.bbox_head\.", "roi_head.class_head."),
        (r"^roi_head\.grid_roi_extractor\.", "roi_head.grid_extractor."),
        *config.published_keys,
    )
    return config
