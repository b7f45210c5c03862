"""Deformable DETR (https://arxiv.org/abs/2010.04159): queries that look at a few points of four feature maps.

Plain, with boxes refined from layer to layer (appendix A.4), and with queries chosen among the encoder's
pixels (two-stage, section 4.2).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from ...layers.deformable_transformer import (
    DeformableDecoder,
    DeformableEncoder,
    flatten_levels,
    inverse_sigmoid,
    valid_ratios,
)
from ...layers.positional_encoding import SinePositionalEncoding
from ...structures import ImageList
from .query import QueryOutputs, is_padded, padding_masks


class Memory(NamedTuple):
    """The encoder's output."""

    features: Tensor  # (B, S, D), all levels in one sequence
    shapes: list[tuple[int, int]]  # (height, width) of the levels
    valid: Tensor  # (B, L, 2) the unpadded part of each level, x and y
    masks: list[Tensor]  # (B, H, W) of each level, true where padded
    padding: Tensor | None  # (B, S) the same in one sequence; None without any


class StartQueries(NamedTuple):
    """What the decoder starts from."""

    content: Tensor  # (B, Q, D)
    position: Tensor  # (B, Q, D)
    reference: Tensor  # (B, Q, 2) points or (B, Q, 4) boxes cx cy w h, from 0 to 1 over the unpadded image
    proposals: QueryOutputs | None = None


def box_network(channels: int) -> nn.Sequential:
    """Three linear layers to the change of a box, which is none at the beginning."""
    last = nn.Linear(channels, 4)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), last
    )  # fmt: skip


def class_layer(channels: int, classes: int, prior: float = 0.01) -> nn.Linear:
    """Logits of the classes, each of which starts with the score `prior`."""
    layer = nn.Linear(channels, classes)
    nn.init.constant_(layer.bias, -math.log((1 - prior) / prior))
    return layer


class LearnedQueries(nn.Module):
    """Queries that are parameters, with points that follow from them; boxes start small.

    Args:
        count: Q.
        channels: D.
    """

    start_size = -2.0  # logit of the sides of the first boxes

    def __init__(self, count: int = 300, channels: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, 2 * channels)
        self.reference_points = nn.Linear(channels, 2)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def forward(self, memory: Memory) -> StartQueries:
        position, content = self.embedding.weight.chunk(2, dim=1)
        reference = self.reference_points(position).float().sigmoid()
        every = (len(memory.features), -1, -1)
        return StartQueries(content.expand(every), position.expand(every), reference.expand(every))


