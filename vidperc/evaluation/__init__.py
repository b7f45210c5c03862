"""Metrics and evaluation."""

from .evaluate import evaluate
from .evaluators import Evaluator, MOTEvaluator
from .formats import read_kitti, read_mot, read_tracks
from .mot import evaluate_mot
from .mot_detection import evaluate_mot_detections
from .scalabel import read_scalabel
from .scores import MOTCounts, MOTScores
from .tracks import Tracks
from .vid import VIDEvaluator, VIDScores
from .vid_files import evaluate_vid

__all__ = [
    "Evaluator",
    "MOTCounts",
    "MOTEvaluator",
    "MOTScores",
    "Tracks",
    "VIDEvaluator",
    "VIDScores",
    "evaluate",
    "evaluate_mot",
    "evaluate_mot_detections",
    "evaluate_vid",
    "read_kitti",
    "read_mot",
    "read_scalabel",
    "read_tracks",
]
