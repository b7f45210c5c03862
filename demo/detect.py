"""Detect the objects of a video: `python demo/detect.py [input.mp4] [--model selsa_...]`."""

import sys

from vidperc.cli import main

if __name__ == "__main__":
    sys.exit(main(["detect", *sys.argv[1:]]))
