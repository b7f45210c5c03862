"""The parts of SeqFormer (https://arxiv.org/abs/2112.08275) that its configs share."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.preprocess_pillow import PillowPreprocessor
from vidperc.layers.deformable_transformer import DeformableEncoder, DeformableEncoderLayer
from vidperc.video.seqformer import SeqFormer
from vidperc.video.seqformer_criterion import SeqFormerCriterion
from vidperc.video.seqformer_decoder import SeqFormerDecoder, SeqFormerDecoderLayer


def seqformer(
    backbone: fdl.Config, num_classes: int, *, layers: int = 6, dropout: float = 0.1, **changes: Any
) -> fdl.Config:
    """Six layers each of encoder and decoder, on four levels, unless told otherwise."""
    return fdl.Config(
        SeqFormer,
        preprocessor=fdl.Config(PillowPreprocessor),
        backbone=backbone,
        encoder=fdl.Config(
            DeformableEncoder, layers=[fdl.Config(DeformableEncoderLayer, dropout=dropout) for _ in range(layers)]
        ),
        decoder=fdl.Config(
            SeqFormerDecoder, layers=[fdl.Config(SeqFormerDecoderLayer, dropout=dropout) for _ in range(layers)]
        ),
        criterion=fdl.Config(SeqFormerCriterion),
        num_classes=num_classes,
        **changes,
    )
