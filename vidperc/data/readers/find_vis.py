"""Where the splits of YouTube-VIS and OVIS lie below their folder, as their archives unpack."""

from __future__ import annotations

from pathlib import Path

SPLITS = {"valid": ("valid", "val"), "val": ("valid", "val"), "train": ("train",), "test": ("test",)}


def find_youtube_vis(root: str | Path, split: str = "valid") -> tuple[Path, Path]:
    """The JSON file of a split, and the folder that its file names are relative to.

    Known are `valid/instances.json`, `valid.json`, `instances_valid.json` and `annotations_valid.json`, in the folder
    or in `annotations/`; and a folder of one set alone, `instances.json`, whatever the split. Frames are in
    `valid/JPEGImages`, `valid` or `JPEGImages`.

    Raises:
        FileNotFoundError: there is none, or no folder of frames.
    """
    root = Path(root)
    names = SPLITS.get(split, (split,))
    files = [
        candidate
        for name in names
        for folder in (root, root / "annotations")
        for candidate in (
            folder / name / "instances.json", folder / f"{name}.json", folder / f"instances_{name}.json",
            folder / f"annotations_{name}.json",
        )
    ]  # fmt: skip
    file = next((path for path in (*files, root / "instances.json") if path.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"{root}: no {split}/instances.json, {split}.json, annotations_{split}.json or instances.json "
            "(YouTube-VIS's and OVIS's layouts)"
        )
    folders = [folder for name in names for folder in (root / name / "JPEGImages", root / name)]
    images = next((path for path in (*folders, root / "JPEGImages") if path.is_dir()), None)
    if images is None:
        raise FileNotFoundError(f"{root}: no folder of frames, {split}/JPEGImages or JPEGImages, beside {file}")
    return file, images
