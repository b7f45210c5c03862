"""Options that commands share, and how their values are read."""

from __future__ import annotations

import argparse
import ast
from typing import Any

from ..sequence import AUTOCAST


def setting(text: str) -> tuple[str, Any]:
    """`name=value` with a Python literal as the value, or a word."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected name=value, got '{text}'")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def corner(text: str) -> tuple[float, float]:
    """`x,y` in pixels."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected x,y, got '{text}'") from error
    return x, y


def add_input(command: argparse.ArgumentParser) -> None:
    """The video, which `input_of` reads."""
    command.add_argument(
        "input", nargs="?", help="video file, folder, glob, camera number or URL; none: a synthetic clip"
    )


def input_of(options: argparse.Namespace) -> str | int | None:
    """The video that is asked for; a number is a camera's."""
    text: str | None = options.input
    return int(text) if text and text.isdigit() else text


def add_picture_options(command: argparse.ArgumentParser) -> None:
    """How many frames, and where they are drawn."""
    command.add_argument("--max-frames", type=int)
    command.add_argument("--no-video", action="store_true", help="write no annotated video")
    command.add_argument("--save-frames", action="store_true", help="write annotated pictures too")
    command.add_argument("--show", action="store_true", help="show them in a window; q stops")


def add_network_options(command: argparse.ArgumentParser) -> None:
    """Where and how a network runs."""
    command.add_argument("--checkpoint", help="file, URL, or 'published'")
    command.add_argument("--device", default="cpu")
    command.add_argument("--precision", default="fp32", choices=list(AUTOCAST))
