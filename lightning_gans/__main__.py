"""List the commands, or run one: ``python -m lightning_gans [COMMAND key=value ...]``."""

from __future__ import annotations

import sys

from lightning_gans.config.command import run
from lightning_gans.config.commands import start


def main() -> None:
    """Run the command that the first argument names; without one, print the table of commands."""
    run(lambda: start(sys.argv[1:]))


if __name__ == "__main__":
    main()
