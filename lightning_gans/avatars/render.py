"""Draw avatars: pictures of them, and line drawings of the parts of their faces.

Both are vector graphics that are placed by the same affine map before they become pixels, so a drawing fits its picture
exactly at every size.
"""

from __future__ import annotations

import importlib.util
import io
from typing import Any, Literal

import numpy as np
from PIL import Image

from lightning_gans.avatars.identities import UPRIGHT, Pose
from lightning_gans.avatars.parts import Avatar

Kind = Literal["picture", "drawing"]
GROUND = "#B9E3F7"  # pale blue, behind every face
VIEW = (12, 4, 240, 240)  # left, top, width and height of what is shown, in units of the artwork (264x280)
MIDDLE = (132, 116)  # of a face, about which it turns
_HEADER = 'width="264px" height="280px" viewBox="0 0 264 280"'
_BODY = '<g id="transparent_Avataaar/Default"'
_STEP = 32  # grey levels between the fills of neighbouring parts, below the faintest (a nose: 41), above shadows (26)


def is_installed() -> bool:
    """Return whether the packages of the extra ``avatars`` are there."""
    return all(importlib.util.find_spec(name) for name in ("python_avatars", "resvg_py"))


def picture(avatar: Avatar, size: int, pose: Pose = UPRIGHT) -> np.ndarray:
    """Draw an avatar: (size, size, 3) uint8, RGB."""
    return _pixels(_svg(avatar, pose), size, GROUND)


def drawing(avatar: Avatar, size: int, pose: Pose = UPRIGHT) -> np.ndarray:
    """Draw the outlines of brows, eyes, mouth, nose, face and hair (or hat): (size, size) uint8, white on black.

    Clothes, glasses, beards and colours are left out. Lines are where the fills of two parts meet, about a pixel wide;
    found at twice the size and averaged.
    """
    flat = avatar._replace(
        skin="#FFFFFF", hair_color="#808080", hat_color="#808080", glasses="none", beard="none", clothes="none"
    )
    fills = _pixels(_svg(flat, pose), 2 * size, "#000000").astype(np.int16)
    steps = np.zeros((2 * size, 2 * size), bool)
    for axis in (0, 1):
        parts = np.moveaxis(fills, axis, 0)
        edge = np.abs(parts[2:] - parts[:-2]).max(-1) > _STEP  # of pixels two apart: smoothing blurs a step over one
        np.moveaxis(steps, axis, 0)[1:-1] |= edge
    lines: np.ndarray = (steps.reshape(size, 2, size, 2).mean((1, 3)) * 255).round().astype(np.uint8)
    return lines


def draw(kind: Kind, avatar: Avatar, size: int, pose: Pose = UPRIGHT) -> np.ndarray:
    """Draw a picture (3, size, size) or a drawing (1, size, size), uint8."""
    made = picture(avatar, size, pose) if kind == "picture" else drawing(avatar, size, pose)[..., None]
    pixels: np.ndarray = np.moveaxis(made, -1, 0)
    return pixels


def _svg(avatar: Avatar, pose: Pose) -> str:
    """Compose the artwork of an avatar, placed."""
    import python_avatars as art

    hatted = avatar.hat != "none"
    top: Any = art.HatType(avatar.hat) if hatted else art.HairType(avatar.hair)
    made = art.Avatar(
        style=art.AvatarStyle.TRANSPARENT,
        top=top,
        hat_color=avatar.hat_color,
        eyebrows=art.EyebrowType(avatar.brows),
        eyes=art.EyeType(avatar.eyes),
        nose=art.NoseType(avatar.nose),
        mouth=art.MouthType(avatar.mouth),
        facial_hair=art.FacialHairType(_named(avatar.beard)),
        skin_color=avatar.skin,
        hair_color=avatar.hair_color,
        facial_hair_color=avatar.hair_color,
        accessory=art.AccessoryType(_named(avatar.glasses)),
        clothing=art.ClothingType(_named(avatar.clothes)),
        clothing_color=avatar.clothes_color,
    ).render()
    x, y = MIDDLE
    moves = f"translate({pose.right} {pose.down}) translate({x} {y}) rotate({pose.angle}) scale({pose.scale})"
    view = f'width="{VIEW[2]}" height="{VIEW[3]}" viewBox="{" ".join(map(str, VIEW))}"'
    placed = f'<g transform="{moves} translate({-x} {-y})">{_BODY}'
    before, after = made.replace(_HEADER, view, 1).split(_BODY, 1)
    return f"{before}{placed}{after.removesuffix('</svg>')}</g></svg>"


def _named(part: str) -> str:
    return "" if part == "none" else part


def _pixels(svg: str, size: int, ground: str) -> np.ndarray:
    """Rasterise to (size, size, 3) uint8."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background=ground, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))
