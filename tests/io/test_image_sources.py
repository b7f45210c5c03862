"""Images, folders, globs, arrays and MOTChallenge folders as videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numbered_clips import encode, number_in, picture

from vidperc.io import Video, VideoError, VideoWarning, read_image, read_seqinfo, with_detections
from vidperc.structures import Frame, Instances, VideoRecord
from vidperc.structures import Video as AnyVideo


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        save(tmp_path / "pictures" / f"view{number}.png", picture(number))
    return tmp_path / "pictures"


def test_folder_in_natural_order(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    video = Video(folder, fps=10)
    assert [number_in(frame.array) for frame in video] == list(range(12))
    assert [frame.time for frame in video] == [index / 10 for index in range(12)]
    assert (len(video), video.name, video.fps, video.size) == (12, "pictures", 10, (144, 176))
    assert video.frame(10).name == "view10.png"
    assert number_in(video[-1].array) == 11
    assert [number_in(frame.array) for frame in video[2:9:3]] == [2, 5, 8]


def test_glob_list_and_single_image(folder: Path) -> None:
    assert [number_in(frame.array) for frame in Video(str(folder / "view1*.png"))] == [1, 10, 11]
    assert [number_in(frame.array) for frame in Video([folder / "view5.png", str(folder / "view2.png")])] == [5, 2]
    assert [number_in(frame.array) for frame in Video(folder / "view7.png")] == [7]


def test_grey_alpha_and_16_bit_become_rgb(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(read_image(save(tmp_path / "grey.png", ramp)), np.repeat(ramp[..., None], 3, 2))
    cv2.imwrite(str(tmp_path / "deep.png"), ramp.astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "deep.png"), np.repeat(ramp[..., None], 3, 2))
    color = np.dstack([ramp, ramp[::-1], ramp.T])  # as RGB
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([color[..., ::-1], ramp]))
    assert np.array_equal(read_image(tmp_path / "alpha.png"), color)
    cv2.imwrite(str(tmp_path / "deep_color.png"), color[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "deep_color.png"), color)


def test_a_jpeg_that_is_cut_off_is_no_picture(tmp_path: Path) -> None:
    """OpenCV would fill its rest with grey."""
    rng = np.random.default_rng(0)
    path = save(tmp_path / "a.jpg", rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-30], whole[:-2]):
        path.write_bytes(part)
        with pytest.raises(VideoError, match=r"a\.jpg: cannot be decoded as an image, or is cut off"):
            read_image(path)
    path.write_bytes(whole + b"\0" * 100)  # padding does no harm
    assert read_image(path).shape == (64, 96, 3)
    preview = b"\xff\xe1" + (2 + len(whole)).to_bytes(2, "big") + whole  # a whole picture in the header
    path.write_bytes(whole[:2] + preview + whole[2 : len(whole) // 2])
    with pytest.raises(VideoError, match="cut off"):
        read_image(path)
    path.write_bytes(whole[:2] + preview + whole[2:])
    assert read_image(path).shape == (64, 96, 3)


def test_other_size_is_an_error_that_names_the_file(folder: Path) -> None:
    save(folder / "view4.png", picture(4, 200, 300))
    given = []
    with pytest.raises(VideoError, match=r"view4\.png: is 300x200.*view0\.png 176x144.*same_size=False"):
        given.extend(Video(folder))
    assert [frame.index for frame in given] == [0, 1, 2, 3]
    assert [frame.size for frame in Video(folder, same_size=False)][3:6] == [(144, 176), (200, 300), (144, 176)]


def test_an_unreadable_image_in_the_middle_is_counted(folder: Path) -> None:
    (folder / "view3.png").write_bytes(b"broken")
    (folder / "view8.png").write_bytes(b"")
    with pytest.warns(VideoWarning, match=r"2 of 12 images .*view3\.png"):
        frames = list(Video(folder))
    assert [frame.index for frame in frames] == [number_in(frame.array) for frame in frames]
    assert [frame.index for frame in frames] == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    with pytest.raises(VideoError, match=r"view3\.png"):
        Video(folder).frame(3)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no images here"):
        Video(tmp_path)
    with pytest.raises(FileNotFoundError, match="matches no image"):
        Video(str(tmp_path / "*.jpg"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        Video(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="at least one frame"):
        Video([])
    with pytest.raises(TypeError, match="cannot read a video from"):
        Video(3.5)  # type: ignore[arg-type]


def test_arrays() -> None:
    frames = np.stack([picture(number) for number in range(5)])
    for video in (Video(frames, fps=5), Video(list(frames), fps=5), Video.from_frames(frames, fps=5)):
        assert isinstance(video, Video)
        assert [number_in(frame.array) for frame in video] == list(range(5))
        assert video[3].time == pytest.approx(0.6)
    assert len(Video(frames[0])) == 1
    assert len(Video(AnyVideo.from_frames(frames))) == 5
    with pytest.raises(ValueError, match=r"frame 0.*uint8"):
        Video(frames.astype(np.float32))


def test_record() -> None:
    truth = {1: Instances(boxes=torch.tensor([[1.0, 2, 3, 4]]))}
    record = VideoRecord(name="drawn", length=3, instances=truth, load=lambda i: Frame.from_array(picture(i), i))
    video = Video(record)
    assert [number_in(frame.array) for frame in video] == [0, 1, 2]
    assert [frame.instances is None for frame in video] == [True, False, True]


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    root = tmp_path / "SEQ-01"
    for number in range(5):
        save(root / "img1" / f"{number + 1:06d}.jpg", picture(number))
    (root / "seqinfo.ini").write_text(
        "[Sequence]\nname=SEQ-01\nimDir=img1\nframeRate=25\nseqLength=5\nimWidth=176\nimHeight=144\nimExt=.jpg\n"
    )
    (root / "gt").mkdir()
    (root / "gt" / "gt.txt").write_text("2,7,10,20,30,40,1,1,0.5\n2,8,10,20,30,40,0,8,1\n4,7,1,2,3,4,1,1,1\n")
    (root / "det").mkdir()
    (root / "det" / "det.txt").write_text("1,-1,5,6,7,8,0.9,-1,-1,-1\n")
    return root


def test_motchallenge_folder(sequence: Path) -> None:
    video = Video(sequence)
    frames = list(video)
    assert (video.name, video.fps, video.size, len(video)) == ("SEQ-01", 25, (144, 176), 5)
    assert [number_in(frame.array) for frame in frames] == [0, 1, 2, 3, 4]
    truth = frames[1].instances
    assert truth is not None
    assert truth.boxes.tolist() == [[10, 20, 40, 60], [10, 20, 40, 60]]
    assert truth.ids.tolist() == [7, 8]
    assert truth.labels.tolist() == [0, 7]
    assert truth.ignored.tolist() == [False, True]
    assert truth.visibilities.tolist() == [0.5, 1]
    assert frames[0].instances is None
    assert frames[0].detections.boxes.tolist() == [[5, 6, 12, 14]]
    assert frames[0].detections.scores.tolist() == pytest.approx([0.9])
    assert len(frames[1].detections) == 0
    assert len(video.frame(3).instances) == 1
    assert video[1:3][0].instances.ids.tolist() == [7, 8]


def test_motchallenge_folder_with_a_missing_image(sequence: Path) -> None:
    (sequence / "img1" / "000003.jpg").unlink()
    with pytest.warns(VideoWarning, match="1 of 5 images"):
        frames = list(Video(sequence))
    assert [(frame.index, number_in(frame.array)) for frame in frames] == [(0, 0), (1, 1), (3, 3), (4, 4)]
    assert len(frames[2].instances) == 1


def test_motchallenge_folder_shorter_than_it_says(sequence: Path) -> None:
    (sequence / "img1" / "000005.jpg").unlink()
    with pytest.warns(VideoWarning, match="says 5 frames, the images go to 4"):
        Video(sequence)


def test_motchallenge_folder_with_a_video(sequence: Path) -> None:
    for path in (sequence / "img1").iterdir():
        path.unlink()
    (sequence / "img1").rmdir()
    with pytest.raises(VideoError, match=r"neither img1/ nor one video"):
        Video(sequence)
    encode(sequence / "SEQ-01.mp4", 5)
    assert [len(frame.detections) for frame in Video(sequence)] == [1, 0, 0, 0, 0]


def test_seqinfo_errors(tmp_path: Path) -> None:
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=often\n")
    with pytest.raises(ValueError, match=r"seqinfo\.ini.*often"):
        read_seqinfo(tmp_path)


def test_real_sequence(data_root: Path) -> None:
    video = Video(data_root / "mot" / "MOT15" / "train" / "TUD-Campus")
    assert (len(video), video.fps, video.size) == (71, 25, (480, 640))
    frame = video.frame(0)
    assert (len(frame.instances), frame.detections is not None) == (6, True)


def test_detections_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("2,-1,5,6,7,8,0.9\n")
    video = with_detections(Video.from_frames([picture(0), picture(1)]), tmp_path / "det.txt")
    assert [len(frame.detections) for frame in video] == [0, 1]
