"""Explanations of identity switches in words. Frames count from 1, as in files."""

from __future__ import annotations

from collections.abc import Iterator

from .records import Claim, Decision, Explanation, Failure, StageView

INDENT = "    "


def in_words(explanation: Explanation) -> str:
    """A paragraph: the switch, the decisions that led to it stage by stage, and what would have helped."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    switch = explanation.switch
    what = f"object {switch.object}" if switch.object is not None else "what it follows"
    yield (
        f"{explanation.sequence}, frame {switch.frame + 1}: {what} goes from track {switch.before} "
        f"(last match in frame {switch.since + 1}) to track {switch.now}."
    )
    if explanation.undetected:
        yield f"  In {explanation.undetected} of the frames between, nothing was detected on it."
    for number, decision in enumerate(explanation.decisions):
        yield from _decision(decision, switch.before, first=number == 0 and len(explanation.decisions) > 1)
    if explanation.decisions:
        yield from _remedies(explanation)


def _decision(decision: Decision, track: int, first: bool) -> Iterator[str]:
    x1, y1, x2, y2 = decision.box
    head = "Lost" if first else "Decided"
    yield (
        f"  {head} in frame {decision.frame + 1}, at detection {decision.detection} with score "
        f"{decision.score:.2f} at ({x1:g}, {y1:g}, {x2:g}, {y2:g}). Track {track} {decision.track}."
    )
    for number, stage in enumerate(decision.stages, 1):
        yield f"{INDENT}{number}. {stage.tracks}, cost {stage.formula}: {_stage(stage, track)}"
    yield INDENT + _outcome(decision, track)


def _stage(stage: StageView, track: int) -> str:
    if stage.detection_out:
        return f"the detection takes no part, {_failures(stage.detection_out)}."
    if stage.detection_taken is not None:
        return f"the detection is taken by track {stage.detection_taken}."
    parts = []
    if stage.claim is None:
        parts.append(f"track {track} takes no part")
    else:
        parts.append(_claim(stage.claim))
    if stage.winner is not None and stage.winner.track != track:
        parts.append(f"track {stage.winner.track} gets it at {_numbers(stage.winner)}")
        if stage.swapped is not None:
            parts.append(f"the other way round all would have cost {stage.swapped:.3f} more")
    runner = stage.runner_up
    if runner is not None and runner.track != track:
        had = "" if runner.got is None else f", which had detection {runner.got}"
        parts.append(f"runner-up is track {runner.track} at {runner.cost:.3f}{had}")
    if stage.winner is None and runner is None:
        parts.append("no track may have it")
    return "; ".join(parts) + "."


def _claim(claim: Claim) -> str:
    text = f"track {claim.track} has {_numbers(claim)}"
    if claim.failures:
        return f"{text}, not allowed: {_failures(claim.failures)}"
    return text + ", allowed" + ("" if claim.got is None else f", and gets detection {claim.got}")


def _numbers(claim: Claim) -> str:
    terms = ", ".join(f"{name} {value:.3f}" for name, value in claim.terms.items())
    return f"cost {claim.cost:.3f} ({terms})"


def _failures(failures: list[Failure]) -> str:
    return " and ".join(
        f"{item.quantity} {item.value:.3f} is {'above' if item.most else 'not above'} "
        f"{item.setting + ' = ' if item.setting else ''}{item.limit:g}"
        for item in failures
    )


def _outcome(decision: Decision, track: int) -> str:
    parts = []
    if decision.taker is None:
        why = f", {_failures(decision.start_failures)}" if decision.start_failures else ""
        parts.append(f"No track got it, and none began{why}.")
    elif decision.started:
        parts.append(f"Track {decision.taker} began with it.")
    else:
        parts.append(f"Track {decision.taker} got it.")
    if decision.instead is not None:
        of = "" if decision.instead_object is None else f", which is of object {decision.instead_object}"
        parts.append(f"Track {track} got detection {decision.instead}{of}.")
    return " ".join(parts)


def _remedies(explanation: Explanation) -> Iterator[str]:
    track = explanation.switch.before
    if not explanation.remedies:
        yield f"  No single setting tried would have given track {track} the detection there."
    for remedy in explanation.remedies:
        yield f"  With {remedy.setting} = {remedy.needed:g} instead of {remedy.now:g}, track {track} would have got it."
