"""Iterators, streams over the network, and reading ahead."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numbered_clips import encode, number_in, picture

from vidperc.io import Reconnect, Video, VideoError, VideoWarning, prefetch
from vidperc.io.live import stream_frames
from vidperc.structures import Frame


def camera(count: int) -> Iterator[np.ndarray]:
    return (picture(number) for number in range(count))


def test_generator_is_live() -> None:
    video = Video(camera(5), fps=10)
    assert (video.is_live, video.length, video.size) == (True, None, None)
    frames = list(video)
    assert [(frame.index, number_in(frame.array), frame.time) for frame in frames] == [(i, i, i / 10) for i in range(5)]
    assert video.size == (144, 176)
    with pytest.raises(TypeError, match="live"):
        len(video)
    with pytest.raises(TypeError, match="live"):
        video[0]


def test_frames_of_an_iterator_stay_as_they_are() -> None:
    frames = [Frame.from_array(picture(k), index=10 + k, time=0.5 * k) for k in range(3)]
    assert [(frame.index, frame.time) for frame in Video(iter(frames))] == [(10, 0.0), (11, 0.5), (12, 1.0)]


def test_iterating_again_goes_on() -> None:
    video = Video(camera(6))
    first = [frame.index for frame, _ in zip(video, range(2))]
    assert first + [frame.index for frame in video] == [0, 1, 3, 4, 5]  # zip takes one more before it stops


def test_a_live_iterator_is_not_read_ahead() -> None:
    asked = []

    def source() -> Iterator[np.ndarray]:
        for number in range(10):
            asked.append(number)
            yield picture(number)

    iterator = iter(Video(source()))
    next(iterator)
    next(iterator)
    time.sleep(0.05)
    assert asked == [0, 1]


def test_bad_frame_of_an_iterator() -> None:
    with pytest.raises(ValueError, match=r"frame 1.*uint8"):
        list(Video(iter([picture(0), np.zeros((4, 4), np.uint8)])))


def test_latest_frame_drops_what_was_missed() -> None:
    gates = [threading.Event() for _ in range(2)]

    def source() -> Iterator[np.ndarray]:
        yield picture(0)
        gates[0].wait(5)
        yield from (picture(number) for number in range(1, 8))
        gates[1].set()
        time.sleep(0.2)
        yield picture(8)

    iterator = iter(Video(source(), take="latest"))
    assert next(iterator).index == 0
    gates[0].set()
    assert gates[1].wait(5)
    assert [next(iterator).index, next(iterator).index] == [7, 8]
    assert list(iterator) == []


def test_latest_is_for_live_sources() -> None:
    with pytest.raises(ValueError, match="not live"):
        Video([picture(0)], take="latest")


def test_camera_that_is_not_there() -> None:
    with pytest.raises(VideoError, match="camera 97: cannot be opened"):
        list(Video(97))


# --- network ------------------------------------------------------------------------------------


class Server:
    """Serves one file, breaking off the first `breaks` answers to GET after half of it."""

    def __init__(self, content: bytes, breaks: int = 0, length: bool = True) -> None:
        server = self
        self.left = breaks

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if length:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                broken, server.left = server.left > 0, server.left - 1
                with contextlib.suppress(OSError):
                    self.wfile.write(content[: len(content) // 2] if broken else content)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/clip.ts"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("served") / "clip.ts"
    encode(path, 50, options={"bf": "0", "g": "10"})
    return path.read_bytes()


def test_http_stream(clip: bytes) -> None:
    with Server(clip) as server:
        video = Video(server.url)
        assert video.is_live
        frames = list(video)
    assert [(frame.index, number_in(frame.array)) for frame in frames] == [(k, k) for k in range(50)]
    assert frames[-1].time == pytest.approx(49 / 25, abs=1e-3)


def test_http_stream_that_breaks_is_opened_again(clip: bytes) -> None:
    waits: list[float] = []
    patience = Reconnect(attempts=3, first_wait=0.5)
    with Server(clip, breaks=1) as server, pytest.warns(VideoWarning, match="attempt 1 of 3"):
        frames = list(stream_frames(server.url, patience, sleep=waits.append))
    assert waits == [0.5]
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert number_in(frames[-1].array) == 49


def test_reconnecting_is_bounded_and_backs_off() -> None:
    waits: list[float] = []
    patience = Reconnect(attempts=5, first_wait=0.5, longest_wait=2.0, timeout=1.0)
    with pytest.warns(VideoWarning), pytest.raises(VideoError, match="given up after 5 attempts"):
        list(stream_frames("http://127.0.0.1:9/nothing", patience, sleep=waits.append))
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0]


# --- prefetch -----------------------------------------------------------------------------------


def test_prefetch_keeps_order_and_bound() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    iterator = prefetch(source(), 4)
    assert next(iterator) == 0
    time.sleep(0.1)
    assert len(made) <= 1 + 4 + 1  # given, waiting, and the one in hand
    assert list(iterator) == list(range(1, 100))


def test_prefetch_passes_on_errors_after_the_items_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("broken")

    given = []
    with pytest.raises(RuntimeError, match="broken"):
        given.extend(prefetch(source(), 8))
    iterator = prefetch(source(), 8)
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(RuntimeError, match="broken"):
        next(iterator)


def test_prefetch_closes_its_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    iterator = prefetch(source(), 2)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert closed.wait(2)
