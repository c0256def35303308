"""Whole runs of the lectures' loop: python -m tests.benchmarks.lecture MODEL LATENT... --epochs N

Prints the seconds of every epoch of every size as JSON. The time of the whole process is what a
person who runs the lecture's notebook waits for.
"""

import argparse
import itertools
import json

from aecli.cli.compose import compose
from tests.benchmarks.contestants import lecture

IMAGES = 55_000  # as many as aecli trains on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("latent", nargs="+")
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    seconds: list[float] = []
    for latent in options.latent:
        config = compose([f"model={options.model}", f"latent={latent}", "device=cpu"])
        seconds += itertools.islice(lecture(config, IMAGES), options.epochs)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
