"""What configs of query detectors share."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.experiment import Experiment
from vidperc.image.single_stage import SingleStageDetector

from .backbones import from_imagenet_if_resnet
from .classes import coco_classes
from .det_data import on_coco
from .models import common_keys, preprocessor, resnet


def query_detector(
    head: fdl.Config,
    *,
    backbone: fdl.Config | None = None,
    neck: fdl.Config | None = None,
    preprocess: fdl.Config | None = None,
    classes: tuple[str, ...] | None = None,
    schedule: fdl.Config,
    keys: KeyRules,
) -> fdl.Config:
    """A detector on a ResNet-50 whose batch norms do not learn, on COCO, where nothing else is said.

    Other classes come without data.
    """
    model = fdl.Config(
        SingleStageDetector,
        preprocessor=preprocess or preprocessor(pad_divisor=1),
        backbone=backbone or resnet(norm="frozen_bn"),
        neck=neck,
        head=head,
    )
    config = fdl.Config(
        Experiment,
        task="det",
        model=model,
        classes=classes or coco_classes(),
        published_keys=(*keys, *common_keys()),
        schedule=schedule,
    )
    from_imagenet_if_resnet(config)
    return on_coco(config) if classes is None else config


def transformer_keys() -> KeyRules:
    """Published names of transformers' layers, of which the decoder's norms are each method's business.

    Checkpoints from before April 2021 say `self_attn`, `multihead_attn` and `ffn`.
    """
    return (
        (r"^bbox_head\.transformer\.", "head.predictor."),
        (r"^bbox_head\.", "head.predictor."),
        (r"\.(attentions\.0|self_attn)\.(attn\.)?", ".self_attn."),
        (r"\.(attentions\.1|multihead_attn)\.(attn\.)?", ".cross_attn."),
        (r"\.(ffns\.0|ffn)\.layers\.0\.0\.", ".linear1."),
        (r"\.(ffns\.0|ffn)\.layers\.1\.", ".linear2."),
        (r"\.(encoder\.layers\.\d+)\.norms\.0\.", r".\1.norm1."),
        (r"\.(encoder\.layers\.\d+)\.norms\.1\.", r".\1.norm2."),
    )
