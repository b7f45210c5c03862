"""Weights of a backbone alone, as training starts from: ImageNet classifiers, or the backbone of a detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from .load import LoadReport, load_state, read_checkpoint, state_of
from .sources import local_file


def without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a detector has under `backbone.`; all of the tensors where none are."""
    if any(name.startswith("backbone.") for name in state):
        return {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    return state


def without_classifier(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """The tensors but for those of a classifier, `fc` and `head`, unless they are among the backbone's `names`."""
    return {name: value for name, value in state.items() if name in names or not name.startswith(("fc.", "head."))}


def load_backbone(
    backbone: nn.Module,
    source: str | Path,
    *,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    strict: bool = True,
) -> LoadReport:
    """Fill a backbone from a file, a URL or `torchvision://resnet50`.

    Counters of batches, which some files leave out, do not matter. Layers that no classifier has begin as their
    `complete` says (`vidperc.layers.added`).

    Args:
        convert: from the file's names and layouts to the backbone's (`vidperc.checkpoint.classifiers`), where they are
            not the same.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, unreadable, or of another architecture.
    """
    path = local_file(source)
    target = backbone.state_dict()
    state = without_prefix(state_of(read_checkpoint(path), path)[0])
    state = without_classifier(state if convert is None else convert(state), set(target))
    for prefix, module in backbone.named_modules():
        if hasattr(module, "complete"):
            module.complete(state, prefix)
    return load_state(backbone, state, str(path), strict=strict)
