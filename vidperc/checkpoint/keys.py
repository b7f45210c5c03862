"""Declarative tables that turn the tensor names of published checkpoints into vidperc's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# (pattern, replacement): rules are tried in order on the whole name, each acting on the outcome of
# the ones before (`re.sub`). A replacement of None drops the tensor on purpose.
KeyRule = tuple[str, "str | None"]
KeyRules = Sequence[KeyRule]


def rename_key(name: str, rules: KeyRules) -> str | None:
    """The model's name of a published tensor, or None where the table drops it."""
    for pattern, replacement in rules:
        if replacement is None:
            if re.search(pattern, name):
                return None
        else:
            name = re.sub(pattern, replacement, name)
    return name


def rename_keys(names: Iterable[str], rules: KeyRules) -> dict[str, str]:
    """{published name: model's name} of all that are not dropped.

    Raises:
        ValueError: two published names become one.
    """
    renamed: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        new = rename_key(name, rules)
        if new is None:
            continue
        if new in owners:
            raise ValueError(f"tensors '{owners[new]}' and '{name}' of the checkpoint both become '{new}'")
        owners[new] = name
        renamed[name] = new
    return renamed
