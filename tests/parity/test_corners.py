"""Detectors of corners end to end from a uint8 frame against the recorded outputs of the reference.

They are large and look twice, so one of the recorded frames is enough.
"""

from __future__ import annotations

import kit
import pytest

GOLDENS = (
    "centripetalnet_hourglass104_mstest_16x6_210e_coco",
    "cornernet_hourglass104_mstest_8x6_210e_coco",
    "cornernet_hourglass104_mstest_8x6_210e_coco_noflip",
)


@pytest.mark.parametrize("name", GOLDENS)
def test_outputs_equal_the_recorded_ones(name, tmp_path):
    model, golden = kit.load_filled(name, tmp_path)
    frame = golden["meta"]["frames"][0]
    found = model.predict([kit.frames()[frame]])[0]
    result = kit.compare({**golden, "meta": {"frames": [frame]}}, {frame: found})
    assert result.passed, result
