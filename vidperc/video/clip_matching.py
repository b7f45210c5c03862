"""Following instances from clip to clip by the overlap of their soft masks (https://arxiv.org/abs/2106.03299, 3.4).

A clip is decoded whenever its frames are there; its instances continue the tracks that they overlap on the
frames that both have, or start new ones. A frame's masks are the mean over all clips it is in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..structures import Frame, Instances, Video
from ..structures.masks import RLE, decode_masks, encode_masks
from .seqformer_decoder import EncodedFrames
from .seqformer_masks import Rows, dynamic_masks, frame_objects, masks_at

if TYPE_CHECKING:
    from .seqformer import Geometry, SeqFormer

LEAST_OVERLAP = 0.01  # an instance that overlaps no track more starts one


@dataclass(slots=True)
class ClipInstances:
    """The N instances of one clip of T frames."""

    start: int  # its first frame
    scores: Tensor  # (N, C)
    logits: Tensor  # (N, T, H, W)
    boxes: Tensor  # (N, T, 4) cx cy w h, from 0 to 1

    @property
    def stop(self) -> int:
        return self.start + self.logits.shape[1]


@dataclass(slots=True)
class PastClip:
    """The soft masks of a clip that may still share frames with one to come."""

    start: int
    stop: int
    tracks: Tensor  # (N,) numbers
    masks: Tensor  # (N, T, H, W) in [0, 1]


@dataclass(slots=True)
class ObservedFrame:
    """Sums over the observations of one frame, row k of track `tracks[k]`."""

    tracks: Tensor  # (N,)
    logits: Tensor  # (N, H, W)
    boxes: Tensor  # (N, 4)
    counts: Tensor  # (N,)


class ClipTracks:
    """The tracks of one video. What it keeps does not grow with the video, but for one row of scores per track.

    Args:
        classes: C.
        most: how many tracks a video may have in all; instances that would start further ones are dropped.
    """

    def __init__(self, classes: int, most: int | None = 120) -> None:
        self.most = most
        self.score_sums = torch.zeros(0, classes)  # (tracks, C) over the clips a track was in
        self.clip_counts = torch.zeros(0)  # (tracks,)
        self._past: list[PastClip] = []
        self._frames: dict[int, ObservedFrame] = {}

    def __len__(self) -> int:
        return len(self.clip_counts)

    @property
    def scores(self) -> Tensor:
        """(tracks, C) mean over the clips."""
        return self.score_sums / self.clip_counts[:, None]

    def overlaps(self, clip: ClipInstances) -> Tensor:
        """Soft IoU of tracks and instances over shared frames, mean over the past clips, (tracks, N).

        0 where it is too little to be the same object.
        """
        device = clip.logits.device
        total = torch.zeros(len(self), len(clip.logits), device=device)
        count = torch.zeros(len(self), 1, device=device)
        masks = clip.logits.float().sigmoid()
        for past in self._past:
            first, last = max(past.start, clip.start), min(past.stop, clip.stop)
            if first >= last:
                continue
            a = past.masks[:, first - past.start : last - past.start].flatten(1)
            b = masks[:, first - clip.start : last - clip.start].flatten(1)
            meet = a @ b.T
            union = a.sum(1)[:, None] + b.sum(1) - meet
            total[past.tracks] += meet / (union + 1e-6)
            count[past.tracks] += 1
        mean = total / count.clamp(min=1)
        return mean.masked_fill(mean <= LEAST_OVERLAP, 0)

    def update(self, clip: ClipInstances) -> tuple[Tensor, Tensor]:
        """Take in the next clip: its instances continue or start tracks.

        Returns:
            The numbers of the instances' tracks (N,), -1 where dropped, and the overlaps (tracks before, N).
        """
        overlap = self.overlaps(clip)
        numbers = torch.full((len(clip.logits),), -1, dtype=torch.int64)
        rows, columns = linear_sum_assignment(overlap.cpu().numpy(), maximize=True)
        for row, column in zip(rows, columns):
            if overlap[row, column] > 0:
                numbers[column] = int(row)
        born = (numbers < 0).nonzero().flatten()
        if self.most is not None:
            born = born[: max(self.most - len(self), 0)]
        numbers[born] = torch.arange(len(self), len(self) + len(born))
        self._add_scores(numbers, clip.scores, len(born))
        kept = numbers >= 0
        self._add_frames(numbers[kept], clip, kept)
        masks = clip.logits[kept].float().sigmoid()
        self._past = [past for past in self._past if past.stop > clip.start]
        self._past.append(PastClip(clip.start, clip.stop, numbers[kept], masks))
        return numbers, overlap

    def _add_scores(self, numbers: Tensor, scores: Tensor, born: int) -> None:
        self.score_sums = torch.cat((self.score_sums.to(scores), scores.new_zeros(born, scores.shape[1])))
        self.clip_counts = torch.cat((self.clip_counts.to(scores), scores.new_zeros(born)))
        kept = numbers >= 0
        self.score_sums[numbers[kept]] += scores[kept]
        self.clip_counts[numbers[kept]] += 1

    def _add_frames(self, numbers: Tensor, clip: ClipInstances, kept: Tensor) -> None:
        for t in range(clip.logits.shape[1]):
            new = ObservedFrame(
                numbers, clip.logits[kept, t].float(), clip.boxes[kept, t], clip.boxes.new_ones(len(numbers))
            )
            old = self._frames.get(clip.start + t)
            self._frames[clip.start + t] = new if old is None else _summed(old, new)

    def pop(self, frame: int) -> ObservedFrame:
        """The means of a frame's observations; the frame is forgotten."""
        sums = self._frames.pop(frame)
        counts = sums.counts
        return ObservedFrame(sums.tracks, sums.logits / counts[:, None, None], sums.boxes / counts[:, None], counts)


