"""Video detectors: the recorded outputs of an 8-frame clip, end to end from uint8."""

from __future__ import annotations

import warnings

import kit
import pytest

import vidperc
from vidperc.structures import Video

# golden -> config, overrides. DFF's goldens were recorded at the config's own scale, as their input_shape says.
CASES = {
    "dff_faster_rcnn_r50_dc5_1x_imagenetvid": (None, {"test_scale": (1000, 600)}),
    "dff_faster_rcnn_r50_dc5_1x_imagenetvid_kfi4": (
        "dff_faster_rcnn_r50_dc5_1x_imagenetvid",
        {"test_scale": (1000, 600), "key_interval": 4},
    ),
    "fgfa_faster_rcnn_r50_dc5_1x_imagenetvid": (None, {}),
    "selsa_faster_rcnn_r50_dc5_1x_imagenetvid": (None, {}),
    "selsa_troialign_faster_rcnn_r50_dc5_7e_imagenetvid": (None, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_recorded_detections(name, tmp_path):
    config, overrides = CASES[name]
    golden, spec = kit.load_golden(name), kit.load_spec(name)
    path = kit.write_checkpoint(spec, tmp_path / "checkpoint.pth")
    options = {"test_scale": tuple(golden["meta"]["preprocess"]["img_scale"]), **overrides}
    model = vidperc.load(config or name, checkpoint=path, **options)
    frames = [kit.frames()[index] for index in golden["meta"]["frames"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clip is shorter than SELSA's references
        found = list(model.stream(Video.from_frames(frames)))
    agreement = kit.compare(golden, dict(zip(golden["meta"]["frames"], found, strict=True)))
    if golden["meta"]["fragile"] and not agreement.passed:
        pytest.xfail(f"the reference does not pass against itself under noise either: {agreement}")
    assert agreement.passed, agreement
