"""List the commands and run one by its name: ``lightning-gans train ...``. Imports no torch."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_gans.config.help import version_of
from lightning_gans.config.schemas import CONF_DIR

_PACKAGE = Path(__file__).resolve().parent.parent
_SHELL = ("-sc", "--shell-completion")


def commands() -> dict[str, tuple[str, str]]:
    """Return what each command does and an example of it, by name: the first line of its file's docstring."""
    found = {}
    for path in sorted(_PACKAGE.glob("*.py")):
        if not (CONF_DIR / f"{path.stem}.yaml").is_file():
            continue
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        sentence, _, example = first.partition(": ``")
        found[path.stem] = sentence, example.rstrip("`.")
    return found


def overview() -> str:
    """Return the table of commands with one example each."""
    rows = [(name.replace("_", "-"), said, example) for name, (said, example) in commands().items()]
    width = max(len(name) for name, *_ in rows)
    lines = [f"  {name:<{width}}  {said}\n  {'':<{width}}    {_short(example)}" for name, said, example in rows]
    return "\n".join(
        [
            "lightning-gans COMMAND [key=value ...], or python -m lightning_gans.COMMAND",
            "",
            *lines,
            "",
            "COMMAND --help lists a command's options, --version tells the version. Tab completion in bash:",
            '  eval "$(lightning-gans -sc install=bash)"   (zsh and fish: install=zsh, install=fish)',
        ]
    )


def _short(example: str) -> str:
    """Return an example of ``python -m lightning_gans.COMMAND`` as one of the console script."""
    _, _, name, *options = example.split(" ")
    return " ".join(["lightning-gans", name.rpartition(".")[2].replace("_", "-"), *options])


def start(arguments: Sequence[str]) -> None:
    """Run the command that the first argument names; print the table where there is none.

    The command's file is run as ``python -m`` does, so that further processes of a training start the same way.

    Args:
        arguments: Without the program's name.

    Raises:
        ValueError: There is no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
    elif arguments[0] == "--version":
        print(version_of())
    elif arguments[0] in _SHELL:
        complete(arguments)
    else:
        name = arguments[0].replace("-", "_")
        if name not in commands():
            raise unknown_command(arguments[0])
        sys.argv[1:] = arguments[1:]
        runpy.run_module(f"lightning_gans.{name}", run_name="__main__", alter_sys=True)


def unknown_command(name: str) -> ValueError:
    """Make the error of a command that does not exist: the nearest that does, and all that do."""
    known = [command.replace("_", "-") for command in commands()]
    near = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else f" Did you mean 'train {name}'?" if "=" in name else ""
    return ValueError(f"{name}: unknown command.{hint} Allowed: {', '.join(known)}")


def complete(arguments: Sequence[str]) -> None:
    """Install tab completion in a shell, or answer it: names of commands first, then the options of the one typed.

    Args:
        arguments: ``-sc install=SHELL`` or ``-sc query=SHELL``; the line that is completed is in ``COMP_LINE``.
    """
    name, line = "train", os.environ.get("COMP_LINE", "")
    if any(argument.startswith("query=") for argument in arguments):
        _, typed, rest = re.fullmatch(r"\s*(\S+)\s*(\S*)(.*)", line or " lightning-gans", re.DOTALL).groups()  # type: ignore[union-attr]
        if not rest:
            print(" ".join(one for one in (c.replace("_", "-") for c in commands()) if one.startswith(typed)))
            return
        name, os.environ["COMP_LINE"] = typed.replace("-", "_"), f"lightning-gans{rest}"
        if name not in commands():
            return
    sys.argv[1:] = arguments
    importlib.import_module(f"lightning_gans.{name}").main()
