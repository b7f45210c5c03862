"""Why identities switch, by the decisions that trackers record."""

from .explaining import explain, explain_sequences
from .records import Claim, Decision, Explanation, Failure, Remedy, StageView, Switch, write_json
from .words import in_words

__all__ = [
    "Claim",
    "Decision",
    "Explanation",
    "Failure",
    "Remedy",
    "StageView",
    "Switch",
    "explain",
    "explain_sequences",
    "in_words",
    "write_json",
]
