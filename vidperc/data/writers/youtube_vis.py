"""YouTube-VIS: `instances.json` with a mask of each object in each frame, pictures in `JPEGImages/VIDEO/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...io.whole_files import write_json
from ...structures import VideoRecord
from ..datasets import record_length
from ..problems import DataError
from .common import encode_mask, frames_of, write_picture, xywh


def write_youtube_vis(records: Sequence[VideoRecord], out: str | Path) -> Path:
    """Write videos whose objects have masks. Gives the JSON file. Objects without a visible pixel are null there.

    Raises:
        DataError: a frame whose objects have no masks or identities.
    """
    out = Path(out)
    classes = records[0].classes if records else ()
    content: dict[str, Any] = {
        "videos": [], "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }  # fmt: skip
    for number, record in enumerate(records, 1):
        names, size, length = [], record.size, record_length(record)
        tracks: dict[int, dict[str, Any]] = {}
        for index, (frame, objects) in enumerate(frames_of(record)):
            names.append(f"{record.name}/{index:05d}.jpg")
            write_picture(out / "JPEGImages" / names[-1], frame)
            size = frame.size
            if objects.masks is None or objects.ids is None or objects.labels is None:
                raise DataError(f"{record.name}, frame {index}: the objects need masks, labels and identities")
            rows = zip(objects.ids.tolist(), objects.labels.tolist(), xywh(objects), objects.masks.numpy())
            for key, label, box, mask in rows:
                track = tracks.setdefault(key, _track(label, number, length, size))
                if mask.any():
                    track["segmentations"][index] = encode_mask(mask)
                    track["bboxes"][index], track["areas"][index] = box, float(mask.sum())
        height, width = size or (0, 0)
        content["videos"].append(
            {"id": number, "height": height, "width": width, "length": len(names), "file_names": names}
        )
        for track in tracks.values():
            content["annotations"].append({"id": len(content["annotations"]) + 1, **track})
    write_json(out / "instances.json", content)
    return out / "instances.json"


def _track(label: int, video: int, length: int, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "video_id": video, "category_id": label + 1, "iscrowd": 0, "height": size[0], "width": size[1],
        "length": 1, "segmentations": [None] * length, "bboxes": [None] * length, "areas": [None] * length,
    }  # fmt: skip
