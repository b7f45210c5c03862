"""Make a run's best weights the checkpoint that ships: `python tools/ship.py out/train/tiny_det tiny_det`."""

from __future__ import annotations

import argparse
import sys

from vidperc.checkpoint.sources import SHIPPED
from vidperc.shipping import ship


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of the run")
    parser.add_argument("name", help="its config")
    parser.add_argument("--out", default=str(SHIPPED))
    options = parser.parse_args()
    try:
        path = ship(options.run, options.name, options.out)
    except (OSError, ValueError, KeyError) as error:
        print(f"ship: error: {error}", file=sys.stderr)
        return 1
    print(path.with_suffix(".json").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
