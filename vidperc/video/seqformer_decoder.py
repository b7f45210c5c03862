"""SeqFormer's decoder: instance queries that gather a video through box queries on each frame.

Every query has one instance part for the whole video and one box part per frame. The box parts look at
their frame; what they see is summed over time with learned weights into the instance part
(https://arxiv.org/abs/2112.08275, section 3.2). Frames meet nowhere else, so they may come in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..layers.attention import MultiheadAttention
from ..layers.deformable_transformer import MSDeformAttn, inverse_sigmoid, scaled_references


@dataclass(slots=True)
class EncodedFrames:
    """What the decoder and the masks need of T frames of equal size."""

    memory: Tensor  # (T, S, C) the encoder's output, all levels in one sequence
    mask_features: Tensor  # (T, 8, H / 8, W / 8)
    shapes: list[tuple[int, int]]  # of the levels
    valid: Tensor  # (T, L, 2) the unpadded part of each level, x and y
    padding: Tensor | None  # (T, S) true where padded; None without any
    size: tuple[int, int]  # (height, width) without the padding

    def __len__(self) -> int:
        return len(self.memory)

    def __getitem__(self, frames: slice) -> EncodedFrames:
        return EncodedFrames(
            self.memory[frames], self.mask_features[frames], self.shapes, self.valid[frames],
            None if self.padding is None else self.padding[frames], self.size,
        )  # fmt: skip

    @staticmethod
    def cat(parts: Sequence[EncodedFrames]) -> EncodedFrames:
        """The frames of all parts, which have one size, in order."""
        first = parts[0]
        if len(parts) == 1:
            return first
        paddings = [part.padding for part in parts if part.padding is not None]
        return EncodedFrames(
            torch.cat([part.memory for part in parts]),
            torch.cat([part.mask_features for part in parts]),
            first.shapes,
            torch.cat([part.valid for part in parts]),
            torch.cat(paddings) if paddings else None,
            first.size,
        )


class InstanceAttention(MSDeformAttn):
    """Deformable attention whose samples are projected twice: for the instance and for the box part."""

    def __init__(self, channels: int = 256, *, heads: int = 8, levels: int = 4, points: int = 4) -> None:
        super().__init__(channels, heads=heads, levels=levels, points=points)
        self.output_proj_box = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.output_proj_box.weight)
        nn.init.zeros_(self.output_proj_box.bias)


class SeqFormerDecoderLayer(nn.Module):
    """One layer; `box` parameters are of the box parts."""

    def __init__(
        self,
        channels: int = 256,
        *,
        hidden: int = 1024,
        dropout: float = 0.1,
        heads: int = 8,
        levels: int = 4,
        points: int = 4,
    ) -> None:
        super().__init__()
        self.cross_attn = InstanceAttention(channels, heads=heads, levels=levels, points=points)
        self.norm1 = nn.LayerNorm(channels)
        self.norm1_box = nn.LayerNorm(channels)
        self.self_attn = MultiheadAttention(channels, heads, dropout)
        self.norm2 = nn.LayerNorm(channels)
        self.self_attn_box = MultiheadAttention(channels, heads, dropout)
        self.norm2_box = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm3 = nn.LayerNorm(channels)
        self.linear1_box = nn.Linear(channels, hidden)
        self.linear2_box = nn.Linear(hidden, channels)
        self.norm3_box = nn.LayerNorm(channels)
        self.time_attention_weights = nn.Linear(channels, 1)
        self.dropout = nn.Dropout(dropout)

    def among_instances(self, query: Tensor, position: Tensor) -> Tensor:
        """Instance parts (B, Q, C) attend to each other."""
        key = query + position
        return self.norm2(query + self.dropout(self.self_attn(key, key, query)))

    def among_boxes(self, box: Tensor, position: Tensor) -> Tensor:
        """Box parts (N, Q, C) of a frame attend to each other."""
        key = box + position
        return self.norm2_box(box + self.dropout(self.self_attn_box(key, key, box)))

    def look(self, box: Tensor, position: Tensor, reference: Tensor, frames: EncodedFrames) -> list[Tensor]:
        """Box parts look at their frames.

        Args:
            box: (N, Q, C) after `among_boxes`, N frames.
            reference: (N, Q, 2 or 4), from 0 to 1 over the unpadded frame.

        Returns:
            What the instance parts get of each frame (N, Q, C), the box parts (N, Q, C), and the logits of
            the weights over time (N, Q, 1).
        """
        values = self.cross_attn.values(frames.memory, frames.padding)
        references = scaled_references(reference, frames.valid)
        seen = self.cross_attn.sample(box + position, references, values, frames.shapes)
        box = self.norm1_box(box + self.dropout(self.cross_attn.output_proj_box(seen)))
        updated = self.linear2_box(self.dropout(self.linear1_box(box).relu_()))
        box = self.norm3_box(box + self.dropout(updated))
        return [self.cross_attn.output_proj(seen), box, self.time_attention_weights(box).float()]

    def take_in(self, query: Tensor, seen: Tensor) -> Tensor:
        """Instance parts (B, Q, C) with what was seen over time (B, Q, C)."""
        query = self.norm1(query + self.dropout(seen))
        updated = self.linear2(self.dropout(self.linear1(query).relu_()))
        return self.norm3(query + self.dropout(updated))


class BoxHead(nn.Module):
    """Three linear layers with ReLU between them, to a box's change (or the weights of a mask head)."""

    def __init__(self, channels: int, hidden: int, out: int, layers: int = 3) -> None:
        super().__init__()
        sizes = [channels, *[hidden] * (layers - 1), out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu_()
        return self.last(x)

    @property
    def last(self) -> nn.Linear:
        """The layer whose output it gives."""
        return self.layers[-1]  # type: ignore[return-value]


class States(Protocol):
    """Tensors by number: a dictionary, or what keeps them elsewhere."""

    def __getitem__(self, number: int, /) -> Tensor: ...
    def __setitem__(self, number: int, tensor: Tensor, /) -> None: ...


@dataclass(slots=True)
class DecodedLayer:
    """Outcome of one decoder layer for B videos of T frames."""

    instances: Tensor  # (B, Q, C) instance parts
    boxes: Tensor  # (B, T, Q, 4) cx cy w h from 0 to 1
    references: Tensor  # (B, T, Q, 2) centres that the layer started from: origin of the masks' coordinates


class SeqFormerDecoder(nn.Module):
    """The layers and, after each, the change of the boxes (always refined, as published)."""

    def __init__(self, layers: Sequence[SeqFormerDecoderLayer], channels: int = 256) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.bbox_embed = nn.ModuleList(BoxHead(channels, channels, 4) for _ in layers)

    def stages(self) -> Iterator[tuple[SeqFormerDecoderLayer, BoxHead]]:
        """Each layer with the head that moves its boxes."""
        return zip(self.layers, self.bbox_embed)  # type: ignore[arg-type]

    def forward(
        self, query: Tensor, position: Tensor, reference: Tensor, frames: EncodedFrames, length: int
    ) -> list[DecodedLayer]:
        """All layers' outcomes for the frames of B videos of `length` frames each, one video after the other.

        Args:
            query, position: (Q, C) content and positional part.
            reference: (Q, 2) points, from 0 to 1.
        """
        count = len(frames) // length
        query, start = query.expand(count, -1, -1), reference.expand(count * length, -1, -1)
        box: Tensor = query[:1]
        decoded = []
        for layer, head in self.stages():
            query = layer.among_instances(query, position)
            box = layer.among_boxes(box, position).expand(len(frames), -1, -1)
            seen, box, logits = layer.look(box, position, start, frames)
            weights = logits.unflatten(0, (count, length)).softmax(1)  # (B, T, Q, 1)
            query = layer.take_in(query, (seen.unflatten(0, (count, length)) * weights).sum(1))
            boxes = refined(head(box), start)
            videos = (count, length)
            decoded.append(DecodedLayer(query, boxes.unflatten(0, videos), start[..., :2].unflatten(0, videos)))
            start = boxes.detach()
        return decoded

    def decode_long(
        self,
        query: Tensor,
        position: Tensor,
        reference: Tensor,
        chunks: Callable[[], Iterable[EncodedFrames]],
        states: States | None = None,
    ) -> DecodedLayer:
        """The last layer's outcome for one video whose frames come in chunks, once per layer. Inference only.

        Equal to `forward`: the softmax over time is summed up chunk by chunk. `chunks` gives an iterable anew
        for every layer, so that only one chunk is in memory at a time. The box parts of chunk k are in `states[k]`
        from layer to layer.
        """
        states = {} if states is None else states
        query, box = query[None], query[None]
        boxes: list[Tensor] = []
        starts: list[Tensor] = []
        for index, (layer, head) in enumerate(self.stages()):
            query = layer.among_instances(query, position)
            first = layer.among_boxes(box, position) if index == 0 else None
            total = TimeSum()
            next_boxes, starts = [], boxes
            for k, frames in enumerate(chunks()):
                mine = (
                    first.expand(len(frames), -1, -1) if first is not None else layer.among_boxes(states[k], position)
                )
                start = boxes[k] if boxes else reference.expand(len(frames), -1, -1)
                seen, mine, logits = layer.look(mine, position, start, frames)
                total.add(seen, logits)
                states[k] = mine
                next_boxes.append(refined(head(mine), start))
            query = layer.take_in(query, total.mean()[None])
            boxes = next_boxes
        if not starts:  # a decoder of one layer
            starts = [reference.expand(len(part), -1, -1) for part in boxes]
        return DecodedLayer(query, torch.cat(boxes)[None], torch.cat(starts)[None, ..., :2])


class TimeSum:
    """A softmax-weighted mean over frames that arrive in chunks."""

    def __init__(self) -> None:
        self.highest: Tensor | None = None
        self.weight = self.total = torch.zeros(())

    def add(self, seen: Tensor, logits: Tensor) -> None:
        """Take in (T, Q, C) with logits (T, Q, 1)."""
        highest = logits.amax(0)
        if self.highest is not None:
            highest = torch.maximum(highest, self.highest)
            fade = (self.highest - highest).exp()
            self.weight, self.total = self.weight * fade, self.total * fade
        weights = (logits - highest).exp()
        self.weight = self.weight.to(weights) + weights.sum(0)
        self.total = self.total.to(weights) + (seen * weights).sum(0)
        self.highest = highest

    def mean(self) -> Tensor:
        """(Q, C)"""
        return self.total / self.weight


def refined(change: Tensor, reference: Tensor) -> Tensor:
    """Boxes (..., 4) after a change in logit space; of points only the centre is moved."""
    change = change.float()
    base = inverse_sigmoid(reference)
    if reference.shape[-1] == 2:
        return torch.cat((change[..., :2] + base, change[..., 2:]), dim=-1).sigmoid()
    return (change + base).sigmoid()
