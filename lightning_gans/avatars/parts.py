"""Name the parts of an avatar, in the package's words and in plain English, and number them as labels.

Of every attribute the parts of the original Avataaars come first, so that a label means the same with and without those
that its artist added later for blush.design (``EXTRA``), whose terms are others.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Parts = Literal["avataaars", "all"]
Expressions = Literal["all", "named"]
Label = Literal[
    "expression",
    "brows",
    "eyes",
    "mouth",
    "nose",
    "skin",
    "hair",
    "hair_color",
    "hat",
    "hat_color",
    "glasses",
    "beard",
    "clothes",
    "clothes_color",
]

_CLOTHES_COLORS = {
    "#262E33": "black",
    "#65C9FF": "sky blue",
    "#5199E4": "blue",
    "#25557C": "navy",
    "#E6E6E6": "light grey",
    "#929598": "grey",
    "#3C4F5C": "slate",
    "#B1E2FF": "pale blue",
    "#A7FFC4": "mint",
    "#FFDEB5": "peach",
    "#FFFFB1": "pale yellow",
    "#FF488E": "pink",
    "#FF5C5C": "red",
    "#FFFFFF": "white",
}

ORIGINAL: dict[str, dict[str, str]] = {
    "brows": {
        "default": "curved",
        "default_natural": "soft",
        "angry": "lowered",
        "angry_natural": "soft lowered",
        "flat_natural": "flat",
        "frown_natural": "frowning",
        "raised_excited": "raised",
        "raised_excited_natural": "soft raised",
        "sad_concerned": "worried",
        "sad_concerned_natural": "soft worried",
        "unibrow_natural": "joined",
        "up_down": "uneven",
        "up_down_natural": "soft uneven",
    },
    "eyes": {
        "default": "open",
        "closed": "closed",
        "cry": "crying",
        "eye_roll": "rolling",
        "happy": "happy",
        "heart": "heart-shaped",
        "side": "sideways",
        "squint": "narrowed",
        "surprised": "wide",
        "wink": "winking",
        "wink_wacky": "wildly winking",
        "x_dizzy": "dizzy",
    },
    "mouth": {
        "default": "slightly smiling",
        "concerned": "worried",
        "disbelief": "doubting",
        "eating": "chewing",
        "grimace": "gritted",
        "sad": "sad",
        "scream_open": "screaming",
        "serious": "serious",
        "smile": "laughing",
        "tongue": "tongue-showing",
        "twinkle": "smirking",
        "vomit": "sick",
    },
    "nose": {"default": "plain"},
    "skin": {
        "#FD9841": "tanned",
        "#F8D25C": "yellow",
        "#FFDBB4": "pale",
        "#EDB98A": "light",
        "#D08B5B": "brown",
        "#AE5D29": "dark brown",
        "#614335": "black",
    },
    "hair": {
        "no_hair": "no",
        "big_hair": "big",
        "bob": "bobbed",
        "bun": "tied-up",
        "caesar": "cropped",
        "caesar_side_part": "cropped side-parted",
        "curly": "curly",
        "curvy": "wavy long",
        "dreads": "long dreadlocked",
        "frida": "flower-decked",
        "frizzle": "frizzy",
        "fro": "afro",
        "fro_band": "banded afro",
        "long_not_too_long": "shoulder-long",
        "mia_wallace": "fringed bobbed",
        "shaggy": "shaggy",
        "shaggy_mullet": "mullet",
        "short_curly": "short curly",
        "short_dreads_1": "short dreadlocked",
        "short_dreads_2": "wild dreadlocked",
        "short_flat": "short flat",
        "short_round": "short round",
        "short_waved": "short wavy",
        "sides": "balding",
        "straight_1": "straight long",
        "straight_strand": "straight fringed",
    },
    "hair_color": {
        "#A55728": "auburn",
        "#2C1B18": "black",
        "#B58143": "blond",
        "#D6B370": "golden blond",
        "#724133": "brown",
        "#4A312C": "dark brown",
        "#F59797": "pink",
        "#ECDCBF": "platinum",
        "#C93305": "red",
        "#E8E1E1": "silver",
    },
    "hat": {
        "none": "no hat",
        "hat": "brimmed hat",
        "hijab": "hijab",
        "turban": "turban",
        "winter_hat_1": "ear-flapped cap",
        "winter_hat_2": "patterned cap",
        "winter_hat_3": "knitted cap",
        "winter_hat_4": "cat-eared cap",
    },
    "hat_color": {"none": "no hat", **_CLOTHES_COLORS},
    "glasses": {
        "none": "no glasses",
        "kurt": "oval white-rimmed sunglasses",
        "prescription_01": "light-rimmed glasses",
        "prescription_02": "dark-rimmed glasses",
        "round": "round glasses",
        "sunglasses": "sunglasses",
        "wayfarers": "square sunglasses",
    },
    "beard": {
        "none": "no beard",
        "beard_light": "short beard",
        "beard_magestic": "long beard",
        "beard_medium": "full beard",
        "moustache_fancy": "curled moustache",
        "moustache_magnum": "thick moustache",
    },
    "clothes": {
        "blazer_shirt": "blazer over a shirt",
        "blazer_sweater": "blazer over a sweater",
        "collar_sweater": "sweater with a collar",
        "hoodie": "hoodie",
        "overall": "overall",
        "shirt_crew_neck": "crew-necked shirt",
        "shirt_scoop_neck": "scoop-necked shirt",
        "shirt_v_neck": "v-necked shirt",
    },
    "clothes_color": _CLOTHES_COLORS,
}

EXTRA: dict[str, dict[str, str]] = {
    "mouth": {"big_smile": "broadly smiling"},
    "nose": {"small": "small", "wide": "wide"},
    "hair": {
        "braids": "braided",
        "buzzcut": "buzz-cut",
        "cornrows": "cornrowed",
        "curly_2": "curled",
        "dreadlocks": "dreadlocked",
        "elvis": "quiffed",
        "half_shaved": "half-shaved",
        "mohawk": "crested",
        "pixie": "pixie-cut",
        "pompadour": "swept-back",
    },
    "hat": {"chef_cap": "chef's hat"},
    "beard": {"wick_beard": "unkempt beard"},
    "clothes": {"bond_suit": "dinner suit", "chef": "chef's jacket"},
}

ATTRIBUTES = tuple(ORIGINAL)
EXPRESSION = ("brows", "eyes", "mouth")  # the attributes that an expression is made of

NAMED = {  # expressions with a name, (brows, eyes, mouth)
    "neutral": ("default", "default", "serious"),
    "happy": ("raised_excited", "happy", "smile"),
    "sad": ("sad_concerned", "default", "sad"),
    "angry": ("angry", "squint", "grimace"),
    "surprised": ("raised_excited", "surprised", "disbelief"),
    "crying": ("sad_concerned", "cry", "scream_open"),
    "in love": ("default", "heart", "twinkle"),
    "dizzy": ("up_down", "x_dizzy", "vomit"),
}


class Avatar(NamedTuple):
    """Hold the parts of one face, each by its name in ``ORIGINAL`` or ``EXTRA``."""

    brows: str
    eyes: str
    mouth: str
    nose: str
    skin: str
    hair: str
    hair_color: str
    hat: str
    hat_color: str
    glasses: str
    beard: str
    clothes: str
    clothes_color: str


def kinds(attribute: str, parts: Parts = "avataaars") -> list[str]:
    """Return the names of an attribute's parts in the order of their labels."""
    return [*ORIGINAL[attribute], *(EXTRA.get(attribute, {}) if parts == "all" else {})]


