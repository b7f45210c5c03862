"""MOTChallenge: a folder per video with `img1/`, `gt/gt.txt` and `seqinfo.ini`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...io.whole_files import write_text
from ...structures import VideoRecord
from ..problems import DataError
from .common import flags, frames_of, write_picture, xywh


def write_motchallenge(records: Sequence[VideoRecord], out: str | Path) -> Path:
    """Write sequences in the form of MOT17. Gives their folder.

    All objects are written as class 1, the one the benchmark counts; ignored ones with a `conf` of 0.
    Ids count from 1.
    """
    out = Path(out)
    for record in records:
        folder, rows, size = out / record.name, [], record.size
        for index, (frame, objects) in enumerate(frames_of(record)):
            size = frame.size
            write_picture(folder / "img1" / f"{index + 1:06d}.jpg", frame)
            if objects.ids is None and len(objects):
                raise DataError(f"{record.name}, frame {index}: the objects have no identities")
            ids = [] if objects.ids is None else objects.ids.tolist()
            seen = [1.0] * len(objects) if objects.visibilities is None else objects.visibilities.tolist()
            for (x, y, w, h), key, skip, part in zip(xywh(objects), ids, flags(objects), seen):
                rows.append(f"{index + 1},{key + 1},{x:g},{y:g},{w:g},{h:g},{int(not skip)},1,{part:.4f}")
        write_text(folder / "gt" / "gt.txt", "\n".join(rows) + "\n")
        height, width = size or (0, 0)
        write_text(
            folder / "seqinfo.ini",
            f"[Sequence]\nname={record.name}\nimDir=img1\nframeRate={record.fps or 25:g}\nseqLength={index + 1}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n",
        )
    return out
