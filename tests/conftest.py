"""Where the tests find larger real data, which is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest
import torch

# Test processes run side by side, one thread each. One also where a process is alone: with several, oneDNN's backward
# pass of strided 1x1 convolutions of fewer than 16 channels, as tests have them, writes outside its memory (AVX-512).
torch.set_num_threads(1)
cv2.setNumThreads(1)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VIDPERC_TEST_DATA", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real sample data (`mot/`, `video/`, `det/` ...); skips where there is none."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip(f"no sample data at {path}; set VIDPERC_TEST_DATA to the folder that holds data/")
    return path


@pytest.fixture(scope="session")
def parity_root() -> Path:
    """Folder of recorded reference outputs (`goldens/`, `specs/` ...); skips where there is none."""
    path = SHARED / "parity"
    if not path.is_dir():
        pytest.skip(f"no recorded reference outputs at {path}; set VIDPERC_TEST_DATA to the folder that holds parity/")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