def words(attribute: str, part: str) -> str:
    """Return a part in plain English."""
    return ORIGINAL[attribute].get(part) or EXTRA[attribute][part]


def class_names(label: Label, parts: Parts = "avataaars", expressions: Expressions = "all") -> list[str]:
    """Return the names of the classes of a label, by number."""
    if label != "expression":
        return [words(label, part) for part in kinds(label, parts)]
    if expressions == "named":
        return list(NAMED)
    brows, eyes, mouths = ([words(one, part) for part in kinds(one, parts)] for one in EXPRESSION)
    return [f"{brow} brows, {eye} eyes, {mouth} mouth" for brow in brows for eye in eyes for mouth in mouths]


def class_count(label: Label | None, parts: Parts = "avataaars", expressions: Expressions = "all") -> int | None:
    """Return the number of classes of a label; ``None`` without one."""
    if label is None:
        return None
    if label == "expression":
        whole = math.prod(len(kinds(one, parts)) for one in EXPRESSION)
        return len(NAMED) if expressions == "named" else whole
    return len(kinds(label, parts))


def class_number(avatar: Avatar, label: Label, parts: Parts = "avataaars", expressions: Expressions = "all") -> int:
    """Return the class of an avatar.

    Raises:
        ValueError: It has a part, or an expression, that is not among the classes.
    """
    if label != "expression":
        return kinds(label, parts).index(getattr(avatar, label))
    if expressions == "named":
        return list(NAMED.values()).index(avatar[:3])
    number = 0
    for one in EXPRESSION:
        number = number * len(kinds(one, parts)) + kinds(one, parts).index(getattr(avatar, one))
    return number
