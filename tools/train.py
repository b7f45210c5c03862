"""Train a model: `python tools/train.py NAME [key=value ...]`, or `--task det` for the task's tiny model."""

import sys

from vidperc.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
