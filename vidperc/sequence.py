"""SequenceModel: everything that predicts, one frame after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .structures import Clip, Frame, Instances, Video

# Of the networks at inference. "fp32" is what it says on every device; "tf32" rounds the factors of products on a GPU
# to 10 bits, which torch by itself does in convolutions.
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class SequenceModel(nn.Module):
    """Predicts the objects of each frame of a video, in order.

    The module itself remembers nothing: what changes from frame to frame is in the state that
    `init_state` makes and `step` is handed, so one model follows any number of videos at once.
    """

    lookahead: int = 0  # how many frames past the predicted one `step` must have seen
    precision: Precision = "fp32"  # of the networks at inference

    def init_state(self, video: Video | None = None) -> Any:
        """The state before the first frame. `video` is there for models that read ahead or need its prompt."""
        return None

    @abstractmethod
    def step(self, frame: Frame, state: Any) -> Instances | None:
        """Take in frame t and predict frame t - lookahead; None while there is no such frame."""

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        """One step of several videos at once. Models with a network override it with one batched call."""
        return [self.step(frame, state) for frame, state in zip(frames, states, strict=True)]

    def finish(self, state: Any) -> list[Instances]:
        """The predictions still owed when the video has ended: those of its last `lookahead` frames."""
        return []

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """The training losses of a batch of clips, by name; the total is their sum."""
        raise NotImplementedError(f"{type(self).__name__} is not trained")

    def stream(self, video: Video) -> Iterator[Instances]:
        """The predictions of all frames in order; works on live sources."""
        for _, instances in self.stream_frames(video):
            yield instances

    def stream_frames(self, video: Video) -> Iterator[tuple[Frame, Instances]]:
        """As `stream`, each prediction beside the frame it belongs to."""
        with self.inference():
            state = self.init_state(video)
        waiting: deque[Frame] = deque()
        for frame in video:
            waiting.append(frame)
            with self.inference():
                instances = self.step(frame, state)
            if instances is not None:
                yield waiting.popleft(), instances
        with self.inference():
            rest = self.finish(state)
        if len(rest) != len(waiting):
            raise RuntimeError(f"{type(self).__name__} owes {len(waiting)} predictions at the end, gave {len(rest)}")
        yield from zip(waiting, rest, strict=True)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, and the networks in the model's precision."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            dtype, device = AUTOCAST[self.precision], self.device.type
            if dtype is not None:
                stack.enter_context(torch.autocast(device, dtype))
            if device == "cuda":
                stack.enter_context(_tf32(self.precision != "fp32"))
            yield

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU for a model without any."""
        parameter = next(self.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of float32 products."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = allowed
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


class _NoFrames:
    """A live source whose frames do not come by iteration: those of a session are brought by its caller."""

    fps: float | None = None
    size: tuple[int, int] | None = None
    length: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return iter(())

    def read(self, index: int) -> Frame:
        raise TypeError("a session has no random access: its frames come with `update`")


class Session:
    """A model following one video whose frames the caller brings, one `update` per frame."""

    def __init__(
        self, model: SequenceModel, prompt: Instances | Sequence[float] | Tensor | None = None, name: str = "session"
    ) -> None:
        self.model = model
        with model.inference():
            self.state = model.init_state(Video(_NoFrames(name), prompt=prompt))
        self.index = 0

    def update(self, frame: Frame | np.ndarray, time: float | None = None) -> Instances | None:
        """Take in the next frame (or RGB uint8 array, H x W x 3).

        Returns the prediction of the frame `model.lookahead` before it, None while there is no such frame.
        """
        if not isinstance(frame, Frame):
            frame = Frame.from_array(frame, self.index, time)
        with self.model.inference():
            result = self.model.step(frame, self.state)
        self.index += 1
        return result

    def finish(self) -> list[Instances]:
        """The predictions still owed when there are no more frames."""
        with self.model.inference():
            return self.model.finish(self.state)


def open_session(
    model: SequenceModel, prompt: Instances | Sequence[float] | Tensor | None = None, name: str = "session"
) -> Session:
    """Follow a video frame by frame: `session = open_session(model); session.update(frame)`.

    Args:
        model: any sequence model; one model may have any number of sessions open.
        prompt: for single-object tracking, the box x1 y1 x2 y2 in the first frame.
        name: of the video, for errors.
    """
    return Session(model, prompt, name)
