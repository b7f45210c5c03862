"""Decoding a whole video at once: frames are encoded as they come, objects follow when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..structures import Frame, Instances, Video
from .seqformer_decoder import DecodedLayer, EncodedFrames
from .seqformer_masks import dynamic_masks, frame_objects, masks_at
from .tensor_store import TensorStore

if TYPE_CHECKING:
    from .seqformer import Geometry, SeqFormer

FRAMES_AT_ONCE = 8  # that the decoder works on, and that masks are made of


class FrameStore:
    """The encoded frames of a video, which have one size; of those past `max_memory` bytes only a few numbers stay.

    The decoder keeps what it knows of each chunk of frames in the same `tensors`.
    """

    def __init__(self, max_memory: float) -> None:
        self.tensors = TensorStore(max_memory)
        self._count = 0
        self._first: EncodedFrames | None = None  # without its tensors

    def __len__(self) -> int:
        return self._count

    def add(self, frame: EncodedFrames) -> None:
        """Keep one more frame."""
        self._first = self._first or replace(frame, memory=frame.memory[:0], mask_features=frame.mask_features[:0])
        self.tensors["memory", self._count] = frame.memory
        self.tensors["mask features", self._count] = frame.mask_features
        self._count += 1

    def chunks(self, count: int) -> Iterator[EncodedFrames]:
        """All frames in order, `count` at a time, without their mask features."""
        assert self._first is not None
        first = self._first
        for start in range(0, len(self), count):
            frames = range(start, min(start + count, len(self)))
            memory = torch.cat([self.tensors["memory", t] for t in frames])
            padding = None if first.padding is None else first.padding.expand(len(frames), -1)
            valid = first.valid.expand(len(frames), -1, -1)
            yield replace(first, memory=memory, valid=valid, padding=padding)

    def forget_all_but_mask_features(self) -> None:
        """What is needed once the video is decoded remains."""
        for key in self.tensors:
            if not (isinstance(key, tuple) and key[0] == "mask features"):
                del self.tensors[key]

    def mask_features(self, start: int, stop: int) -> Tensor:
        """Of some frames, (T, 8, H / 8, W / 8)."""
        return torch.cat([self.tensors["mask features", t] for t in range(start, stop)])


@dataclass(slots=True)
class WholeVideoState:
    """The frames so far."""

    store: FrameStore
    sizes: list[tuple[int, int]] = field(default_factory=list)  # of the frames as they came
    first: EncodedFrames | None = None  # for its size; its pixels' features are in the store
    geometry: Geometry | None = None


class WholeVideo:
    """Decodes when the video has ended."""

    lookahead = 0

    def init_state(self, model: SeqFormer) -> WholeVideoState:
        return WholeVideoState(FrameStore(model.max_memory))

    def step(self, model: SeqFormer, frame: Frame, state: WholeVideoState) -> None:
        encoded, state.geometry = model.encode_frame(frame, state.first, state.geometry)
        state.first = state.first or encoded[:0]
        state.sizes.append(frame.size)
        dtype = torch.get_autocast_dtype(model.device.type) if torch.is_autocast_enabled(model.device.type) else None
        if dtype is not None:
            encoded.memory = encoded.memory.to(dtype)  # what the decoder's layers will see anyway
        state.store.add(encoded)

    def finish(self, model: SeqFormer, state: WholeVideoState) -> Sequence[Instances]:
        if not len(state.store):
            return []
        decoded = model.decoder.decode_long(
            *model.queries(), lambda: state.store.chunks(FRAMES_AT_ONCE), state.store.tensors
        )
        state.store.forget_all_but_mask_features()
        scores = model.class_embed[-1](decoded.instances[0]).float().sigmoid()  # (Q, C)
        return VideoObjects(model, state, decoded, scores)

    def segment(self, model: SeqFormer, video: Video) -> Sequence[Instances]:
        """The objects of all frames."""
        with model.inference():
            state = self.init_state(model)
        for frame in video:
            with model.inference():
                self.step(model, frame, state)
        with model.inference():
            return self.finish(model, state)


class VideoObjects(Sequence[Instances]):
    """The objects on each frame of a decoded video; the masks of a frame are made when it is asked for.

    They are of the `top_k` best queries; `rows.objects` counts these from the best, 0.
    """

    def __init__(self, model: SeqFormer, state: WholeVideoState, decoded: DecodedLayer, scores: Tensor) -> None:
        assert state.first is not None
        self.queries = scores.amax(1).topk(min(model.top_k, len(scores))).indices
        self._numbers = torch.arange(len(self.queries), device=scores.device)
        self.rows = model.rows(scores[self.queries], model.score_threshold, self._numbers)
        self.sizes, self.network_size = state.sizes, state.first.size
        self.boxes = decoded.boxes[0, :, self.queries]  # (T, top_k, 4) cx cy w h, from 0 to 1
        self._centres, self._store = decoded.references[0, :, self.queries], state.store
        self._parameters = model.controller(decoded.instances[0, self.queries])

    def __len__(self) -> int:
        return len(self.sizes)

    def mask_logits(self, start: int, stop: int) -> Tensor:
        """Of the queries in some frames, (top_k, T, H / 4, W / 4) over the padded frame."""
        features = self._store.mask_features(start, stop)
        return dynamic_masks(self._parameters, features, self._centres[start:stop], self.network_size)

    def __getitem__(self, index: int) -> Instances:  # type: ignore[override]
        index = range(len(self))[index]
        with torch.inference_mode():
            masks = masks_at(self.mask_logits(index, index + 1)[:, 0], self.network_size, self.sizes[index])
            return frame_objects(self.rows, self._numbers, masks, self.boxes[index])
