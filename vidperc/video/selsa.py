"""SELSA: Sequence Level Semantics Aggregation (Wu et al. 2019, https://arxiv.org/abs/1907.06390).

The regions of a frame borrow from like regions of frames all over the video. What the references give is
computed once per video: their proposals, their features and the keys and values that the regions attend to.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..image.roi_heads.box_head import BoxHead, BoxOutputs
from ..image.roi_heads.extractor import boxes_of
from ..image.roi_heads.roi_head import RoIHead
from ..image.two_stage import RCNN
from ..layers.packed_conv import linear
from ..sequence import SequenceModel
from ..structures import Clip, Frame, ImageList, Instances, Video
from .clips import rows_by_size, training_batch


class Regions(NamedTuple):
    """What regions offer to others at one layer: keys and values, (heads, R, D / heads)."""

    keys: Tensor
    values: Tensor


class SemanticAttention(nn.Module):
    """Attention of regions on the reference regions (section 3.1), with `heads` heads."""

    def __init__(self, channels: int = 1024, heads: int = 16) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.value, self.output = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def split(self, x: Tensor) -> Tensor:
        """(R, D) to (heads, R, D / heads)."""
        return x.view(len(x), self.heads, x.shape[1] // self.heads).transpose(0, 1)

    def offer(self, references: Tensor) -> Regions:
        """Keys and values of references (R, D)."""
        return Regions(self.split(self.key(references)), self.split(self.value(references)))

    def forward(self, x: Tensor, offered: Regions) -> Tensor:
        """What regions (P, D) take from the references: (P, D)."""
        mixed = attention(self.split(self.query(x)), *offered)
        return self.output(mixed.transpose(0, 1).reshape(x.shape))  # type: ignore[no-any-return]


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What queries (heads, P, d) take from values (heads, R, d): (heads, P, d).

    At inference on a CPU head by head, by products that are faster there than those of torch's attention.
    """
    if torch.is_grad_enabled() or queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries[None], keys[None], values[None])[0]
    scaled = queries * queries.shape[-1] ** -0.5
    weights = (torch.softmax(linear(query, key), dim=1) for query, key in zip(scaled, keys, strict=True))
    return torch.stack([linear(weight, value.T) for weight, value in zip(weights, values, strict=True)])


class SELSABoxHead(BoxHead):
    """A box head whose regions look at reference regions before each ReLU of the hidden layers."""

    def __init__(self, in_channels: int = 512, *, heads: int = 16, **options: int) -> None:
        super().__init__(in_channels, **options)  # type: ignore[arg-type]
        hidden = self.fc_cls.in_features
        self.aggregators = nn.ModuleList(SemanticAttention(hidden, heads) for _ in self.shared_fcs)

    def offer(self, regions: Tensor) -> list[Regions]:
        """What regions (R, D, S, S) offer at each layer. References do not look at each other."""
        x, offered = self.flat(regions), []
        for layer, aggregator in zip(self.shared_fcs, self.aggregators, strict=True):
            x = layer(x)
            offered.append(aggregator.offer(x))  # type: ignore[operator]
            x = F.relu(x)
        return offered

    def attend_to(self, regions: Tensor, references: Sequence[Regions]) -> BoxOutputs:
        """Logits and codes of regions (P, D, S, S) that look at the references alone."""
        x = self.flat(regions)
        for layer, aggregator, offered in zip(self.shared_fcs, self.aggregators, references, strict=True):
            x = layer(x)
            x = F.relu(x + aggregator(x, offered))
        return self.outputs(x)

    def attend(self, regions: Tensor, references: Sequence[Regions]) -> BoxOutputs:
        """Logits and codes of regions (P, D, S, S) that look at the references and at themselves."""
        x, own = self.flat(regions), None
        for layer, aggregator, offered in zip(self.shared_fcs, self.aggregators, references, strict=True):
            x = layer(x)
            own = x if own is None else layer(F.relu(own))
            mine = aggregator.offer(own)  # type: ignore[operator]
            x = F.relu(x + aggregator(x, Regions(*(torch.cat(pair, 1) for pair in zip(offered, mine, strict=True)))))
        return self.outputs(x)


@dataclass
class SELSAState:
    """What the reference frames offer, by layer of the box head."""

    references: Any = field(default_factory=list)  # a list of Regions, more where a method needs more


