"""vidperc: video perception in PyTorch. Detection, tracking and segmentation in video, one small API.

import vidperc

model = vidperc.load("sort_mot15")
for tracks in model.stream(vidperc.Video("sequences/TUD-Campus")):
    print(tracks.ids, tracks.boxes)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation import evaluate
    from .io import Video
    from .models import get_config, list_models, load
    from .pipeline import track
    from .sequence import SequenceModel, Session, open_session
    from .structures import Clip, Frame, Instances, TrackState

__version__ = "0.1.0"

# Public names are imported when they are first used: `import vidperc.structures` alone stays light.
_HOME = {
    "evaluate": "evaluation",
    "Video": "io",
    "get_config": "models",
    "list_models": "models",
    "load": "models",
    "track": "pipeline",
    "SequenceModel": "sequence",
    "Session": "sequence",
    "open_session": "sequence",
    "Clip": "structures",
    "Frame": "structures",
    "Instances": "structures",
    "TrackState": "structures",
}

__all__ = [
    "Clip",
    "Frame",
    "Instances",
    "SequenceModel",
    "Session",
    "TrackState",
    "Video",
    "evaluate",
    "get_config",
    "list_models",
    "load",
    "open_session",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vidperc' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