class ProposedQueries(nn.Module):
    """Every pixel of the encoder proposes a box; the queries are the best of them (appendix A.4).

    Args:
        count: Q, all pixels where there are fewer.
        channels: D.
        classes: outputs of the class layer, of which the first alone is used, for any object.
        base_size: side of the boxes of the finest level, in parts of the image; twice that on the next.
    """

    start_size = 0.0

    def __init__(self, count: int = 300, channels: int = 256, classes: int = 80, base_size: float = 0.05) -> None:
        super().__init__()
        self.count, self.base_size = count, base_size
        self.enc_output = nn.Linear(channels, channels)
        self.enc_output_norm = nn.LayerNorm(channels)
        self.pos_trans = nn.Linear(2 * channels, 2 * channels)
        self.pos_trans_norm = nn.LayerNorm(2 * channels)
        self.classes = class_layer(channels, classes)
        self.boxes = box_network(channels)
        for layer in (self.enc_output, self.pos_trans):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, memory: Memory) -> StartQueries:
        base, usable = pixel_boxes(memory, self.base_size)  # (B, S, 4) logits, (B, S)
        features = self.enc_output_norm(self.enc_output(memory.features.masked_fill(~usable[..., None], 0)))
        logits = self.classes(features).float()
        codes = self.boxes(features).float() + base
        best = logits[..., 0].topk(min(self.count, logits.shape[1]), dim=1).indices
        chosen = codes.detach().gather(1, best[..., None].expand(-1, -1, 4))
        start = self.pos_trans_norm(self.pos_trans(box_encoding(chosen.sigmoid(), features.shape[-1] // 2)))
        position, content = start.chunk(2, dim=-1)
        boxes = box_convert(codes.sigmoid(), "cxcywh", "xyxy")
        return StartQueries(content, position, chosen.sigmoid(), QueryOutputs(logits[None], boxes[None]))


def pixel_boxes(memory: Memory, base_size: float) -> tuple[Tensor, Tensor]:
    """A square box around every pixel, as logits of cx cy w h (B, S, 4), and which pixels may propose (B, S).

    Those near the border (within 1%) or in the padding may not; their boxes are infinite.
    """
    boxes = []
    for level, mask in enumerate(memory.masks):
        height, width = mask.shape[1:]
        ends = torch.stack(((~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)), dim=-1)  # (B, 2)
        y = torch.arange(height, device=mask.device) + 0.5
        x = torch.arange(width, device=mask.device) + 0.5
        grid = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1).flatten(0, 1)
        centre = grid / ends[:, None]  # (B, H * W, 2)
        boxes.append(torch.cat((centre, torch.full_like(centre, base_size * 2**level)), dim=-1))
    box = torch.cat(boxes, dim=1)
    usable = ((box > 0.01) & (box < 0.99)).all(-1)
    if memory.padding is not None:
        usable &= ~memory.padding
    return torch.log(box / (1 - box)).masked_fill(~usable[..., None], math.inf), usable


def box_encoding(boxes: Tensor, channels: int, temperature: float = 10000.0) -> Tensor:
    """Sines and cosines of cx cy w h, (B, Q, 4) to (B, Q, 4 * channels)."""
    index = torch.arange(channels, dtype=torch.float32, device=boxes.device)
    angle = boxes[..., None] * (2 * math.pi) / temperature ** (2 * (index // 2) / channels)
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(2)


class SharedHeads(nn.Module):
    """One class layer and one box network after all decoder layers; references stay where they are."""

    def __init__(self, layers: int = 6, channels: int = 256, classes: int = 80) -> None:
        super().__init__()
        self.classes = nn.ModuleList([class_layer(channels, classes)] * layers)
        self.boxes = nn.ModuleList([box_network(channels)] * layers)

    def next_reference(self, reference: Tensor, box: Tensor) -> Tensor:
        """What the next layer starts from."""
        return reference


class RefiningHeads(nn.Module):
    """A class layer and a box network for every decoder layer; each starts from the boxes of the one before."""

    def __init__(self, layers: int = 6, channels: int = 256, classes: int = 80) -> None:
        super().__init__()
        self.classes = nn.ModuleList(class_layer(channels, classes) for _ in range(layers))
        self.boxes = nn.ModuleList(box_network(channels) for _ in range(layers))

    def next_reference(self, reference: Tensor, box: Tensor) -> Tensor:
        """What the next layer starts from."""
        return box.detach()


class DeformableDETRPredictor(nn.Module):
    """Classes and boxes of queries, after every decoder layer.

    Args:
        encoder, decoder: of as many levels as there are feature maps.
        queries: what the decoder starts from.
        heads: what is read from the queries after each layer.
        levels: feature maps, all of `channels` channels.
    """

    def __init__(
        self,
        *,
        encoder: DeformableEncoder,
        decoder: DeformableDecoder,
        queries: LearnedQueries | ProposedQueries,
        heads: SharedHeads | RefiningHeads,
        levels: int = 4,
        channels: int = 256,
    ) -> None:
        super().__init__()
        self.encode_position = SinePositionalEncoding(channels // 2, offset=-0.5)
        self.level_embeds = nn.Parameter(torch.empty(levels, channels))
        self.encoder, self.decoder, self.queries, self.heads = encoder, decoder, queries, heads
        nn.init.normal_(self.level_embeds)
        nn.init.constant_(heads.boxes[0][-1].bias.data[2:], queries.start_size)  # type: ignore[index]

    def forward(self, features: list[Tensor], images: ImageList) -> QueryOutputs:
        memory = self.encode(features, images)
        start = self.queries(memory)
        boxes: list[Tensor] = []

        def refine(index: int, query: Tensor, reference: Tensor) -> Tensor:
            boxes.append(moved(reference, self.heads.boxes[index](query)))
            return self.heads.next_reference(reference, boxes[-1])

        hidden, _ = self.decoder(
            start.content,
            start.position,
            start.reference,
            memory.features,
            memory.shapes,
            memory.valid,
            memory.padding,
            refine,
        )
        logits = torch.stack([classify(query) for classify, query in zip(self.heads.classes, hidden)])
        return QueryOutputs(logits.float(), box_convert(torch.stack(boxes), "cxcywh", "xyxy"), start.proposals)

    def encode(self, features: list[Tensor], images: ImageList) -> Memory:
        """All levels as one sequence, seen by each other.

        Raises:
            ValueError: another number of levels than the encoder's.
        """
        if len(features) != len(self.level_embeds):
            raise ValueError(f"Deformable DETR has {len(self.level_embeds)} levels, got {len(features)} feature maps")
        shapes = [(level.shape[-2], level.shape[-1]) for level in features]
        masks = padding_masks(images, shapes)
        position = flatten_levels(
            [self.encode_position(mask) + embed[:, None, None] for mask, embed in zip(masks, self.level_embeds)]
        )
        padding = torch.cat([mask.flatten(1) for mask in masks], dim=1) if is_padded(images) else None
        valid = valid_ratios(masks)
        encoded = self.encoder(flatten_levels(features), position, shapes, valid, padding)
        return Memory(encoded, shapes, valid, masks, padding)


def moved(reference: Tensor, change: Tensor) -> Tensor:
    """Boxes cx cy w h (B, Q, 4) after a change in logits; a point is moved, the sides are the change's own."""
    base = inverse_sigmoid(reference)
    if base.shape[-1] == 2:
        base = torch.cat((base, torch.zeros_like(base)), dim=-1)
    return (change.float() + base).sigmoid()
