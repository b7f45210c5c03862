"""All commands, and the parser that chooses one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .detecting import add_detect, run_detect
from .listing import add_list, run_list
from .options import setting
from .results import add_evaluate, add_explain, add_refine, run_evaluate, run_explain, run_refine
from .screen import console, plain_warnings
from .testing import add_test, run_test
from .tracking import add_track, run_track
from .training import add_train, run_train

Command = Callable[[argparse.Namespace], int]

COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command, str]] = {
    "track": (add_track, run_track, "Track the objects of a video."),
    "detect": (add_detect, run_detect, "Detect the objects of a video."),
    "test": (add_test, run_test, "Run a model over a data set and score it."),
    "train": (add_train, run_train, "Train a model."),
    "evaluate": (add_evaluate, run_evaluate, "Score result files against ground truth."),
    "refine": (add_refine, run_refine, "Fill the gaps of tracks and smooth them, after the fact."),
    "explain": (add_explain, run_explain, "Say why tracks switch identities, by the tracker's own numbers."),
    "list": (add_list, run_list, "The models that can be loaded by name."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 bad input, 130 interrupted."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes positional settings only before the first option: those after it are added here.
    if any("=" not in word or word.startswith("-") for word in rest) or (rest and not hasattr(options, "set")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.set = [*options.set, *(setting(word) for word in rest)]
    try:
        with plain_warnings():
            return int(options.run(options))
    except KeyboardInterrupt:
        console.print("[yellow]interrupted[/]")
        return 130
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        if options.traceback:
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"vidperc: error: {text}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="vidperc", description="Detection, tracking and segmentation in video.")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (add, run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        add(command)
        command.set_defaults(run=run)
    return parser
