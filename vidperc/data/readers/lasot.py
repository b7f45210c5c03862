"""LaSOT (https://arxiv.org/abs/1809.07845): `CLASS/CLASS-N/img/*.jpg` with truth and flags of absence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_flags, read_names, read_table, sot_record


def read_lasot(root: str | Path, split: str | None = None, names: Sequence[str] | None = None) -> list[VideoRecord]:
    """Sequences of LaSOT, in `root`/CLASS/NAME or `root`/NAME.

    The object is absent where it is fully occluded or out of view; both flags are kept as attributes.

    Args:
        root: folder of the benchmark.
        split: "test" for those of `testing_set.txt`, "train" for `training_set.txt`, None for all there are.
        names: only these.

    Raises:
        DataError: a missing or broken file.
    """
    base = folder(root)
    if names is None:
        if split is None:
            names = sorted(path.parent.name for path in base.glob("**/groundtruth.txt"))
        else:
            names = read_names(base / {"test": "testing_set.txt", "train": "training_set.txt"}[split])
    if not names:
        raise DataError(f"{base}: no LaSOT sequences (CLASS/CLASS-N/groundtruth.txt)")
    return [_read_sequence(base, name) for name in names]


def _read_sequence(base: Path, name: str) -> VideoRecord:
    kind = name.rsplit("-", 1)[0]
    path = base / kind / name if (base / kind / name).is_dir() else folder(base, name)
    boxes = read_table(path / "groundtruth.txt", (4,))
    occluded = read_flags(path / "full_occlusion.txt", len(boxes))
    outside = read_flags(path / "out_of_view.txt", len(boxes))
    text = path / "nlp.txt"
    return sot_record(
        name, pictures(path / "img"), boxes, absent=occluded | outside, occluded=occluded, out_of_view=outside,
        category=kind, language=text.read_text(encoding="utf-8").strip() if text.is_file() else "",
    )  # fmt: skip
