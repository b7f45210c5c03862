"""Turn a data set into another's layout, or write synthetic videos to disk.

python tools/convert_dataset.py synthetic motchallenge --out DIR split=test count=4 length=100 flavour=mot
python tools/convert_dataset.py bdd100k coco --out DIR annotations=labels.json images=FOLDER

python tools/convert_dataset.py synthetic imagenet_vid --out DIR split=test count=4 flavour=vid out.split=val

The settings are the arguments of the source's reader (`vidperc.data.formats`), `out.NAME=value` those of the writer.
"""

from __future__ import annotations

import argparse
import sys
import time

from vidperc.cli import setting
from vidperc.data.formats import FORMATS, SOURCES, read_dataset, write_dataset


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", choices=sorted(SOURCES))
    parser.add_argument("target", choices=sorted(FORMATS))
    parser.add_argument("settings", nargs="*", type=setting, metavar="key=value")
    parser.add_argument("--out", required=True)
    options = parser.parse_intermixed_args()
    began = time.perf_counter()
    try:
        settings = dict(options.settings)
        writing = {name: settings.pop(name) for name in list(settings) if name.startswith("out.")}
        records = read_dataset(options.source, **settings)
        names = {name.removeprefix("out."): value for name, value in writing.items()}
        path = write_dataset(options.target, records, options.out, **names)
    except (OSError, ValueError, TypeError) as error:
        print(f"convert_dataset: error: {error}", file=sys.stderr)
        return 1
    frames = sum(len(record.frames) if record.frames is not None else record.length or 0 for record in records)
    print(f"{len(records)} videos, {frames} frames in {time.perf_counter() - began:.1f} s: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
