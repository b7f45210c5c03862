"""Weights that a training begins with, part by part."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .backbone import load_backbone, local_file
from .load import LoadReport, load_state, read_checkpoint, state_of


@dataclass(frozen=True)
class InitialWeights:
    """Where the parts of a model get their first weights: a file, a URL or `torchvision://NAME` each.

    Args:
        backbone: a classifier's or a detector's; None leaves the backbone untrained.
        flow: a FlowNet-S, or a video detector with one; None leaves it untrained, which is warned of.
    """

    backbone: str | Path | None = None
    flow: str | Path | None = None

    def load(self, model: nn.Module) -> list[LoadReport]:
        """Fill the parts of the model.

        Raises:
            FileNotFoundError, CheckpointError: a file is missing, or of another network.
        """
        reports = []
        if self.backbone is not None:
            detector: Any = getattr(model, "detector", model)
            reports.append(load_backbone(detector.backbone, self.backbone))
        flow = getattr(model, "flow", None)
        if self.flow is not None and isinstance(flow, nn.Module):
            reports.append(load_flow(flow, self.flow))
        elif isinstance(flow, nn.Module):
            text = "the flow network begins untrained, which takes far more than the published epochs"
            warnings.warn(f"{text}: give initial.flow=FILE, a FlowNet-S or a video detector with one", stacklevel=2)
        return reports


def load_flow(flow: nn.Module, source: str | Path) -> LoadReport:
    """Fill a `FlowNetS` from its own checkpoint, or from that of a video detector with one.

    Names may be the published ones (`motion.conv1.0.conv.weight`), those without their prefix, or the model's own.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, or does not have all tensors in their shapes.
    """
    path = local_file(source)
    state = state_of(read_checkpoint(path), path)[0]
    prefix = next((p for p in ("motion.", "flow.") if any(name.startswith(p) for name in state)), "")
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    own = {re.sub(r"\.conv\.(weight|bias)$", r".\1", name): value for name, value in own.items()}
    return load_state(flow, own, str(path))
