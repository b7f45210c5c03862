"""A detector that is any function of a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..sequence import SequenceModel
from ..structures import Frame, Instances


class FunctionDetector(SequenceModel):
    """Calls `function(frame) -> Instances`, and checks what it gives."""

    def __init__(self, function: Callable[[Frame], Instances]) -> None:
        super().__init__()
        self.function = function

    def step(self, frame: Frame, state: Any = None) -> Instances:
        result = self.function(frame)
        if not isinstance(result, Instances):
            raise TypeError(f"the detector gave a {type(result).__name__} for frame {frame.index}, expected Instances")
        return result.validate(f"detections of frame {frame.index}")
