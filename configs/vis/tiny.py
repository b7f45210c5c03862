"""A tiny SeqFormer that learns to segment and follow synthetic objects on a CPU."""

from __future__ import annotations

import fiddle as fdl

from vidperc.data.frame_samplers import StridedClip
from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.data.transforms import Flip
from vidperc.engine.experiment import Experiment, TestData
from vidperc.engine.optim import AdamW, Rule
from vidperc.evaluation.vis import VISEvaluator, final_scores

from ..common.seqformer import seqformer
from ..common.synthetic import SIZE, synthetic_training, tiny_resnet, tiny_schedule

CHANNELS, LAYERS = 64, 3


def tiny_seqformer() -> fdl.Config:
    """ResNet-18 of width 16, 64 channels, one encoder and three decoder layers, 20 queries."""
    model = seqformer(
        tiny_resnet(out_indices=(1, 2, 3)), len(CLASSES), layers=LAYERS, dropout=0.0, channels=CHANNELS,
        num_queries=20, clip_length=5,
    )  # fmt: skip
    model.preprocessor.test_scale = None
    model.encoder.layers = model.encoder.layers[:1]
    for layer in (*model.encoder.layers, *model.decoder.layers):
        layer.channels, layer.hidden, layer.heads, layer.points = CHANNELS, 2 * CHANNELS, 4, 2
    model.decoder.channels = CHANNELS
    optimizer = fdl.Config(
        AdamW, lr=1e-3, weight_decay=1e-4, norm_decay=0.0, bias_decay=0.0,
        rules=[fdl.Config(Rule, r"sampling_offsets|reference_points", lr=0.1)],
    )  # fmt: skip
    return fdl.Config(
        Experiment,
        task="vis",
        model=model,
        shipped="tiny_seqformer.pt",
        classes=CLASSES,
        train_data=synthetic_training("vis", fdl.Config(StridedClip, 2, 4), [fdl.Config(Flip)]),
        validation_data=_scoring("val", videos=6, length=12),
        test_data=_scoring("test", videos=20, length=24),
        schedule=tiny_schedule(iterations=1200, clip_norm=1.0, evaluate_every=400, optimizer=optimizer),
    )


def tiny_vis() -> fdl.Config:
    """What `--task vis` means."""
    return tiny_seqformer()


def _scoring(split: str, videos: int, length: int) -> fdl.Config:
    """Track AP on videos whose objects leave and return."""
    return fdl.Config(
        TestData,
        records=fdl.Config(synthetic_videos, split, videos, length, SIZE, "vis"),
        evaluator=fdl.Partial(VISEvaluator, classes=CLASSES),
        metric="AP50",
        protocol=final_scores,
    )
