"""Windows of a picture: both ways of taking them, against padding, cutting and resizing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidperc.ops import crop
from vidperc.ops.crop import outside_samples, sample_windows

ROOM = 200


@pytest.mark.parametrize("largest", [0, 1280])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_both_ways_equal_padding_cutting_and_resizing(largest, dtype, monkeypatch):
    monkeypatch.setattr(crop, "LARGEST_CUT", largest)
    image = torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8).to(dtype)
    windows = [[10, 20, 40, 50], [-15, -8, 30, 37], [60, 50, 110, 99], [-30, -30, 120, 120], [-60, 5, -20, 40],
               [100, 90, 130, 120], [3, 4, 3, 4], [40, -50, 70, -30]]  # fmt: skip
    fill = torch.rand(len(windows), 3) * 255
    out = sample_windows(image, torch.tensor(windows, dtype=torch.float32), 33, fill)
    marked = outside_samples(torch.tensor(windows, dtype=torch.float32), 33, 90, 70)
    assert out.is_contiguous(memory_format=torch.channels_last)
    for result, outside, (x1, y1, x2, y2), colour in zip(out, marked, windows, fill):
        padded = colour[:, None, None].repeat(1, 70 + 2 * ROOM, 90 + 2 * ROOM)
        padded[:, ROOM : ROOM + 70, ROOM : ROOM + 90] = image.float()
        mask = torch.ones(1, 70 + 2 * ROOM, 90 + 2 * ROOM)
        mask[:, ROOM : ROOM + 70, ROOM : ROOM + 90] = 0
        place = (slice(None), slice(y1 + ROOM, y2 + 1 + ROOM), slice(x1 + ROOM, x2 + 1 + ROOM))
        expected = F.interpolate(padded[place][None], (33, 33), mode="bilinear", align_corners=False)[0]
        assert torch.allclose(result, expected, atol=1e-2)
        assert torch.equal(outside, F.interpolate(mask[place][None], (33, 33), mode="bilinear")[0, 0] > 0)


def test_a_window_far_larger_than_the_picture_needs_no_memory():
    window = torch.tensor([[-1e6, -1e6, 1e6, 1e6]])
    out = sample_windows(torch.full((3, 70, 90), 9, dtype=torch.uint8), window, 16, torch.zeros(1, 3))
    assert out.shape == (1, 3, 16, 16)
    assert sample_windows(torch.zeros(3, 5, 5), torch.zeros(0, 4), 16, torch.zeros(0, 3)).shape == (0, 3, 16, 16)
