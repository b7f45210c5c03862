"""The console command `vidperc`; the scripts in tools/ and demo/ call the same functions."""

from .commands import main
from .options import setting

__all__ = ["main", "setting"]