def _summed(a: ObservedFrame, b: ObservedFrame) -> ObservedFrame:
    tracks, place = torch.cat((a.tracks, b.tracks)).unique(return_inverse=True)

    def add(x: Tensor, y: Tensor) -> Tensor:
        both = torch.cat((x, y))
        return both.new_zeros(len(tracks), *both.shape[1:]).index_add_(0, place.to(both.device), both)

    return ObservedFrame(tracks, add(a.logits, b.logits), add(a.boxes, b.boxes), add(a.counts, b.counts))


@dataclass(slots=True)
class ClipState:
    """The frames that clips to come need, and the tracks."""

    tracks: ClipTracks
    window: deque[EncodedFrames] = field(default_factory=deque)  # the last frames, at most a clip
    sizes: deque[tuple[int, int]] = field(default_factory=deque)  # of the frames not yet given out
    seen: int = 0  # frames taken in
    given: int = 0  # frames given out
    decoded_to: int = 0  # frames up to here were in a clip
    geometry: Geometry | None = None


class ClipMatching:
    """Clips of `length` frames, one every `stride` frames.

    The last clip of a video is moved back to end with it, so with a stride above 1 a result waits for one
    frame more: it must be known that the video goes on.
    """

    def __init__(self, length: int = 5, stride: int = 1) -> None:
        if not 1 <= stride <= length:
            raise ValueError(f"clip_stride must be from 1 to clip_length {length}, got {stride}")
        self.length, self.stride = length, stride
        self.lookahead = length - 1 if stride == 1 else length

    def init_state(self, model: SeqFormer) -> ClipState:
        return ClipState(ClipTracks(model.num_classes, model.max_tracks))

    def step(self, model: SeqFormer, frame: Frame, state: ClipState) -> Instances | None:
        seen = self._advance(model, frame, state)
        return None if seen is None else self._objects(model, seen, state.tracks.scores[seen.tracks])

    def finish(self, model: SeqFormer, state: ClipState) -> Sequence[Instances]:
        return [self._objects(model, seen, state.tracks.scores[seen.tracks]) for seen in self._rest(model, state)]

    def segment(self, model: SeqFormer, video: Video) -> Sequence[Instances]:
        """The objects of all frames, with the scores known at the end; keeps the masks of all frames as RLE."""
        with model.inference():
            state = self.init_state(model)
        seen: list[PackedFrame] = []
        for frame in video:
            with model.inference():
                one = self._advance(model, frame, state)
            seen.extend([] if one is None else [PackedFrame.of(one)])
        with model.inference():
            seen.extend(PackedFrame.of(one) for one in self._rest(model, state))
            scores = state.tracks.scores
            rows = model.rows(scores, model.score_threshold, torch.arange(len(scores), device=scores.device))
        return SeenVideo(rows, seen)

    def _advance(self, model: SeqFormer, frame: Frame, state: ClipState) -> SeenFrame | None:
        """Take in a frame; what is seen in the frame `lookahead` before it."""
        first = state.window[0] if state.window else None
        encoded, state.geometry = model.encode_frame(frame, first, state.geometry)
        state.window.append(encoded)
        state.sizes.append(frame.size)
        state.seen += 1
        if len(state.window) > self.length:
            state.window.popleft()
        start = state.seen - self.length
        if start >= 0 and start % self.stride == 0:
            self._decode(model, state)
        return self._next_seen(state) if state.seen > self.lookahead else None

    def _rest(self, model: SeqFormer, state: ClipState) -> Iterator[SeenFrame]:
        """What is seen in the frames still owed when the video has ended."""
        if state.decoded_to < state.seen:
            self._decode(model, state)
        for _ in range(state.given, state.seen):
            yield self._next_seen(state)

    def _decode(self, model: SeqFormer, state: ClipState) -> None:
        """The clip of the frames in the window."""
        frames = EncodedFrames.cat(list(state.window))
        state.tracks.update(decode_clip(model, frames, state.seen - len(state.window)))
        state.decoded_to = state.seen

    def _next_seen(self, state: ClipState) -> SeenFrame:
        observed = state.tracks.pop(state.given)
        state.given += 1
        masks = masks_at(observed.logits, state.window[0].size, state.sizes.popleft())
        return SeenFrame(observed.tracks, masks, observed.boxes)

    def _objects(self, model: SeqFormer, seen: SeenFrame, scores: Tensor) -> Instances:
        """With the scores known by now, of the tracks seen (N, C)."""
        return seen.objects(model.rows(scores, model.score_threshold, seen.tracks.to(scores.device)))


