"""SeqFormer (https://arxiv.org/abs/2112.08275) on YouTube-VIS 2019, 2021 and OVIS.

The paper's AP on YouTube-VIS 2019: R-50 47.4, R-101 49.0, Swin-L 59.3. Training: 5 frames a clip, AdamW of
2e-4, 32 videos a step, the backbone at a tenth of it, gradients clipped to 0.01; 12k steps at 2019's size.
"""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.rename.seqformer import SEQFORMER
from vidperc.engine.experiment import Experiment
from vidperc.engine.optim import AdamW, Rule
from vidperc.engine.schedule import Schedule
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.swin import SwinTransformer

from ..common.classes import ovis_classes, youtube_vis_2019_classes, youtube_vis_2021_classes
from ..common.seqformer import seqformer


def seqformer_r50_ytvis2019() -> fdl.Config:
    """R-50; batch norms do not learn at all."""
    return fdl.Config(
        Experiment,
        task="vis",
        model=seqformer(fdl.Config(ResNet, out_indices=(1, 2, 3), norm="frozen"), num_classes=40),
        classes=youtube_vis_2019_classes(),
        published_keys=SEQFORMER,
        schedule=_schedule(),
    )


def seqformer_r101_ytvis2019() -> fdl.Config:
    return _with_r101(seqformer_r50_ytvis2019())


def seqformer_swin_l_ytvis2019() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ytvis2019())


def seqformer_r50_ytvis2021() -> fdl.Config:
    config = seqformer_r50_ytvis2019()
    config.model.num_classes, config.classes = 40, youtube_vis_2021_classes()
    return config


def seqformer_r101_ytvis2021() -> fdl.Config:
    return _with_r101(seqformer_r50_ytvis2021())


def seqformer_swin_l_ytvis2021() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ytvis2021())


def seqformer_r50_ovis() -> fdl.Config:
    """Videos of OVIS are too long to decode at once on many machines; they are matched clip by clip."""
    config = seqformer_r50_ytvis2019()
    config.model.num_classes, config.classes = 25, ovis_classes()
    config.model.clip_length, config.model.clip_stride = 5, 1
    return config


def seqformer_r101_ovis() -> fdl.Config:
    return _with_r101(seqformer_r50_ovis())


def seqformer_swin_l_ovis() -> fdl.Config:
    return _with_swin_l(seqformer_r50_ovis())


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
        optimizer=fdl.Config(AdamW, lr=2e-4, weight_decay=1e-4, rules=rules),
    )  # fmt: skip
