"""Make identifiers anew: none of a table's own is kept."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterable

_LONGEST = 64  # characters of a pattern
_SETS = {"9": string.digits, "A": string.ascii_uppercase, "a": string.ascii_lowercase}


def pattern(texts: Iterable[str]) -> str:
    """Return the commonest pattern of the first thousand texts: 9 for a digit, A and a for letters; "" for integers."""
    some = [text[:_LONGEST] for text in itertools.islice(texts, 1000)]
    if all(text.lstrip("-").isdigit() for text in some):
        return ""
    counts = Counter("".join(map(_kind, text)) for text in some)
    return max(sorted(counts), key=lambda one: counts[one])


def make(form: str, index: int) -> str:
    """Return identifier number ``index`` of a pattern; different numbers give different texts."""
    if not form:
        return str(index + 1)
    made, rest = [], index
    for kind in reversed(form):
        letters = _SETS.get(kind, kind)
        rest, place = divmod(rest, len(letters))
        made.append(letters[place])
    return "".join(reversed(made)) + (f"-{rest}" if rest else "")


def _kind(letter: str) -> str:
    if letter.isdigit():
        return "9"
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return letter if letter in " -_./:@#" else "-"
