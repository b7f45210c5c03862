"""Track the objects of a video: `python demo/track.py [input.mp4] [--detector ...] [--tracker ...]`."""

import sys

from vidperc.cli import main

if __name__ == "__main__":
    sys.exit(main(["track", *sys.argv[1:]]))
