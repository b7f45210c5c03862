"""YouTube-VIS and OVIS files: truth (`instances.json`) and results (`results.json`, also zipped)."""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..structures.masks import RLE, as_rle
from .vis import MaskTrack, VISEvaluator, VISScores

Json = str | Path | dict[str, Any] | list[Any]


def evaluate_youtube_vis(truth: Json, results: Json) -> VISScores:
    """Scores of results against truth, both as files or as their content.

    Raises:
        FileNotFoundError: a file. ValueError: not of the form, or a mask or track that does not fit its video; the
            message names the entry.
    """
    content = read_json(truth)
    if not isinstance(content, dict) or not {"videos", "annotations", "categories"} <= content.keys():
        raise ValueError(f"{_name(truth)}: expected a dictionary with 'videos', 'annotations' and 'categories'")
    entries = read_json(results)
    if not isinstance(entries, list):
        raise ValueError(f"{_name(results)}: expected a list of tracks")
    videos = {video["id"]: video for video in content["videos"]}
    labels = {category["id"]: n for n, category in enumerate(sorted(content["categories"], key=lambda c: c["id"]))}
    wanted = _by_video(content["annotations"], videos, labels, f"{_name(truth)}, annotation")
    found = _by_video(entries, videos, labels, f"{_name(results)}, entry")
    names = [category["name"] for category in sorted(content["categories"], key=lambda c: c["id"])]
    evaluator = VISEvaluator(names)
    for number in sorted(videos):
        evaluator.add(f"video {number}", found[number], wanted[number])
    return evaluator.scores()


def read_json(source: Json) -> Any:
    """The content of a JSON file, of the only JSON in a zip, or what is given as it is.

    Raises:
        FileNotFoundError: no such file. ValueError: not JSON, or a zip without just one JSON file.
    """
    if not isinstance(source, (str, Path)):
        return source
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if not zipfile.is_zipfile(path):
            return json.loads(path.read_text(encoding="utf-8"))
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".json")]
            if len(names) != 1:
                raise ValueError(f"{path}: expected one JSON file in the zip, found {len(names)}")
            return json.loads(archive.read(names[0]))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _by_video(entries: list[Any], videos: dict[Any, Any], labels: dict[Any, int], name: str) -> dict[Any, list]:
    tracks: dict[Any, list[MaskTrack]] = defaultdict(list)
    for number, entry in enumerate(entries):
        where = f"{name} {entry.get('id', number)}"
        video = videos.get(entry.get("video_id"))
        if video is None:
            raise ValueError(f"{where}: video_id {entry.get('video_id')!r} is not among the videos")
        if entry.get("category_id") not in labels:
            raise ValueError(f"{where}: category_id {entry.get('category_id')!r} is not among the categories")
        tracks[entry["video_id"]].append(_track(entry, video, labels[entry["category_id"]], where))
    return tracks


def _track(entry: dict[str, Any], video: dict[str, Any], label: int, where: str) -> MaskTrack:
    length = video.get("length", len(video.get("file_names", ())))
    segments = entry.get("segmentations")
    if not isinstance(segments, list) or len(segments) != length:
        given = len(segments) if isinstance(segments, list) else "no list of"
        raise ValueError(f"{where}: {given} segmentations, the video has {length} frames")
    size = (video["height"], video["width"])
    masks: list[RLE | None] = [as_rle(item, size, f"{where}, frame {t}") for t, item in enumerate(segments)]
    areas = [area for area in entry.get("areas") or () if area]
    return MaskTrack(
        label, masks, float(entry.get("score", 1.0)), bool(entry.get("iscrowd", 0)),
        float(np.mean(areas)) if areas else None,
    )  # fmt: skip


def _name(source: Json) -> str:
    return str(source) if isinstance(source, (str, Path)) else "the given content"
