"""Write a command's ``--help`` from its YAML file: the keys with their defaults and comments, and its groups."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import version

import lightning_gans
from lightning_gans.config.schemas import CONF_DIR

_KEY = re.compile(r"( *)([\w/]+):(?: +([^#]*[^#\s]))?(?: +# (.*))?")
_GROUP = re.compile(r"  - (?:optional )?([\w/]+): (\S+)(?: # (.*))?")
_WIDTH = 118


def version_of() -> str:
    """Return the version of this package, and of those that its results depend on most."""
    others = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "hydra-core"))
    return f"lightning_gans {lightning_gans.__version__} ({others})"


def help_of(command: str, sentence: str) -> str:
    """Return the help text of a command.

    Args:
        command: Stem of its file in ``conf/``.
        sentence: First line, what the command does.
    """
    lines = (CONF_DIR / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    examples = [line.removeprefix("# ") for line in lines if line.startswith("# python")]
    groups = list(_groups(lines))
    keys = [row for row in _keys(lines) if row[0] not in [group for group, *_ in groups]]
    width = max(len(name) for name, *_ in keys + groups)
    shown = max(len(default) for _, default, _ in keys + groups)
    text = [sentence, "", *(f"  {example}" for example in examples), ""]
    for title, rows in ("key=value", keys), ("group=choice", groups):
        if rows:
            text += [f"{title}:", *(line for row in rows for line in _written(*row, width, shown)), ""]
    return "\n".join(
        [*text, "--cfg job shows the whole config with what is typed; --hydra-help lists further options."]
    )


def _keys(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield key, default and comment of every line of a file that sets an option."""
    section = ""
    for line in lines:
        found = _KEY.fullmatch(line)
        if found is None:
            continue
        indent, name, default, comment = found.groups("")
        section = section if indent else name
        if section not in ("defaults", "hydra") and default:
            yield f"{section}.{name}" if indent else name, default, comment


def _groups(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield group, default and choices of every group that a file takes, parts of a model included."""
    for found in filter(None, map(_GROUP.fullmatch, lines)):
        group, default, comment = found.groups("")
        folder = CONF_DIR / group
        yield group, default, comment or _choices(group)
        for part in sorted(path.name for path in folder.iterdir() if path.is_dir()):
            yield f"{group}/{part}", "", _choices(f"{group}/{part}")


def _choices(group: str) -> str:
    return ", ".join(sorted(path.stem for path in CONF_DIR.joinpath(group).glob("*.yaml")))


def _written(name: str, default: str, comment: str, width: int, shown: int) -> list[str]:
    """Format a row as ``key  default  # comment``, its comment wrapped under itself."""
    head = f"  {name:<{width}}  {default:<{shown}}"
    wrapped = textwrap.wrap(comment, _WIDTH - len(head) - 4) or [""]
    first = f"{head}  # {wrapped[0]}" if comment else head.rstrip()
    return [first, *(f"{'':<{len(head)}}  # {line}" for line in wrapped[1:])]
