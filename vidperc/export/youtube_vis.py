"""Submissions to the YouTube-VIS and OVIS servers: `results.json` in a zip, checked before it is written."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..structures import Instances
from ..structures.masks import as_rle, encode_masks
from .motchallenge import SubmissionError

MOST = 100  # tracks of a video and category that count


@dataclass(frozen=True)
class VideoEntry:
    """A video of the benchmark."""

    id: int
    length: int  # frames
    size: tuple[int, int]  # (height, width)


def youtube_vis_results(
    video: VideoEntry, frames: Iterable[Instances], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """The server's entries for one video from the objects of its frames: one per id, null where it is not seen.

    Of a category those of the 100 highest scores are kept: no more count.

    Args:
        frames: with masks, ids, labels and scores; taken one after the other, and masks kept as RLE.
        category_ids: of each label; they may have gaps.

    Raises:
        SubmissionError: another number of frames, or objects without masks, ids, labels or scores.
    """
    tracks: dict[int, dict[str, Any]] = {}
    count = 0
    for t, objects in enumerate(frames):
        count += 1
        if t >= video.length:
            continue
        if objects.masks is None or objects.ids is None or objects.labels is None or objects.scores is None:
            raise SubmissionError(f"video {video.id}, frame {t}: objects need masks, ids, labels and scores")
        rows = zip(objects.ids.tolist(), objects.labels.tolist(), objects.scores.tolist(), _encoded(objects))
        for number, label, score, mask in rows:
            track = tracks.setdefault(
                number,
                {"video_id": video.id, "category_id": category_ids[label], "segmentations": [None] * video.length},
            )
            track["score"], track["segmentations"][t] = score, mask
    if count != video.length:
        raise SubmissionError(f"video {video.id}: {count} frames given, it has {video.length}")
    counts: Counter[int] = Counter()
    best = []
    for track in sorted(tracks.values(), key=lambda track: -track["score"]):
        counts[track["category_id"]] += 1
        if counts[track["category_id"]] <= MOST:
            best.append(track)
    return best


def _encoded(objects: Instances) -> list[Any]:
    """RLE of each mask; neighbours that share one are encoded once."""
    out: list[Any] = []
    masks = objects.masks
    assert masks is not None
    for row in range(len(masks)):
        twin = row > 0 and torch.equal(masks[row], masks[row - 1])
        out.append(out[-1] if twin else encode_masks(masks[row : row + 1])[0])
    return out


def check_youtube_vis(
    entries: Any, videos: Sequence[VideoEntry], category_ids: Iterable[int], most: int = MOST
) -> list[str]:
    """What is wrong with results, one line per problem; nothing where the server will take them.

    Checked are: video and category ids, scores from 0 to 1, a segmentation or null for every frame, RLE of the
    video's size that fill it, at least one mask, and at most `most` tracks of a video and category.
    """
    if not isinstance(entries, list):
        return ["results must be a list of tracks"]
    known, categories = {video.id: video for video in videos}, set(category_ids)
    problems: list[str] = []
    counts: Counter[tuple[int, Any]] = Counter()
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            problems.append(f"entry {number}: expected a dictionary")
            continue
        video = known.get(entry.get("video_id"))  # type: ignore[arg-type]
        if video is None:
            problems.append(f"entry {number}: video_id {entry.get('video_id')!r} is not among the benchmark's videos")
            continue
        counts[video.id, entry.get("category_id")] += 1
        problems.extend(f"entry {number} (video {video.id}): {text}" for text in _problems(entry, video, categories))
    problems.extend(
        f"video {video}: {n} tracks of category {category}, at most {most} count"
        for (video, category), n in counts.items()
        if n > most
    )
    return problems


def _problems(entry: Mapping[str, Any], video: VideoEntry, categories: set[int]) -> list[str]:
    problems = []
    if entry.get("category_id") not in categories:
        problems.append(f"category_id {entry.get('category_id')!r} is not among the benchmark's")
    score = entry.get("score")
    if not isinstance(score, (int, float)) or not 0 <= score <= 1:
        problems.append(f"score {score!r} is not from 0 to 1")
    masks = entry.get("segmentations")
    if not isinstance(masks, list) or len(masks) != video.length:
        given = len(masks) if isinstance(masks, list) else "no list of"
        return [*problems, f"{given} segmentations, the video has {video.length} frames"]
    if not any(masks):
        problems.append("no frame has a mask")
    for t, mask in enumerate(masks):
        try:
            as_rle(mask, video.size, f"frame {t}")
        except ValueError as error:
            problems.append(str(error))
    return problems


def write_youtube_vis(
    path: str | Path, entries: list[dict[str, Any]], videos: Sequence[VideoEntry], category_ids: Iterable[int]
) -> Path:
    """Check the entries and pack them as `results.json` into the zip at `path`, if nothing is wrong.

    Raises:
        SubmissionError: lists the problems (the first twenty).
    """
    path = Path(path)
    problems = check_youtube_vis(entries, videos, category_ids)
    if problems:
        more = f"\n... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise SubmissionError(f"{path} is not written:\n" + "\n".join(problems[:20]) + more)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results.json", json.dumps(entries))
    return path
