"""Written videos: playable, timed as their source, whole whatever happens."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from numbered_clips import HEIGHT, WIDTH, number_in, picture

from vidperc.io import ImageWriter, Video, VideoError, VideoWarning, VideoWriter
from vidperc.io import writers as writers_module
from vidperc.structures import Frame


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_frames_and_variable_times_come_back(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.005, 0.3, 40)).tolist()
    with VideoWriter(tmp_path / "out" / "clip.mp4", fps=25) as writer:
        for number, time in enumerate(times):
            writer.write(Frame.from_array(picture(number), number, time))
    video = Video(tmp_path / "out" / "clip.mp4")
    frames = list(video)
    assert [number_in(frame.array) for frame in frames] == list(range(40))
    assert np.allclose([frame.time for frame in frames], np.array(times) - times[0], atol=2e-5)
    assert [number_in(video.frame(index).array) for index in (31, 2, 39)] == [31, 2, 39]


def test_browsers_play_it(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", fps=30) as writer:
        for number in range(60):
            writer.write(picture(number))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(30)
        assert float(container.duration) / 1e6 == pytest.approx(2.0, abs=0.01)
    data = (tmp_path / "clip.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_times_that_stand_still_or_go_back_still_grow(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        for number, time in enumerate([0.0, 0.0, 0.1, 0.05, 0.2]):
            writer.write(picture(number), time)
    assert [number_in(frame.array) for frame in Video(tmp_path / "clip.mp4")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [(145, 177), (720, 1280)])
def test_colours_and_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[:, : size[1] // 2], image[:, size[1] // 2 :] = (200, 30, 40), (20, 160, 220)
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        writer.write(image)
    frame = Video(tmp_path / "clip.mp4").frame(0)
    assert frame.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    shown = frame.array[: size[0], : size[1]].astype(int)
    assert np.abs(shown[:, 10] - image[:, 10]).max() < 6
    assert np.abs(shown[:, -1] - image[:, -1]).max() < 6


def test_other_sizes_are_fitted_in(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        writer.write(picture(0))
        writer.write(np.full((2 * HEIGHT, WIDTH, 3), 255, np.uint8))
    frame = list(Video(tmp_path / "clip.mp4"))[1]
    assert frame.size == (HEIGHT, WIDTH)
    assert frame.array[:, WIDTH // 2].min() > 240  # the tall picture fills the height ...
    assert frame.array[:, : WIDTH // 5].max() < 16  # ... between black bars


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_the_file_is_whole(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with VideoWriter(tmp_path / "clip.mp4") as writer:
            for number in range(20):
                writer.write(picture(number))
            raise error

    with pytest.raises(error):
        write()
    assert [number_in(frame.array) for frame in Video(tmp_path / "clip.mp4")] == list(range(20))
    assert names(tmp_path) == ["clip.mp4"]


def test_no_frames_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4"):
        pass
    assert names(tmp_path) == []


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"clip\.txt: cannot write \.txt"):
        VideoWriter(tmp_path / "clip.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoError, match=r"clip\.mp4: cannot be written"):
        VideoWriter(tmp_path / "file" / "clip.mp4")
    with pytest.raises(VideoError, match=r"frame 0: expected \(H, W, 3\) uint8"):
        VideoWriter(tmp_path / "clip.mp4").write(np.zeros((4, 4), np.uint8))


def test_no_space_left(tmp_path: Path) -> None:
    # A limit on the size of files stands for a full disk: the same call fails.
    script = f"""
        import resource, signal, numpy as np
        from vidperc.io import VideoWriter, VideoError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        noise = np.random.default_rng(0)
        try:
            with VideoWriter({str(tmp_path / "clip.mp4")!r}) as writer:
                for _ in range(300):
                    writer.write(noise.integers(0, 256, (240, 320, 3), dtype=np.uint8))
        except VideoError as error:
            print("said:", error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert "clip.mp4: cannot be" in done.stdout, done.stdout + done.stderr
    assert "File too large" in done.stdout
    assert names(tmp_path) == []


def test_without_an_h264_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "H264_ENCODER", "no such encoder")
    with VideoWriter(tmp_path / "clip.mp4", fps=10) as writer:
        with pytest.warns(VideoWarning, match=r"no H\.264 encoder here, writing MPEG-4"):
            writer.write(picture(0))
        for number in range(1, 10):
            writer.write(picture(number))
    video = Video(tmp_path / "clip.mp4")
    assert [number_in(frame.array) for frame in video] == list(range(10))


def test_image_writer(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "frames", ".png") as writer:
        writer.write(picture(0))
        writer.write(Frame.from_array(picture(7), index=7))
    assert names(tmp_path / "frames") == ["000001.png", "000008.png"]
    assert np.array_equal(Video(tmp_path / "frames").frame(1).array, picture(7))
    with pytest.raises(VideoError, match=r"000001\.nothing: cannot be written"):
        ImageWriter(tmp_path / "frames", ".nothing").write(picture(0))


def test_memory_is_flat(tmp_path: Path) -> None:
    process = psutil.Process()
    with VideoWriter(tmp_path / "long.mp4", preset="ultrafast") as writer:
        for number in range(3000):
            writer.write(picture(number))
            if number == 500:
                before = process.memory_info().rss
    assert process.memory_info().rss - before < 20e6
    for frame in Video(tmp_path / "long.mp4"):
        if frame.index == 500:
            before = process.memory_info().rss
        assert number_in(frame.array) == frame.index
    assert process.memory_info().rss - before < 20e6
