"""EMA: a moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """The average of all weights and running statistics, apart from the model.

    The decay grows with the number of updates as min(decay, (1 + n) / (10 + n)), so that the first
    steps are soon forgotten. Integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9998) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"EMA decay {decay}: expected between 0 and 1")
        self.decay, self.updates = decay, 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's weights."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in model.state_dict().items():
            average = self.state[name]
            if average.is_floating_point():
                average.lerp_(value.detach().to(average.dtype), weight)
            else:
                average.copy_(value)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged weights; its own come back afterwards."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, content: dict[str, object]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            KeyError: another model's.
        """
        state: dict[str, Tensor] = content["state"]  # type: ignore[assignment]
        for name, average in self.state.items():
            average.copy_(state[name])
        self.updates = int(content["updates"])  # type: ignore[call-overload]
