"""SeqFormer (https://arxiv.org/abs/2112.08275) on YouTube-VIS 2019, 2021 and OVIS.

The paper's AP on YouTube-VIS 2019: R-50 47.4, R-101 49.0, Swin-L 59.3, trained on COCO first (`..._coco`) and
then on videos and COCO's images together (`..._joint`). Training: 5 frames a clip, AdamW of 2e-4, 32 videos a step,
the backbone at a tenth of it, gradients clipped to 0.01; 12k steps at 2019's size.
"""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.rename.seqformer import SEQFORMER
from vidperc.engine.experiment import Experiment
from vidperc.engine.optim import AdamW, Rule
from vidperc.engine.schedule import Schedule
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.swin import SwinTransformer

from ..common.classes import coco_classes, ovis_classes, youtube_vis_2019_classes, youtube_vis_2021_classes
from ..common.seqformer import seqformer
from ..common.vis_data import (
    COCO_IN_OVIS,
    COCO_IN_YOUTUBE_VIS_2019,
    COCO_IN_YOUTUBE_VIS_2021,
    coco_scoring,
    coco_training,
    joint_training,
    youtube_vis_scoring,
    youtube_vis_training,
)


def seqformer_r50_ytvis2019() -> fdl.Config:
    """R-50; batch norms do not learn at all."""
    classes = youtube_vis_2019_classes()
    return fdl.Config(
        Experiment,
        task="vis",
        model=seqformer(fdl.Config(ResNet, out_indices=(1, 2, 3), norm="frozen"), num_classes=len(classes)),
        classes=classes,
        published_keys=SEQFORMER,
        train_data=fdl.Config(youtube_vis_training, "data/youtube_vis_2019", classes, frames=5),
        test_data=fdl.Config(youtube_vis_scoring, "data/youtube_vis_2019", classes),
        schedule=_schedule(),
    )


def seqformer_r101_ytvis2019() -> fdl.Config:
    return _with_r101(seqformer_r50_ytvis2019())


def seqformer_swin_l_ytvis2019() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ytvis2019())


def seqformer_r50_ytvis2021() -> fdl.Config:
    return _on(seqformer_r50_ytvis2019(), "data/youtube_vis_2021", youtube_vis_2021_classes())


def seqformer_r101_ytvis2021() -> fdl.Config:
    return _with_r101(seqformer_r50_ytvis2021())


def seqformer_swin_l_ytvis2021() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ytvis2021())


def seqformer_r50_ovis() -> fdl.Config:
    """Videos of OVIS are too long to decode at once on many machines; they are matched clip by clip."""
    config = _on(seqformer_r50_ytvis2019(), "data/ovis", ovis_classes())
    config.model.clip_length, config.model.clip_stride = 5, 1
    return config


def seqformer_r101_ovis() -> fdl.Config:
    return _with_r101(seqformer_r50_ovis())


def seqformer_swin_l_ovis() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ovis())


def seqformer_r50_ytvis2019_joint() -> fdl.Config:
    """On YouTube-VIS and COCO together."""
    return _joint(seqformer_r50_ytvis2019(), COCO_IN_YOUTUBE_VIS_2019)


def seqformer_r101_ytvis2019_joint() -> fdl.Config:
    return _joint(seqformer_r101_ytvis2019(), COCO_IN_YOUTUBE_VIS_2019)


def seqformer_swin_l_ytvis2019_joint() -> fdl.Config:
    return _joint(seqformer_swin_l_ytvis2019(), COCO_IN_YOUTUBE_VIS_2019)


def seqformer_r50_ytvis2021_joint() -> fdl.Config:
    return _joint(seqformer_r50_ytvis2021(), COCO_IN_YOUTUBE_VIS_2021)


def seqformer_r101_ytvis2021_joint() -> fdl.Config:
    return _joint(seqformer_r101_ytvis2021(), COCO_IN_YOUTUBE_VIS_2021)


def seqformer_swin_l_ytvis2021_joint() -> fdl.Config:
    return _joint(seqformer_swin_l_ytvis2021(), COCO_IN_YOUTUBE_VIS_2021)


def seqformer_r50_ovis_joint() -> fdl.Config:
    return _joint(seqformer_r50_ovis(), COCO_IN_OVIS)


def seqformer_r101_ovis_joint() -> fdl.Config:
    return _joint(seqformer_r101_ovis(), COCO_IN_OVIS)


def seqformer_swin_l_ovis_joint() -> fdl.Config:
    return _joint(seqformer_swin_l_ovis(), COCO_IN_OVIS)


def seqformer_r50_coco() -> fdl.Config:
    """Pre-training: images as videos of one frame. Its length of 24 epochs is our choice, the paper gives none."""
    config = seqformer_r50_ytvis2019()
    config.classes = coco_classes()
    config.model.num_classes, config.model.top_k = len(config.classes), 100
    config.train_data = fdl.Config(coco_training, "data/coco", config.classes)
    config.test_data = fdl.Config(coco_scoring, "data/coco", config.classes)
    config.schedule.iterations, config.schedule.epochs, config.schedule.milestones = None, 24, (20,)
    return config


def seqformer_r101_coco() -> fdl.Config:
    return _with_r101(seqformer_r50_coco())


def seqformer_swin_l_coco() -> fdl.Config:
    return _with_swin_l(seqformer_r50_coco())


def _on(config: fdl.Config, data_root: str, classes: tuple[str, ...]) -> fdl.Config:
    """On another benchmark of YouTube-VIS's form."""
    config.model.num_classes, config.classes = len(classes), classes
    for data in (config.train_data, config.test_data):
        data.data_root, data.classes = data_root, classes
    return config


def _joint(config: fdl.Config, names: dict[str, str]) -> fdl.Config:
    """With COCO's images beside the videos."""
    data = config.train_data
    config.train_data = fdl.Config(joint_training, data.data_root, "data/coco", data.classes, names, frames=data.frames)
    return config


def _with_r101(config: fdl.Config) -> fdl.Config:
    config.model.backbone.depth = 101
    return config


def _with_swin_l(config: fdl.Config) -> fdl.Config:
    """Window 7; pictures of 480 pixels on the shorter side."""
    config.model.backbone = fdl.Config(SwinTransformer, "large", out_indices=(1, 2, 3), drop_path=0.3)
    config.model.preprocessor.test_scale = (1333, 480)
    return config


def _schedule() -> fdl.Config:
    rules = [fdl.Config(Rule, r"^backbone\.", lr=0.1), fdl.Config(Rule, r"sampling_offsets|reference_points", lr=0.1)]
    return fdl.Config(
        Schedule, iterations=12000, milestones=(8000,), batch_size=32, clip_norm=0.01, warmup_iterations=10,
        evaluate_every=None,
        optimizer=fdl.Config(AdamW, lr=2e-4, weight_decay=1e-4, rules=rules),
    )  # fmt: skip
