"""Checkpoints: read, rename, load, save, download."""

from .backbone import load_backbone
from .download import download
from .initial import InitialWeights, begin_with
from .keys import KeyRules, rename_key, rename_keys
from .load import CheckpointError, LoadReport, load_checkpoint, load_state, read_checkpoint
from .save import save_checkpoint, write_checkpoint

__all__ = [
    "CheckpointError",
    "InitialWeights",
    "KeyRules",
    "LoadReport",
    "begin_with",
    "download",
    "load_backbone",
    "load_checkpoint",
    "load_state",
    "read_checkpoint",
    "rename_key",
    "rename_keys",
    "save_checkpoint",
    "write_checkpoint",
]
