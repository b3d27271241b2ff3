"""Say in English what an avatar looks like.

The grammar, with words of ``parts``; the seed chooses between alternatives in (parentheses), and what an avatar does
not have is left out, but for "no hair"::

    caption    (description expression dress | dress description expression | expression description dress)
    description "{skin} skin" (hat | hair) glasses beard
    hair       "{hair} {hair_color} hair" | "no hair"
    hat        "a {hat_color} {hat}"
    expression "{brows} brows" "{eyes} eyes" "a {mouth} mouth" "a {nose} nose"
    dress      "a {clothes_color} {clothes}"

They are joined to one sentence: "A (face | person | cartoon character) with ..., ... and ...". The nose is named where
it is not the plain one.
"""

from __future__ import annotations

import random

from lightning_gans.avatars.parts import Avatar, words

NOUNS = ("face", "person", "cartoon character")


def caption(avatar: Avatar, seed: int = 0) -> str:
    """Describe an avatar in one English sentence: every attribute that can be seen, and nothing else.

    Args:
        avatar: What is described.
        seed: Chooses among the wordings; the same seed gives the same one for equal avatars.
    """
    rng = random.Random(repr((seed, *avatar)))
    said = {name: words(name, part) for name, part in avatar._asdict().items()}
    groups = [_looks(avatar, said), _expression(avatar, said), [_article(f"{said['clothes_color']} {said['clothes']}")]]
    order = rng.choice([(0, 1, 2), (2, 0, 1), (1, 0, 2)])
    phrases = [phrase for number in order for phrase in groups[number]]
    return f"A {rng.choice(NOUNS)} with {', '.join(phrases[:-1])} and {phrases[-1]}."


def is_said(avatar: Avatar) -> tuple[bool, ...]:
    """Return which attributes a caption tells, by name or by leaving out what is not there: not hair under a hat."""
    hidden = {"hair", "hair_color"} if avatar.hat != "none" else {"hair_color"} if avatar.hair == "no_hair" else set()
    return tuple(name not in hidden for name in avatar._fields)


def _looks(avatar: Avatar, said: dict[str, str]) -> list[str]:
    hair = f"{said['hair']} {said['hair_color']} hair" if avatar.hair != "no_hair" else "no hair"
    top = hair if avatar.hat == "none" else _article(f"{said['hat_color']} {said['hat']}")
    found = [f"{said['skin']} skin", top]
    found += [said["glasses"]] if avatar.glasses != "none" else []
    return found + ([_article(said["beard"])] if avatar.beard != "none" else [])


def _expression(avatar: Avatar, said: dict[str, str]) -> list[str]:
    nose = [_article(f"{said['nose']} nose")] if avatar.nose != "default" else []
    return [f"{said['brows']} brows", f"{said['eyes']} eyes", _article(f"{said['mouth']} mouth"), *nose]


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
