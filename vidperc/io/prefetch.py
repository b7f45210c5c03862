"""Reading ahead in a background thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


class _Channel:
    """A bounded queue between one producer and one consumer, which either side can close."""

    def __init__(self, depth: int, drop_oldest: bool) -> None:
        self.items: deque = deque()
        self.depth, self.drop_oldest = depth, drop_oldest
        self.changed = threading.Condition()
        self.finished = self.abandoned = False
        self.error: BaseException | None = None

    def put(self, item: object) -> bool:
        """Add an item, waiting for room unless the oldest may be dropped; False when nobody reads any more."""
        with self.changed:
            if self.drop_oldest and len(self.items) >= self.depth:
                self.items.popleft()
            while len(self.items) >= self.depth and not self.abandoned:
                self.changed.wait()
            self.items.append(item)
            if len(self.items) == 1:
                self.changed.notify()
            return not self.abandoned

    def finish(self, error: BaseException | None) -> None:
        with self.changed:
            self.error, self.finished = error, True
            self.changed.notify_all()

    def abandon(self) -> None:
        with self.changed:
            self.abandoned = True
            self.items.clear()
            self.changed.notify_all()

    def drain(self) -> Iterator:
        """Items as they come, then the producer's error if it had one."""
        while True:
            with self.changed:
                while not self.items and not self.finished:
                    self.changed.wait()
                if not self.items:
                    if self.error is not None:
                        raise self.error
                    return
                item = self.items.popleft()
                # Wake the producer for half a queue of work, not for every item: switching threads costs.
                if len(self.items) == self.depth // 2:
                    self.changed.notify()
            yield item


def _produce(source: Iterable, channel: _Channel) -> None:
    error: BaseException | None = None
    iterator = iter(source)
    try:
        for item in iterator:
            if not channel.put(item):
                break
    except BaseException as caught:
        error = caught
    finally:
        if isinstance(iterator, Generator):
            iterator.close()
        channel.finish(error)


def prefetch(source: Iterable[T], depth: int = 8, *, drop_oldest: bool = False) -> Iterator[T]:
    """The items of `source`, made up to `depth` ahead in a thread of their own.

    With `drop_oldest` the producer never waits: what the consumer was too slow for is dropped.
    An exception of the source is raised here, after the items before it. When the consumer stops
    early (break, close, exception) the thread ends after the item it is at, and the source, if a
    generator, is closed; the thread starts with the first item asked for.
    """
    channel = _Channel(max(depth, 1), drop_oldest)
    thread = threading.Thread(target=_produce, args=(source, channel), name="vidperc-prefetch", daemon=True)
    thread.start()
    try:
        yield from channel.drain()
    finally:
        channel.abandon()
        # A source that blocks for long (a camera without frames) must not block its consumer's end.
        thread.join(timeout=2.0)


def parallel_map(function: Callable[[S], T], items: Iterable[S], depth: int = 8, workers: int = 2) -> Iterator[T]:
    """`map(function, items)` in order, computed up to `depth` items ahead by `workers` threads."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vidperc-read")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
