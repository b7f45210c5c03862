from ..sequence import AUTOCAST, Precision, SequenceModel, Session  # noqa: F401
