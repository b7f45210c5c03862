"""Checkpoints: read, rename, load, save, download."""

from .keys import KeyRules, rename_key, rename_keys
from .load import CheckpointError, LoadReport, load_checkpoint, load_state, read_checkpoint

__all__ = [
    "CheckpointError",
    "KeyRules",
    "LoadReport",
    "load_checkpoint",
    "load_state",
    "read_checkpoint",
    "rename_key",
    "rename_keys",
]
