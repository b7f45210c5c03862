"""Checkpoints from the net: kept in a cache, resumed where a download broke off, checked by their hash."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .load import CheckpointError

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
HASH_IN_NAME = re.compile(r"-(?!20[12]\d[01]\d[0-3]\d\.)([0-9a-f]{8,64})\.[a-z]+$")  # eight digits may be a date


def cache_folder() -> Path:
    """Where downloads are kept: `VIDPERC_CACHE`, else `vidperc` in `XDG_CACHE_HOME` or `~/.cache`."""
    given = os.environ.get("VIDPERC_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "vidperc"


def is_url(text: str) -> bool:
    """Whether it names something on the net rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", text) is not None


def cached_path(url: str) -> Path:
    """Where the file of a URL is kept, whether or not it is there."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.unquote(parts.path).lstrip("/")
    if not path or path.endswith("/") or ".." in path.split("/"):
        raise CheckpointError(f"{url} names no file")
    return cache_folder() / "checkpoints" / (parts.netloc or "local") / path


def download(url: str, *, progress: bool = True) -> Path:
    """The local file of a URL, fetched unless it is in the cache.

    A broken download goes on where it stopped. The file appears under its name only when it is whole
    and, where its name ends in part of its SHA-256, as the published ones' do, when the hash agrees.

    Raises:
        CheckpointError: no connection, an incomplete file, a wrong hash; with what to do about it.
    """
    target = cached_path(url)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(target.name + ".lock")):
        if not target.is_file():  # else another process has fetched it meanwhile
            part = target.with_name(target.name + ".part")
            fetch(url, part, target, progress)
            check_hash(part, target.name, url)
            part.replace(target)
    return target


def fetch(url: str, part: Path, target: Path, progress: bool) -> None:
    """Write what is missing of the URL's file into `part`."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "vidperc"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.build_opener().open(request, timeout=TIMEOUT) as response:
            resumed = getattr(response, "status", None) == 206
            start = start if resumed else 0
            length = response.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            with part.open("ab" if resumed else "wb") as file:
                copy(response, file, start, total, target.name, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # the part is no part of this file
            part.unlink()
            return fetch(url, part, target, progress)
        raise CheckpointError(f"{url} answers {error.code} {error.reason}") from error
    except OSError as error:  # URLError, timeouts, broken connections
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"{url} cannot be downloaded ({reason}). Without a connection, put the file at {target}, "
            "or give the path of a local file"
        ) from error
    size = part.stat().st_size
    if total is not None and size < total:
        raise CheckpointError(f"{url} broke off after {size} of {total} bytes; try again to go on from there")


def copy(source: IO[bytes], file: IO[bytes], done: int, total: int | None, name: str, progress: bool) -> None:
    """Copy to the end, with a bar that vanishes when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not progress) as bars:
        task = bars.add_task(name, total=total, completed=done)
        while chunk := source.read(CHUNK):
            file.write(chunk)
            bars.advance(task, len(chunk))


def check_hash(path: Path, name: str, origin: str) -> None:
    """Compare a file with the part of its SHA-256 at the end of `name`, where there is one; a wrong file goes.

    Raises:
        CheckpointError: they differ.
    """
    match = HASH_IN_NAME.search(name)
    if match is None:
        return
    digest = sha256(path)
    if not digest.startswith(match[1]):
        path.unlink()
        raise CheckpointError(
            f"{origin}: the file's SHA-256 begins with {digest[: len(match[1])]}, its name says {match[1]}; "
            "it was damaged on the way, or is not what it claims to be"
        )


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, where the system has file locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