@dataclass(slots=True)
class SeenFrame:
    """The tracks in one frame."""

    tracks: Tensor  # (N,)
    masks: Tensor  # (N, H, W) bool
    boxes: Tensor  # (N, 4)

    def objects(self, rows: Rows) -> Instances:
        """The rows that the frame shows."""
        return frame_objects(rows, self.tracks.to(rows.objects.device), self.masks, self.boxes)


@dataclass(slots=True)
class PackedFrame:
    """The tracks in one frame, their masks as RLE."""

    tracks: Tensor
    masks: list[RLE]
    size: tuple[int, int]
    boxes: Tensor

    @staticmethod
    def of(frame: SeenFrame) -> PackedFrame:
        size = (frame.masks.shape[1], frame.masks.shape[2])
        return PackedFrame(frame.tracks, encode_masks(frame.masks), size, frame.boxes)

    def unpacked(self) -> SeenFrame:
        masks = decode_masks(self.masks, self.size).to(self.boxes.device)
        return SeenFrame(self.tracks, masks, self.boxes)


class SeenVideo(Sequence[Instances]):
    """The objects of every frame; a frame's masks are unpacked when it is asked for."""

    def __init__(self, rows: Rows, frames: Sequence[PackedFrame]) -> None:
        self.rows, self.frames = rows, frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Instances:  # type: ignore[override]
        return self.frames[index].unpacked().objects(self.rows)


def decode_clip(model: SeqFormer, frames: EncodedFrames, start: int) -> ClipInstances:
    """The `top_k` best instances of a clip that begins at frame `start`."""
    decoded = model.decoder.decode_long(*model.queries(), lambda: [frames])
    scores = model.class_embed[-1](decoded.instances[0]).float().sigmoid()  # (Q, C)
    best = scores.amax(1).topk(min(model.top_k, len(scores))).indices
    parameters = model.controller(decoded.instances[0, best])
    logits = dynamic_masks(parameters, frames.mask_features, decoded.references[0, :, best], frames.size)
    return ClipInstances(start, scores[best], logits, decoded.boxes[0, :, best].transpose(0, 1))