class SELSA(SequenceModel):
    """SELSA with references spread over the whole video, as published for testing.

    Args:
        detector: an R-CNN whose box head is a `SELSABoxHead`.
        references: how many frames, at even distances from the first to the last.
        chunk: frames that go through the backbone together.
    """

    def __init__(self, *, detector: RCNN, references: int = 14, chunk: int = 4) -> None:
        super().__init__()
        if references < 2:
            raise ValueError(f"SELSA: at least 2 references are needed, got {references}")
        if chunk < 1:
            raise ValueError(f"SELSA: chunk must be at least 1, got {chunk}")
        self.detector, self.references, self.chunk = detector, references, chunk

    @property
    def roi_head(self) -> RoIHead:
        """The detector's second stage."""
        assert isinstance(self.detector.roi_head, RoIHead)
        return self.detector.roi_head

    @property
    def box_head(self) -> SELSABoxHead:
        """Its network on regions."""
        assert isinstance(self.roi_head.box_head, SELSABoxHead)
        return self.roi_head.box_head

    def init_state(self, video: Video | None = None) -> SELSAState:
        """Reads the reference frames of the video.

        Raises:
            ValueError: a video without a known end; `SELSAWindow` follows those.
        """
        if video is None or video.is_live:
            raise ValueError(
                "SELSA looks at frames from all over the video, which a live source or session does not have: "
                "use the same detector with references in a sliding window (SELSAWindow, the *_window configs)"
            )
        numbers = reference_numbers(len(video), self.references)
        unique = sorted(set(numbers))
        frames = [video.frame(number) for number in unique]
        offers = dict(zip(unique, self.offers(frames), strict=True))
        return SELSAState(self.join([offers[number] for number in numbers]))

    def offer(self, features: list[Tensor], proposals: Sequence[Instances]) -> list[Any]:
        """What each frame of a batch offers as a reference: that of its regions, by layer."""
        offered = self.box_head.offer(self.roi_head.roi_features(features, proposals))
        return split(offered, [len(part) for part in proposals])

    def join(self, offers: Sequence[Any]) -> Any:
        """What several frames offer, as `look` takes it."""
        return join(offers)

    def look(self, regions: Tensor, own: Tensor, references: Any) -> BoxOutputs:
        """Logits and codes of a frame's regions (P, D, S, S) that look at the references and at themselves.

        Args:
            own: the frame's feature map (1, D, H, W).
            references: what `join` gave.
        """
        return self.box_head.attend(regions, references)

    def offers(self, frames: Sequence[Frame]) -> list[Any]:
        """What each frame offers as a reference; frames of one size go through the network together."""
        out: list[Any] = [None for _ in frames]
        for rows in rows_by_size(frames):
            for start in range(0, len(rows), self.chunk):
                part = rows[start : start + self.chunk]
                images = self.detector.preprocessor([frames[row].image for row in part], self.device)
                features = self.detector.extract_features(images)
                proposals = self.detector.propose(features, images)
                for row, picked in zip(part, self.offer(features, proposals), strict=True):
                    out[row] = picked
        return out

    def step(self, frame: Frame, state: SELSAState) -> Instances | None:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[SELSAState]) -> list[Instances | None]:
        results: list[Instances | None] = [None] * len(frames)
        for rows in rows_by_size(frames):
            images = self.detector.preprocessor([frames[row].image for row in rows], self.device)
            features = self.detector.extract_features(images)
            found = self.detect(features, images, [states[row].references for row in rows])
            for row, instances in zip(rows, found, strict=True):
                results[row] = instances
        return results

    def detect(
        self,
        features: list[Tensor],
        images: ImageList,
        references: Sequence[Any],
        proposals: list[Instances] | None = None,
    ) -> list[Instances]:
        """The objects of each image, its regions looking at its own references."""
        head = self.roi_head
        proposals = self.detector.propose(features, images) if proposals is None else proposals
        regions = head.roi_features(features, proposals).split([len(p) for p in proposals])
        parts = [
            self.look(part, own, offered)
            for part, own, offered in zip(regions, features[0].split(1), references, strict=True)
        ]
        outputs = BoxOutputs(*(torch.cat(column) for column in zip(*parts, strict=True)))
        return head.postprocessor(outputs, boxes_of(proposals), images, head.coder)

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses on each clip's key frame, its regions looking at those of the clip's other frames."""
        images, rows, targets = training_batch(self.detector, clips)
        features = self.detector.extract_features(images)
        head = self.roi_head
        rpn = self.detector.rpn
        if rpn is None:
            raise ValueError("SELSA trains a detector that proposes its own regions")
        losses, proposals = rpn.loss([level[rows] for level in features], images.take(rows), targets)
        sampled = [head.sampler(p, t, self.box_head.classes) for p, t in zip(proposals, targets, strict=True)]
        regions = head.extractor([level[rows] for level in features], [part.boxes for part in sampled])
        parts, start = [], 0
        for row, clip, region in zip(rows, clips, regions.split([len(s.boxes) for s in sampled]), strict=True):
            others = [place for place in range(start, start + len(clip)) if place != row]
            start += len(clip)
            if not others:
                raise ValueError(f"SELSA trains on clips of a frame and others, '{clip.video}' has one frame")
            part = [level[others] for level in features]
            with torch.no_grad():
                reference_proposals = self.detector.propose(part, images.take(others))
            references = self.join(self.offer(part, reference_proposals))
            parts.append(self.look(region, features[0][row : row + 1], references))
        outputs = BoxOutputs(*(torch.cat(column) for column in zip(*parts, strict=True)))
        return losses | head.criterion(outputs, sampled, head.coder)


@dataclass
class SeenFrame:
    """One frame of the window: its features, its proposals and what its regions offer, computed once."""

    features: list[Tensor]
    images: ImageList
    proposals: list[Instances]
    offered: list[Regions]


@dataclass
class SELSAWindowState:
    """The frames of the window, and how many frames were taken in and predicted."""

    window: deque[SeenFrame] = field(default_factory=deque)
    first: int = 0  # number of the window's first frame
    taken: int = 0
    predicted: int = 0


class SELSAWindow(SELSA):
    """SELSA with references in a sliding window, for live sources: every `stride`-th frame up to `radius` strides away.

    At the ends of a video its first and last frame stand for those that are missing.
    """

    def __init__(self, *, detector: RCNN, radius: int = 7, stride: int = 1) -> None:
        if min(radius, stride) < 1:
            raise ValueError(f"SELSA: radius and stride must be at least 1, got {radius} and {stride}")
        super().__init__(detector=detector, references=2 * radius)
        self.radius, self.stride = radius, stride

    @property
    def lookahead(self) -> int:  # type: ignore[override]
        return self.radius * self.stride

    def init_state(self, video: Video | None = None) -> SELSAWindowState:  # type: ignore[override]
        return SELSAWindowState()

    def step_batch(self, frames: Sequence[Frame], states: Sequence[SELSAWindowState]) -> list[Instances | None]:  # type: ignore[override]
        for rows in rows_by_size(frames):
            images = self.detector.preprocessor([frames[row].image for row in rows], self.device)
            features = self.detector.extract_features(images)
            proposals = self.detector.propose(features, images)
            offered = self.box_head.offer(self.roi_head.roi_features(features, proposals))
            offers = split(offered, [len(part) for part in proposals])
            for place, row in enumerate(rows):
                own = [level[place : place + 1] for level in features]
                seen = SeenFrame(own, images.take([place]), [proposals[place]], offers[place])
                states[row].window.append(seen)
                states[row].taken += 1
        return [self._next(state) if state.taken > self.lookahead else None for state in states]

    def finish(self, state: SELSAWindowState) -> list[Instances]:
        return [self._next(state) for _ in range(state.taken - state.predicted)]

    def _next(self, state: SELSAWindowState) -> Instances:
        """The objects of the next frame not yet predicted."""
        number, state.predicted = state.predicted, state.predicted + 1
        steps = [step * self.stride for step in range(-self.radius, self.radius + 1) if step]
        places = [min(max(number + step - state.first, 0), len(state.window) - 1) for step in steps]
        references = join([state.window[place].offered for place in places])
        key = state.window[number - state.first]
        while state.first < state.predicted - self.lookahead:
            state.window.popleft()
            state.first += 1
        return self.detect(key.features, key.images, [references], key.proposals)[0]


def reference_numbers(length: int, count: int) -> list[int]:
    """`count` frame numbers from the first to the last frame at even distances; frames repeat in short videos."""
    if length < count:
        frames = "1 frame" if length == 1 else f"{length} frames"
        text = f"the video has {frames}, fewer than SELSA's {count} references: some count more than once"
        warnings.warn(text, stacklevel=3)
    stride = (length - 1) / (count - 1)
    return [round(place * stride) for place in range(count)]


def join(offers: Sequence[Sequence[Regions]]) -> list[Regions]:
    """What several frames offer, as if they were one."""
    return [
        Regions(*(torch.cat(parts, 1) for parts in zip(*layer, strict=True))) for layer in zip(*offers, strict=True)
    ]


def split(offered: Sequence[Regions], counts: Sequence[int]) -> list[list[Regions]]:
    """What a batch of frames offers, by frame, given each one's number of regions."""
    layers = [zip(layer.keys.split(list(counts), 1), layer.values.split(list(counts), 1)) for layer in offered]
    return [[Regions(*pair) for pair in frame] for frame in zip(*layers, strict=True)]
