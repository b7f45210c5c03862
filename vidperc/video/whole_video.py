"""Decoding a whole video at once: frames are encoded as they come, objects follow when it has ended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import torch
from torch import Tensor

from ..structures import Frame, Instances, Video
from .seqformer_decoder import DecodedLayer, EncodedFrames
from .seqformer_masks import dynamic_masks, frame_objects, masks_at

if TYPE_CHECKING:
    from .seqformer import Geometry, SeqFormer

FRAMES_AT_ONCE = 8  # that the decoder works on, and that masks are made of


class FrameStore:
    """The encoded frames of a video: in memory up to `max_memory` bytes, beyond that in a temporary file."""

    def __init__(self, max_memory: float) -> None:
        self.max_memory = max_memory
        self.bytes_held = 0
        self._frames: list[EncodedFrames] = []
        self._offsets: dict[int, int] = {}  # frame number -> position in the file
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: EncodedFrames) -> None:
        """Keep one more frame."""
        size = frame.memory.numel() * frame.memory.element_size()
        if self.bytes_held + size > self.max_memory:
            frame = self._put_away(frame)
        else:
            self.bytes_held += size
        self._frames.append(frame)

    def _put_away(self, frame: EncodedFrames) -> EncodedFrames:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="vidperc-frames-")  # noqa: SIM115 (closed with the store)
        self._offsets[len(self._frames)] = self._file.seek(0, 2)
        self._file.write(frame.memory.cpu().contiguous().view(torch.uint8).numpy().data)
        # a shape without storage of its own stands for the memory
        hollow = torch.empty((), dtype=frame.memory.dtype, device=frame.memory.device).expand(frame.memory.shape)
        return EncodedFrames(hollow, frame.mask_features, frame.shapes, frame.valid, frame.padding, frame.size)

    def _take_back(self, index: int) -> EncodedFrames:
        frame = self._frames[index]
        if index not in self._offsets or self._file is None:
            return frame
        self._file.seek(self._offsets[index])
        raw = bytearray(self._file.read(frame.memory.numel() * frame.memory.element_size()))
        memory = torch.frombuffer(raw, dtype=frame.memory.dtype).view(frame.memory.shape).to(frame.memory.device)
        return EncodedFrames(memory, frame.mask_features, frame.shapes, frame.valid, frame.padding, frame.size)

    def chunks(self, count: int) -> Iterator[EncodedFrames]:
        """All frames in order, `count` at a time."""
        for start in range(0, len(self), count):
            stop = min(start + count, len(self))
            yield EncodedFrames.cat([self._take_back(index) for index in range(start, stop)])

    def mask_features(self, start: int, stop: int) -> Tensor:
        """Of some frames, (T, 8, H / 8, W / 8)."""
        return torch.cat([frame.mask_features for frame in self._frames[start:stop]])


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
        decoded = model.decoder.decode_long(*model.queries(), lambda: state.store.chunks(FRAMES_AT_ONCE))
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
