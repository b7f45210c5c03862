"""Video files: every frame is the right one, in order and at random, with its time."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_clips import encode, number_in, picture

from vidperc.io import Video, VideoError, VideoWarning

COUNT = 120
OPEN_GOP = {"x264-params": "open-gop=1:keyint=24:min-keyint=24:bframes=3:scenecut=0"}
B_FRAMES = {"bf": "3", "g": "30"}
UNEVEN = np.cumsum(np.random.default_rng(0).integers(10, 120, COUNT)).tolist()

CLIPS = {
    "b_frames.mp4": {"options": B_FRAMES},
    "b_frames.mkv": {"options": B_FRAMES},
    "b_frames.avi": {"options": B_FRAMES},
    "open_gop.mp4": {"options": OPEN_GOP},
    "open_gop.mkv": {"options": OPEN_GOP},
    "open_gop.ts": {"options": OPEN_GOP},
    "open_gop.avi": {"options": OPEN_GOP},
    "variable_rate.mp4": {"options": B_FRAMES, "ticks": UNEVEN},
    "variable_rate.mkv": {"options": B_FRAMES, "ticks": UNEVEN},
    "variable_rate_open_gop.mp4": {"options": OPEN_GOP, "ticks": UNEVEN},
    "intra_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=40:bframes=2"}},
    "one_gop.mp4": {"options": {"bf": "2", "g": "1000"}},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "motion_jpeg.avi": {"codec": "mjpeg"},
    "raw_stream.h264": {"options": B_FRAMES},
    "hidden_frames.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "300k"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"b": "300k", "cpu-used": "8", "deadline": "realtime"}},
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    settings = dict(CLIPS[request.param])
    codec = settings.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    path = tmp_path_factory.mktemp("clips") / request.param
    if codec == "mjpeg":
        settings["options"] = {"strict": "unofficial"}
    return path, encode(path, COUNT, **settings)


def numbers(frames: Iterator) -> list[int]:
    return [number_in(frame.array) for frame in frames]


def test_sequential(clip: tuple[Path, list[float]]) -> None:
    path, times = clip
    frames = list(Video(path))
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert numbers(frames) == list(range(COUNT))
    # Matroska and WebM round times to a millisecond.
    assert np.allclose([frame.time for frame in frames], times, atol=1.01e-3)


def test_random_access(clip: tuple[Path, list[float]]) -> None:
    path, times = clip
    video = Video(path)
    assert len(video) == COUNT
    order = np.random.default_rng(1).permutation(COUNT).tolist()
    found = [video.frame(index) for index in order]
    assert [frame.index for frame in found] == order
    assert numbers(found) == order
    assert np.allclose([frame.time for frame in found], [times[index] for index in order], atol=1.01e-3)


def test_slices(clip: tuple[Path, list[float]]) -> None:
    video = Video(clip[0])
    assert numbers(video[37:90:11]) == list(range(37, 90, 11))
    assert [frame.index for frame in video[37:90:11]] == list(range(5))
    assert numbers(video[::-17]) == list(range(COUNT))[::-17]
    assert number_in(video[50:][10].array) == 60
    assert numbers(video[-3:]) == [117, 118, 119]


def test_reading_and_iterating_do_not_disturb_each_other(clip: tuple[Path, list[float]]) -> None:
    video = Video(clip[0])
    pairs = [(number_in(a.array), number_in(b.array), number_in(video[7].array)) for a, b in zip(video, video)]
    assert pairs == [(index, index, 7) for index in range(COUNT)]


def test_memory_is_a_view_of_rgb_rows(tmp_path: Path) -> None:
    encode(tmp_path / "clip.mp4", 3)
    frame = Video(tmp_path / "clip.mp4").frame(1)
    assert frame.image.shape == (3, 144, 176)
    assert frame.image.permute(1, 2, 0).is_contiguous()
    assert np.abs(frame.array.astype(int) - picture(1))[:40].max() < 12


def test_pixels_equal_those_of_decord(tmp_path: Path) -> None:
    decord = pytest.importorskip("decord")
    encode(tmp_path / "clip.mp4", 30, options=B_FRAMES)
    reader = decord.VideoReader(str(tmp_path / "clip.mp4"), num_threads=1)
    for frame, other in zip(Video(tmp_path / "clip.mp4"), range(30), strict=True):
        assert np.abs(frame.array.astype(int) - reader[other].asnumpy()).max() <= 1


def test_header_with_too_many_frames(data_root: Path) -> None:
    video = Video(data_root / "video" / "car_traffic_small.mp4")
    frames = [frame.index for frame in video]
    assert frames == list(range(917))
    assert len(video) == 917


def test_real_avi_with_reordered_frames(data_root: Path) -> None:
    video = Video(data_root / "video" / "vtest.avi")
    sums = {frame.index: int(frame.array.sum()) for frame in video[:60]}
    assert len(video) == 795
    assert video.frame(30).time == pytest.approx(3.0)
    for index in (59, 3, 41, 12, 13, 58):
        assert int(video.frame(index).array.sum()) == sums[index]


# --- damage -------------------------------------------------------------------------------------


def spoiled(source: Path, target: Path, broken: set[int], noise: float = 0.9) -> Path:
    """A copy with noise in the data of the packets numbered `broken`, in the order of the file."""
    random = np.random.default_rng(0)
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(reader.streams.video[0])):
            if not packet.size:
                continue
            data = bytearray(bytes(packet))
            if number in broken:
                begin = int(len(data) * (1 - noise))
                data[begin:] = random.integers(0, 256, len(data) - begin, dtype=np.uint8).tobytes()
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            writer.mux(copy)
    return target


@pytest.mark.parametrize("noise", [0.5, 1.0])
@pytest.mark.parametrize("options", [{"bf": "3", "g": "20"}, {"bf": "0", "g": "20"}], ids=["b_frames", "no_b_frames"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_corruption_in_the_middle_does_not_end_the_run(
    tmp_path: Path, suffix: str, options: dict[str, str], noise: float
) -> None:
    encode(tmp_path / f"whole{suffix}", COUNT, options=options)
    path = spoiled(tmp_path / f"whole{suffix}", tmp_path / f"spoiled{suffix}", {50, 51, 52, 53}, noise)
    video = Video(path)
    with pytest.warns(VideoWarning, match=r"\d+ of 120 frames"):
        frames = list(video)
    assert len(video) == COUNT
    # Everything outside the damaged GOP (40 to 59) is there, under its own index and time.
    whole = {frame.index: frame for frame in frames if number_in(frame.array) == frame.index}
    assert set(whole) >= {*range(40), *range(60, 120)}
    assert all(frame.time == pytest.approx(frame.index / 25, abs=1.01e-3) for frame in frames)
    assert number_in(video.frame(110).array) == 110


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_broken_container_goes_on_with_the_right_times(tmp_path: Path, suffix: str) -> None:
    encode(tmp_path / f"whole{suffix}", COUNT, options={"bf": "0", "g": "10"})
    data = bytearray((tmp_path / f"whole{suffix}").read_bytes())
    begin, end = int(len(data) * 0.45), int(len(data) * 0.52)
    data[begin:end] = np.random.default_rng(0).integers(0, 256, end - begin, dtype=np.uint8).tobytes()
    (tmp_path / f"broken{suffix}").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoWarning)
        frames = list(Video(tmp_path / f"broken{suffix}"))
    right = [frame for frame in frames if round((frame.time or 0) * 25) == number_in(frame.array)]
    assert len(right) >= 85
    assert number_in(right[-1].array) >= 118


def test_truncated_file_gives_the_frames_before(tmp_path: Path) -> None:
    encode(tmp_path / "whole.mp4", COUNT, options={"movflags": "faststart", "bf": "2"})
    with (
        av.open(str(tmp_path / "whole.mp4")) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    video = Video(tmp_path / "cut.mp4")
    with pytest.warns(VideoWarning, match=r"120|of \d+ frames"):
        found = numbers(video)
    assert found == list(range(len(found)))
    assert 30 < len(found) < COUNT


@pytest.mark.parametrize("content", [b"", b"this is not a video at all" * 50])
def test_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        Video(tmp_path / "broken.mp4")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4"):
        Video(tmp_path / "nothing.mp4")


def test_sound_without_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        Video(tmp_path / "sound.mp4")


def test_no_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "empty.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoError, match=r"empty\.mkv"):
        Video(tmp_path / "empty.mkv")


# --- reading ahead ------------------------------------------------------------------------------


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vidperc-prefetch"]


def test_stopping_early_ends_the_thread(tmp_path: Path) -> None:
    encode(tmp_path / "clip.mp4", COUNT)
    for frame in Video(tmp_path / "clip.mp4"):
        if frame.index == 5:
            break
    gc.collect()
    deadline = time.monotonic() + 3
    while reading_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not reading_threads()


@pytest.mark.parametrize("prefetch", [0, 1, 32])
def test_any_depth_gives_the_same(tmp_path: Path, prefetch: int) -> None:
    encode(tmp_path / "clip.mp4", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(Video(tmp_path / "clip.mp4", prefetch=prefetch)) == list(range(40))
