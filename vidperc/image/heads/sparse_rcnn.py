"""Sparse R-CNN (https://arxiv.org/abs/2011.12450): learned boxes and their features, refined stage by stage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from ...layers.attention import MultiheadAttention
from ...structures import ImageList
from ..box_coders import DeltaCoder
from ..roi_heads.extractor import RoIExtractor
from .query import QueryOutputs


class DynamicInteraction(nn.Module):
    """Two layers over the pixels of a region, whose weights are made from the region's query (section 3.2).

    Args:
        channels: D, of queries and regions.
        inner: width between the two layers.
        roi_size: side of the regions.
    """

    def __init__(self, channels: int = 256, *, inner: int = 64, roi_size: int = 7) -> None:
        super().__init__()
        self.inner = inner
        self.dynamic_layer = nn.Linear(channels, 2 * channels * inner)
        self.norm_in, self.norm_out = nn.LayerNorm(inner), nn.LayerNorm(channels)
        self.fc_layer = nn.Linear(channels * roi_size**2, channels)
        self.fc_norm = nn.LayerNorm(channels)

    def forward(self, query: Tensor, regions: Tensor) -> Tensor:
        """Queries (P, D) and their regions (P, D, S, S) to (P, D)."""
        first, second = self.dynamic_layer(query).chunk(2, dim=1)
        x = regions.flatten(2).transpose(1, 2)  # (P, S * S, D)
        x = self.norm_in(x @ first.unflatten(1, (-1, self.inner))).relu()
        x = self.norm_out(x @ second.unflatten(1, (self.inner, -1))).relu()
        return self.fc_norm(self.fc_layer(x.flatten(1))).relu()


class SparseStage(nn.Module):
    """One stage: attention among the queries, interaction with their regions, a two-layer network, the outputs.

    Args:
        channels: D.
        classes: C.
        heads, hidden: of the attention and the two-layer network.
        inner, roi_size: of the interaction.
        class_layers, box_layers: hidden layers before the outputs.
    """

    def __init__(
        self,
        channels: int = 256,
        *,
        classes: int = 80,
        heads: int = 8,
        hidden: int = 2048,
        inner: int = 64,
        roi_size: int = 7,
        class_layers: int = 1,
        box_layers: int = 3,
    ) -> None:
        super().__init__()
        self.attention = MultiheadAttention(channels, heads)
        self.attention_norm = nn.LayerNorm(channels)
        self.interaction = DynamicInteraction(channels, inner=inner, roi_size=roi_size)
        self.interaction_norm = nn.LayerNorm(channels)
        self.linear1, self.linear2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        self.cls_fcs, self.reg_fcs = hidden_layers(channels, class_layers), hidden_layers(channels, box_layers)
        self.fc_cls, self.fc_reg = nn.Linear(channels, classes), nn.Linear(channels, 4)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.fc_cls.bias, -math.log(99.0))  # every class starts at a score of 0.01
        nn.init.zeros_(self.fc_reg.weight)
        nn.init.zeros_(self.fc_reg.bias)

    def forward(self, query: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, Q, D) and regions (B * Q, D, S, S) to the next queries, logits (B, Q, C), codes (B, Q, 4)."""
        query = self.attention_norm(query + self.attention(query, query, query))
        seen = self.interaction(query.flatten(0, 1), regions).view_as(query)
        query = self.interaction_norm(query + seen)
        query = self.ffn_norm(query + self.linear2(self.linear1(query).relu_()))
        return query, self.fc_cls(self.cls_fcs(query)).float(), self.fc_reg(self.reg_fcs(query)).float()


def hidden_layers(channels: int, count: int) -> nn.Sequential:
    """Linear layers without bias, each with its norm and ReLU."""
    layers = ((nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU()) for _ in range(count))
    return nn.Sequential(*(part for layer in layers for part in layer))


class SparsePredictor(nn.Module):
    """Learned boxes and features, the same for every image, and the stages that move them to the objects.

    Args:
        stages: `SparseStage`s.
        extractor: features of regions.
        coder: of the boxes, relative to those of the stage before.
        queries: how many boxes.
        channels: D.
    """

    def __init__(
        self,
        *,
        stages: Sequence[nn.Module],
        extractor: RoIExtractor,
        coder: DeltaCoder,
        queries: int = 100,
        channels: int = 256,
    ) -> None:
        super().__init__()
        self.boxes = nn.Embedding(queries, 4)  # cx cy w h in parts of the image
        self.features = nn.Embedding(queries, channels)
        self.stages: nn.ModuleList = nn.ModuleList(stages)
        self.extractor, self.coder = extractor, coder
        with torch.no_grad():
            self.boxes.weight.copy_(torch.tensor([0.5, 0.5, 1.0, 1.0]).expand(queries, -1))  # all of the image

    def forward(self, features: list[Tensor], images: ImageList) -> QueryOutputs:
        sizes = self.boxes.weight.new_tensor([(w, h, w, h) for h, w in images.sizes])[:, None]
        boxes = box_convert(self.boxes.weight, "cxcywh", "xyxy") * sizes  # (B, Q, 4) in pixels
        query = self.features.weight.expand(len(boxes), -1, -1)
        logits, found = [], []
        for stage in self.stages:
            regions = self.extractor(features, list(boxes.detach()))
            query, classes, codes = stage(query, regions)
            logits.append(classes)
            found.append(self.coder.decode(boxes, codes))
            boxes = found[-1].detach()
        return QueryOutputs(torch.stack(logits), torch.stack(found) / sizes)
