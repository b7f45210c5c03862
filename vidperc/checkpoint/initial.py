"""Weights that a training begins with, of the whole model or part by part."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .backbone import load_backbone
from .keys import KeyRules, rename_keys
from .load import CheckpointError, LoadReport, load_state, read_checkpoint, state_of
from .sources import local_file


@dataclass(frozen=True)
class InitialWeights:
    """Where a model gets its first weights: a file, a URL, `torchvision://NAME` or `shipped://FILE` each.

    Args:
        model: a checkpoint of the model or of its detector; what does not fit is left as it is (`begin_with`).
        backbone: a classifier's or a detector's, after `model`; None leaves the backbone as it is.
        convert: from the names and layouts of the `backbone` file to the backbone's (`vidperc.checkpoint.classifiers`);
            None where they are the same.
        flow: a FlowNet-S, or a video detector with one, after `model`; None leaves it as it is, which is warned of
            where there is no `model` either.
    """

    model: str | Path | None = None
    backbone: str | Path | None = None
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    flow: str | Path | None = None

    def load(self, model: nn.Module, rules: KeyRules = ()) -> list[LoadReport]:
        """Fill the model; `rules` rename a published `model` checkpoint's tensors.

        Raises:
            FileNotFoundError, CheckpointError: a file is missing, or of another network.
            ValueError: weights of a flow network for a model without.
        """
        reports = []
        if self.model is not None:
            reports.append(begin_with(model, local_file(self.model), rules))
        if self.backbone is not None:
            detector: Any = getattr(model, "detector", model)
            again = getattr(
                getattr(detector, "neck", None), "backbones", ()
            )  # that look at the image once more (`RFP`)
            for part in (detector.backbone, *again):
                reports.append(load_backbone(part, self.backbone, convert=self.convert))
        flow = getattr(model, "flow", None)
        if self.flow is not None:
            if not isinstance(flow, nn.Module):
                raise ValueError(f"initial.flow={self.flow}: {type(model).__name__} has no flow network")
            reports.append(load_flow(flow, self.flow))
        elif self.model is None and isinstance(flow, nn.Module):
            text = "the flow network begins untrained, which takes far more than the published epochs"
            warnings.warn(f"{text}: give initial.flow=FILE, a FlowNet-S or a video detector with one", stacklevel=2)
        return reports


def begin_with(model: nn.Module, path: str | Path, rules: KeyRules = ()) -> LoadReport:
    """Load what fits of a file into a model that is to be trained; a detector's weights go to the model's detector.

    Raises:
        FileNotFoundError, CheckpointError: see `read_checkpoint`; nothing fits.
    """
    state, own = state_of(read_checkpoint(path), path)
    if not own:
        state = {new: state[old] for old, new in rename_keys(state, rules).items()}
    names, detector = set(model.state_dict()), getattr(model, "detector", None)
    if isinstance(detector, nn.Module) and not names & set(state):
        state = {f"detector.{name}": value for name, value in state.items()}
    report = load_state(model, state, str(path), strict=False)
    if not report.matched:
        raise CheckpointError(f"nothing in {path} fits the model\n{report}")
    return report


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
