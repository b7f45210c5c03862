"""A published checkpoint in vidperc's own form: `python tools/convert_checkpoint.py NAME IN OUT`."""

import argparse
import sys

import fiddle as fdl

from vidperc.checkpoint import load_checkpoint, save_checkpoint
from vidperc.checkpoint.sources import local_file
from vidperc.models import get_config
from vidperc.zoo import published_checkpoint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the config whose model the checkpoint is of")
    parser.add_argument("source", help='a file, a URL, or "published"')
    parser.add_argument("out", help="file to write")
    options = parser.parse_args()
    try:
        config = get_config(options.name)
        source = published_checkpoint(options.name) if options.source == "published" else options.source
        model = fdl.build(config.model)
        print(load_checkpoint(model, local_file(source), config.published_keys))
        path = save_checkpoint(model, options.out, config=options.name, classes=config.classes)
    except (OSError, ValueError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"convert_checkpoint: error: {text}", file=sys.stderr)
        return 1
    print(f"written {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
