"""Draw avatars by number: face i is a function of (seed, i), and no identity is in both parts of a set."""

from __future__ import annotations

import hashlib
import random
from typing import Literal, NamedTuple

from lightning_gans.avatars.parts import EXPRESSION, NAMED, Avatar, Expressions, Parts, kinds

Part = Literal["train", "test"]
SHARES = {"hat": 0.25, "glasses": 0.5, "beard": 0.3}  # of the identities that have one
LASTING = ("nose", "skin", "hair", "hair_color", "clothes", "clothes_color")  # what tells the parts of a set apart
ANGLE, SHIFT, ZOOM = 15.0, 12.0, 0.1  # the largest at strength 1: degrees, 240ths of the side, share of the size


class Pose(NamedTuple):
    """Place a face in its picture: turn it about its middle, enlarge it, then shift it.

    Attributes:
        angle: Degrees, clockwise.
        right: Shift in units of 1/240 of the picture's side.
        down: Likewise.
        scale: Factor of its size.
    """

    angle: float = 0.0
    right: float = 0.0
    down: float = 0.0
    scale: float = 1.0


UPRIGHT = Pose()


class Population(NamedTuple):
    """Draw the faces of a set.

    Attributes:
        seed: Of everything drawn.
        expressions_per_identity: Faces of each identity; face i is of identity ``i // expressions_per_identity``.
        parts: ``avataaars``: the original parts; ``all``: those that came later too.
        expressions: ``all`` combinations of brows, eyes and mouth, or the eight ``named``.
        pose: Strength of the poses, from 0 (all alike) to 1.
    """

    seed: int = 0
    expressions_per_identity: int = 16
    parts: Parts = "avataaars"
    expressions: Expressions = "all"
    pose: float = 0.0

    def avatar(self, index: int, part: Part = "train") -> Avatar:
        """Draw face ``index`` >= 0 of a part; the parts have no identity in common, whatever the seed."""
        return Avatar(*self._expression(index, part), *self.identity(index // self.expressions_per_identity, part))

    def identity(self, number: int, part: Part = "train") -> tuple[str, ...]:
        """Draw what an identity keeps from face to face: the attributes of an ``Avatar`` after its expression.

        Hats, glasses and beards are there by their share, all else is uniform over its kinds. None has a hijab and a
        beard.
        """
        rng = self._stream("identity", part, number)
        while True:
            made = {name: rng.choice(kinds(name, self.parts)) for name in Avatar._fields[len(EXPRESSION) :]}
            for name, share in SHARES.items():
                made[name] = rng.choice(kinds(name, self.parts)[1:]) if rng.random() < share else "none"
            made["hat_color"] = "none" if made["hat"] == "none" else rng.choice(kinds("hat_color")[1:])
            made["beard"] = "none" if made["hat"] == "hijab" else made["beard"]
            if is_test(made) is (part == "test"):
                return tuple(made.values())

    def place(self, index: int, part: Part = "train") -> Pose:
        """Draw the pose of face ``index``: uniform in ±15 degrees, ±5 % of the side and ±10 % in size at strength 1."""
        if not self.pose:
            return UPRIGHT
        rng = self._stream("pose", part, index)
        angle, right, down, zoom = (rng.uniform(-self.pose, self.pose) for _ in range(4))
        return Pose(ANGLE * angle, SHIFT * right, SHIFT * down, 1 + ZOOM * zoom)

    def _expression(self, index: int, part: Part) -> tuple[str, ...]:
        rng = self._stream("expression", part, index)
        if self.expressions == "named":
            return rng.choice(list(NAMED.values()))
        return tuple(rng.choice(kinds(name, self.parts)) for name in EXPRESSION)

    def _stream(self, *key: int | str) -> random.Random:
        """Return a generator that is a function of the seed and a key on every machine."""
        return random.Random(repr((self.seed, *key)))


def is_test(face: dict[str, str]) -> bool:
    """Return whether an identity belongs to the test part, a tenth of all, by what neither hats nor glasses change."""
    lasting = repr([face[name] for name in LASTING])
    return hashlib.blake2b(lasting.encode(), digest_size=2).digest()[0] < 26
