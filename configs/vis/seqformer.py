"""SeqFormer (https://arxiv.org/abs/2112.08275) on YouTube-VIS 2019, 2021 and OVIS."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.rename.seqformer import SEQFORMER
from vidperc.engine.experiment import Experiment
from vidperc.image.backbones import ResNet
from vidperc.image.preprocess_pillow import PillowPreprocessor
from vidperc.layers.deformable_transformer import DeformableEncoder, DeformableEncoderLayer
from vidperc.video.seqformer import SeqFormer
from vidperc.video.seqformer_criterion import SeqFormerCriterion
from vidperc.video.seqformer_decoder import SeqFormerDecoder, SeqFormerDecoderLayer


def _seqformer(backbone: fdl.Config, num_classes: int, dropout: float = 0.1) -> fdl.Config:
    """Six layers each of encoder and decoder, on four levels."""
    return fdl.Config(
        SeqFormer,
        preprocessor=fdl.Config(PillowPreprocessor),
        backbone=backbone,
        encoder=fdl.Config(
            DeformableEncoder, layers=[fdl.Config(DeformableEncoderLayer, dropout=dropout) for _ in range(6)]
        ),
        decoder=fdl.Config(
            SeqFormerDecoder, layers=[fdl.Config(SeqFormerDecoderLayer, dropout=dropout) for _ in range(6)]
        ),
        criterion=fdl.Config(SeqFormerCriterion),
        num_classes=num_classes,
    )


def _resnet(depth: int, **changes: Any) -> fdl.Config:
    """As the published backbones: batch norms do not learn at all."""
    return fdl.Config(ResNet, depth=depth, out_indices=(1, 2, 3), norm="frozen", **changes)


def seqformer_r50_ytvis2019() -> fdl.Config:
    return fdl.Config(
        Experiment,
        task="vis",
        model=_seqformer(_resnet(50), num_classes=40),
        published_keys=SEQFORMER,
    )
