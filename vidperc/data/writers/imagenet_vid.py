"""ImageNet VID: an XML file and a picture for each frame, lists in `ImageSets/VID`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from ...io.whole_files import write_text
from ...structures import Frame, Instances, VideoRecord
from .common import frames_of, write_picture


def write_imagenet_vid(records: Sequence[VideoRecord], out: str | Path, split: str = "train") -> Path:
    """Write snippets, their classes by name where ImageNet has WordNet ids. Gives the list of frames.

    Ignored objects are left out: the format has no word for them.
    """
    out = Path(out)
    lines, number = [], 0
    for record in records:
        for index, (frame, objects) in enumerate(frames_of(record)):
            part = f"{split}/{record.name}/{index:06d}"
            write_picture(out / "Data" / "VID" / f"{part}.JPEG", frame)
            tree = _annotation(record, index, frame, objects)
            write_text(out / "Annotations" / "VID" / f"{part}.xml", ElementTree.tostring(tree, encoding="unicode"))
            number += 1
            lines.append(f"{record.name}/{index:06d} {number}")
    write_text(out / "ImageSets" / "VID" / f"{split}.txt", "\n".join(lines) + "\n")
    return out / "ImageSets" / "VID" / f"{split}.txt"


def _annotation(record: VideoRecord, index: int, frame: Frame, objects: Instances) -> ElementTree.Element:
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, name: str, text: object = None) -> ElementTree.Element:
        node = ElementTree.SubElement(parent, name)
        if text is not None:
            node.text = str(text)
        return node

    add(root, "folder", record.name)
    add(root, "filename", f"{index:06d}")
    size = add(root, "size")
    add(size, "width", frame.size[1])
    add(size, "height", frame.size[0])
    labels = [] if objects.labels is None else objects.labels.tolist()
    ids = range(len(objects)) if objects.ids is None else objects.ids.tolist()
    ignored = [False] * len(objects) if objects.ignored is None else objects.ignored.tolist()
    for box, label, track, skip in zip(objects.boxes.round().int().tolist(), labels, ids, ignored):
        if skip or box[2] <= box[0] or box[3] <= box[1]:
            continue
        item = add(root, "object")
        add(item, "trackid", track)
        add(item, "name", record.classes[label])
        bounds = add(item, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box):
            add(bounds, name, value)
    return root
