"""Run a model over a data set and score it: `python tools/test.py NAME --data-root DIR`, or `--task mot`."""

import sys

from vidperc.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
