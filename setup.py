"""Packaging of vidperc. `configs/` ships as `vidperc.configs`, so that names resolve from a wheel too."""

import platform
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).parent

TRAIN = ["lightning-fabric>=2.4", "lightning-utilities", "tensorboard>=2.15", "matplotlib>=3.7"]
FAST_EVAL = ["faster-coco-eval>=1.6"]
TEST = [
    "pytest>=8",
    "pytest-timeout>=2.2",
    "pytest-xdist>=3.5",
    "ruff>=0.6",
    "mypy>=1.11",
    "trackeval>=1.0",
    "psutil>=5.9",
]

# Convolutions for CPUs with AVX-512. Where it does not compile, torch's own are used.
WINOGRAD = Extension(
    "vidperc.layers._winograd",
    ["vidperc/layers/winograd.c"],
    depends=["vidperc/layers/winograd_typed.h"],
    extra_compile_args=["-O3", "-march=x86-64-v4", "-fopenmp", "-Wno-psabi"],
    extra_link_args=["-fopenmp"],
    optional=True,
)
NATIVE = [WINOGRAD] if sys.platform == "linux" and platform.machine() == "x86_64" else []

setup(
    name="vidperc",
    version="0.1.0",
    description="Video perception in PyTorch: detection, tracking and segmentation in video",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.15",
    packages=[
        *find_packages(include=["vidperc", "vidperc.*"]),
        *(f"vidperc.{name}" for name in find_packages(include=["configs", "configs.*"])),
    ],
    package_dir={"vidperc": "vidperc", "vidperc.configs": "configs"},
    package_data={"vidperc": ["py.typed", "zoo/*.json", "zoo/*.json.gz", "zoo/checkpoints/*"]},
    ext_modules=NATIVE,
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "numpy>=1.24",
        "scipy>=1.10",
        "decord2>=2.0",
        "opencv-python>=4.8,<5",
        "lap>=0.5.12",
        "motmetrics>=1.4",
        "pycocotools>=2.0.7",
        "filterpy>=1.4.5",
        "fiddle>=0.3",
        "rich>=13",
        "av>=12",
    ],
    extras_require={"train": TRAIN, "fast-eval": FAST_EVAL, "test": [*TRAIN, *TEST, *FAST_EVAL]},
    entry_points={"console_scripts": ["vidperc = vidperc.cli:main"]},
)
