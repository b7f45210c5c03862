"""Drawing: the right pixels, stable colours, bounded trails."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from vidperc import visualize
from vidperc.structures import Frame, Instances
from vidperc.visualize import IGNORED, Trails, color_of, draw, draw_ignored, draw_masks, show


def canvas(value: int = 60) -> np.ndarray:
    return np.full((200, 300, 3), value, np.uint8)


def one(box: list[float], identity: int = 1, **fields: torch.Tensor) -> Instances:
    return Instances(boxes=torch.tensor([box]), ids=torch.tensor([identity]), **fields)


def test_colours_are_stable_and_apart() -> None:
    assert [color_of(k) for k in range(50)] == [color_of(k) for k in range(50)]
    hues = [colorsys.rgb_to_hsv(*(channel / 255 for channel in color_of(k)))[0] for k in range(8)]
    gaps = [min(abs(a - b), 1 - abs(a - b)) for i, a in enumerate(hues) for b in hues[:i]]
    assert min(gaps) > 0.05
    assert len({color_of(k) for k in range(200)}) > 190
    assert color_of(10**15) == color_of(10**15)


def test_a_box_is_drawn_in_its_colour_on_a_copy() -> None:
    picture = canvas()
    drawn = draw(picture, one([100, 80, 180, 160], 5))
    assert (picture == 60).all()
    assert drawn.shape == picture.shape
    for y, x in ((160, 140), (120, 100), (120, 180)):
        assert tuple(drawn[y, x]) == color_of(5)
    assert (drawn[100:150, 110:170] == 60).all()
    assert (drawn[:50] == 60).all()


def test_what_cannot_be_seen_does_no_harm() -> None:
    boxes = torch.tensor([[-50.0, -50, 20, 20], [290, 190, 400, 500], [500, 500, 600, 600], [1e9, 0, 2e9, 5]])
    drawn = draw(canvas(), Instances(boxes=boxes, ids=torch.arange(4), scores=torch.rand(4)), classes=["person"])
    assert drawn.shape == (200, 300, 3)
    assert (draw(canvas(), Instances.empty()) == 60).all()
    nothing = Instances(boxes=torch.tensor([[float("nan")] * 4]))
    assert draw(canvas(), nothing).shape == (200, 300, 3)


def test_weak_and_ignored_objects_are_left_out() -> None:
    weak = one([100, 80, 180, 160], scores=torch.tensor([0.2]))
    assert (draw(canvas(), weak, min_score=0.3) == 60).all()
    assert not (draw(canvas(), weak, min_score=0.1) == 60).all()
    assert (draw(canvas(), one([100, 80, 180, 160], ignored=torch.tensor([True]))) == 60).all()


def test_ignored_objects_are_hatched_on_demand() -> None:
    boxes = torch.tensor([[100.0, 80, 180, 160], [-20, 10, 30, 50], [200, 20, 240, 60]])
    drawn = canvas()
    draw_ignored(drawn, Instances(boxes=boxes, ignored=torch.tensor([True, True, False])))
    assert tuple(drawn[80, 120]) == tuple(drawn[100, 100]) == tuple(drawn[40, 30]) == IGNORED  # their edges
    lines = (drawn[81:159, 101:179] == IGNORED).all(2).mean()
    assert 0.2 < lines < 0.3  # two of eight pixels
    assert (drawn[:, 181:] == 60).all()
    draw_ignored(drawn, Instances(boxes=boxes))  # nothing is ignored


def test_frame_as_picture() -> None:
    assert (draw(Frame.from_array(canvas()), Instances.empty()) == 60).all()


def test_masks_tint_exactly_their_pixels() -> None:
    mask = np.zeros((1, 200, 300), bool)
    mask[0, 50:100, 70:150] = True
    picture = canvas(100)
    draw_masks(picture, mask, [(200, 0, 0)], opacity=0.5)
    assert np.array_equal((picture != 100).any(2), mask[0])
    assert picture[75, 100].tolist() == [150, 50, 50]
    drawn = draw(canvas(100), one([70, 50, 150, 100], masks=torch.from_numpy(mask)))
    assert not (drawn[75, 100] == 100).all()


def test_trails_are_bounded_and_forgotten() -> None:
    trails = Trails(length=10, patience=5)
    for step in range(100):
        trails.update(one([step, 0, step + 10, 20], identity=step // 50))
    assert list(trails.points) == [1]
    assert list(trails.points[1]) == [(step + 5, 20) for step in range(90, 100)]


def test_trails_are_drawn_along_the_way() -> None:
    trails = Trails()
    for step in range(0, 200, 10):
        drawn = draw(canvas(), one([step, 40, step + 20, 100], 3), trails=trails)
    assert len(trails.points[3]) == 20
    assert (drawn[100, 20:180] != 60).any(1).all()
    assert (drawn[120:] == 60).all()


def test_tags_hold_what_fits() -> None:
    fitting = visualize._fitting
    assert fitting(["12", "person", "0.93"], 1000, 1.0) == "12 person 0.93"
    assert fitting(["12", "person", "0.93"], 100, 1.0) == "12 person"
    assert fitting(["12", "person", "0.93"], 5, 1.0) == "12"
    assert fitting([], 5, 1.0) == ""


def test_show_stops_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    keys = iter([-1, -1, ord("q")])
    monkeypatch.setattr(visualize.cv2, "imshow", lambda *_: None)
    monkeypatch.setattr(visualize.cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(visualize.cv2, "waitKey", lambda _: next(keys))
    closed = []
    monkeypatch.setattr(visualize.cv2, "destroyWindow", closed.append)
    assert len(list(show([canvas()] * 10, "title"))) == 3
    assert closed == ["title"]


def test_without_a_display_no_window_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visualize.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match="no display"):
        list(show([canvas()]))
