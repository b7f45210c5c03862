"""SeqFormer (https://arxiv.org/abs/2112.08275) on YouTube-VIS 2019, 2021 and OVIS."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.rename.seqformer import SEQFORMER
from vidperc.engine.experiment import Experiment
from vidperc.image.backbones import ResNet

from ..common.seqformer import seqformer


def seqformer_r50_ytvis2019() -> fdl.Config:
    return fdl.Config(
        Experiment,
        task="vis",
        model=seqformer(fdl.Config(ResNet, out_indices=(1, 2, 3), norm="frozen"), num_classes=40),
        published_keys=SEQFORMER,
    )
