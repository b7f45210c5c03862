"""FGFA: Flow-Guided Feature Aggregation (Zhu et al. 2017, https://arxiv.org/abs/1703.10025)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.detector import Detector
from ..ops.warp import warp
from ..sequence import SequenceModel
from ..structures import Clip, Frame, ImageList, Instances, Video
from .aggregation import Aggregator
from .clips import SizeWatch, rows_by_size, training_batch
from .flow import FlowNetS


@dataclass
class WindowFrame:
    """One frame of the window, as far as it is computed: once, whichever frames look at it.

    The `products`, which only a CPU keeps, are its largest part: nine times the features, 44 MB of the published
    512 channels at 600x1000.
    """

    features: Tensor  # (1, D, H, W)
    products: Tensor | None  # of the embedding's taps, (taps, H W, D)
    picture: Tensor  # (1, 3, h, w), as the flow network takes it
    half: Tensor  # (1, D', h / 2, w / 2), as the second of a pair
    images: ImageList
    size: tuple[int, int]  # of the picture


@dataclass
class FGFAState:
    """The frames of the window, and how many frames were taken in and predicted."""

    window: deque[WindowFrame] = field(default_factory=deque)
    first: int = 0  # number of the window's first frame
    taken: int = 0
    predicted: int = 0
    sizes: SizeWatch = field(default_factory=SizeWatch)


class FGFA(SequenceModel):
    """A detector on features aggregated over the `radius` frames before and after, each moved by the flow.

    At the ends of a video its first and last frame stand for those that are missing. Where pictures change
    their size, frames of the other size do not count.

    Args:
        chunk: references whose flow goes through the network together.
    """

    def __init__(
        self, *, detector: Detector, flow: FlowNetS, aggregator: Aggregator, radius: int = 15, chunk: int = 30
    ) -> None:
        super().__init__()
        if radius < 1:
            raise ValueError(f"FGFA: radius must be at least 1, got {radius}")
        if chunk < 1:
            raise ValueError(f"FGFA: chunk must be at least 1, got {chunk}")
        self.detector, self.flow, self.aggregator = detector, flow, aggregator
        self.radius, self.chunk = radius, chunk

    @property
    def lookahead(self) -> int:  # type: ignore[override]
        return self.radius

    def init_state(self, video: Video | None = None) -> FGFAState:
        return FGFAState()

    def step(self, frame: Frame, state: FGFAState) -> Instances | None:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[FGFAState]) -> list[Instances | None]:
        for rows in rows_by_size(frames):
            self._take_in([frames[row] for row in rows], [states[row] for row in rows])
        return [self._predict(state) if state.taken > self.radius else None for state in states]

    def finish(self, state: FGFAState) -> list[Instances]:
        return [self._predict(state) for _ in range(state.taken - state.predicted)]

    def _take_in(self, frames: list[Frame], states: list[FGFAState]) -> None:
        images = self.detector.preprocessor([frame.image for frame in frames], self.device)
        pictures = self.flow.prepare(self.detector.preprocessor.pixels(images), images)
        halves = self.flow.halves(pictures, first=False)
        features = self.detector.extract_features(images)
        if len(features) != 1:
            raise ValueError(f"FGFA aggregates one feature map, the detector has {len(features)}")
        for row, (frame, state) in enumerate(zip(frames, states, strict=True)):
            state.sizes.changed(frame, "frames of the other size do not count")
            one = slice(row, row + 1)
            own = features[0][one]
            products = self.aggregator.products(own) if own.device.type == "cpu" else None
            seen = WindowFrame(own, products, pictures[one], halves[one], images.take([row]), frame.size)
            state.window.append(seen)
            state.taken += 1

    def _predict(self, state: FGFAState) -> Instances:
        """The objects of the next frame not yet predicted, from the window as far as it has come."""
        number, state.predicted = state.predicted, state.predicted + 1
        key = state.window[number - state.first]
        references, counts = self._references(state, number)
        features = [reference.features for reference in references]
        products = [reference.products for reference in references if reference.products is not None]
        flows = torch.cat(list(self._flows(key, references)))
        aggregated = self.aggregator.aggregate(key.features, features, products, flows, counts.to(flows.device))
        while state.first < state.predicted - self.radius:
            state.window.popleft()
            state.first += 1
        return self.detector.detect([aggregated], key.images)[0]

    def _references(self, state: FGFAState, number: int) -> tuple[list[WindowFrame], Tensor]:
        """The frames around frame `number`, and how many times that frame itself (first) and each of them counts.

        Where frame `number` stands for missing ones it is a reference too, and is moved like any other.
        """
        key = number - state.first
        low = high = key  # of the stretch of pictures of the key's size
        while low > 0 and state.window[low - 1].size == state.window[key].size:
            low -= 1
        while high < len(state.window) - 1 and state.window[high + 1].size == state.window[key].size:
            high += 1
        offsets = torch.arange(-self.radius, self.radius + 1)
        places = (key + offsets[offsets != 0]).clamp(low, high)
        unique, counts = places.unique(return_counts=True)
        return [state.window[place] for place in unique.tolist()], F.pad(counts.float(), (1, 0), value=1.0)

    def _flows(self, key: WindowFrame, references: list[WindowFrame]) -> Iterator[Tensor]:
        """The flows from the key to each reference, a chunk at a time; one by one where maps are to stay in a cache."""
        first = self.flow.halves(key.picture, first=True)
        for start in range(0, len(references), self.chunk):
            halves = [reference.half for reference in references[start : start + self.chunk]]
            second = halves if first.device.type == "cpu" else [torch.cat(halves)]
            yield self.flow.between(first, second, key.features.shape[-2:])

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses on each clip's key frame, its features aggregated over the other frames (section 3.4).

        Raises:
            ValueError: a clip without other frames.
        """
        images, rows, targets = training_batch(self.detector, clips)
        pictures = self.flow.prepare(self.detector.preprocessor.pixels(images), images)
        (features,) = self.detector.extract_features(images)
        aggregated, start = [], 0
        for row, clip in zip(rows, clips, strict=True):
            if len(clip) < 2:
                raise ValueError(f"FGFA trains on clips of a frame and its neighbours, '{clip.video}' has one frame")
            others = [place for place in range(start, start + len(clip)) if place != row]
            start += len(clip)
            first = self.flow.halves(pictures[row : row + 1], first=True)
            second = self.flow.halves(pictures[others], first=False)
            moved = warp(features[others], self.flow.between(first, [second], features.shape[-2:]))
            counts = torch.ones(len(others), device=moved.device)
            aggregated.append(self.aggregator(features[row : row + 1], moved, counts))
        return self.detector.loss([torch.cat(aggregated)], images.take(rows), targets)
