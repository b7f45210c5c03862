"""Metrics as pure functions of arrays."""

from .clear import ClearCounts, clear_counts, clear_matches, count_matches
from .hota import ALPHAS, HOTACounts, hota_counts
from .identity import IdentityCounts, identity_counts
from .matching import Pairs, assign, box_pairs, dense_pairs, mask_pairs
from .sequence import MOTSequence

__all__ = [
    "ALPHAS",
    "ClearCounts",
    "HOTACounts",
    "IdentityCounts",
    "MOTSequence",
    "Pairs",
    "assign",
    "box_pairs",
    "clear_counts",
    "clear_matches",
    "count_matches",
    "dense_pairs",
    "hota_counts",
    "identity_counts",
    "mask_pairs",
]
