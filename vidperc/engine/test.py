"""Testing: a model over videos with truth on their frames, then the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..data.loader import shard_videos
from ..io import open_record
from ..sequence import SequenceModel
from ..structures import Instances, Video, VideoRecord
from .experiment import TestData

Progress = Callable[[str, int, int], None]  # video, frames done, frames in all
Protocol = Callable[[SequenceModel, Video], Iterable[tuple[Instances | None, Instances]]]


def stream_protocol(model: SequenceModel, video: Video) -> Iterable[tuple[Instances | None, Instances]]:
    """Frame after frame: (truth, prediction) of each."""
    for frame, predicted in model.stream_frames(video):
        yield frame.instances, predicted


def test(
    model: SequenceModel,
    data: TestData,
    *,
    rank: int = 0,
    world_size: int = 1,
    gather: Callable[[Any], list[Any]] | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """The scores of a model on test data. The model is in evaluation mode during it and in its own after.

    Over several processes each predicts whole videos of its own; `gather` gives all processes the results
    of each, and every process scores them all.

    Raises:
        ValueError: there are no videos.
    """
    if not data.records:
        raise ValueError("no videos to test on")
    shares = shard_videos([record_frames(record) for record in data.records], world_size)
    training = model.training
    model.eval()
    try:
        own = [
            (data.records[number].name, *run_video(model, data.records[number], data.protocol, progress))
            for number in shares[rank]
        ]
    finally:
        model.train(training)
    results = own if gather is None else [item for share in gather(own) for item in share]
    evaluator = data.evaluator()
    for name, predictions, truths in sorted(results, key=lambda item: item[0]):
        evaluator.process(name, predictions, truths)  # type: ignore[call-arg]
    return evaluator.evaluate()


def record_frames(record: VideoRecord) -> int:
    """Number of frames, 1 where the record does not know."""
    return len(record.frames) if record.frames is not None else record.length or 1


def chosen_records(
    records: Sequence[VideoRecord], names: Sequence[str] | None, what: str = "video"
) -> list[VideoRecord]:
    """The records of these names, all for None.

    Args:
        what: they are, for the error.

    Raises:
        ValueError: a name that there is not.
    """
    if names is None:
        return list(records)
    known, wanted = [record.name for record in records], set(names)
    missing = sorted(wanted.difference(known))
    if missing:
        more = " ..." * (len(known) > 10)
        raise ValueError(f"no {what} {', '.join(missing)}; there is {', '.join(known[:10])}{more}")
    return [record for record in records if record.name in wanted]


def run_video(
    model: SequenceModel, record: VideoRecord, protocol: Protocol | None = None, progress: Progress | None = None
) -> tuple[list[Instances], list[Instances | None]]:
    """Predictions and truths of all frames of a video, on the CPU."""
    predictions, truths = [], []
    total = record_frames(record)
    for truth, predicted in (protocol or stream_protocol)(model, Video(open_record(record))):
        predictions.append(predicted.to("cpu"))
        truths.append(truth)
        if progress is not None:
            progress(record.name, len(predictions), total)
    return predictions, truths
