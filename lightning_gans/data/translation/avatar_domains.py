"""Provide avatars without and with something, as two domains."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Unpack

from lightning_gans.avatars.identities import Part
from lightning_gans.avatars.parts import Avatar
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.avatars import FaceImages, FaceOptions, Faces, check_size, faces_of, hold_out_identities
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import select, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.avatar_pairs import AvatarPairOptions
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs

Domain = Literal["glasses", "sunglasses", "beard", "hat"]
WITHOUT: dict[Domain, dict[str, str]] = {
    "glasses": {"glasses": "none"},
    "sunglasses": {"glasses": "none"},
    "beard": {"beard": "none"},
    "hat": {"hat": "none", "hat_color": "none"},
}
WITH: dict[Domain, dict[str, str]] = {  # always the same, so that a translation has one right answer
    "glasses": {"glasses": "prescription_02"},
    "sunglasses": {"glasses": "sunglasses"},
    "beard": {"beard": "beard_medium"},
    "hat": {"hat": "winter_hat_3", "hat_color": "#FF5C5C"},
}


class AvatarDomains(ImageDataModule):
    """Provide two domains: faces without, and faces with, say, dark-rimmed glasses.

    Training has half of the identities in either domain, none in both. Test faces, of other identities, are there
    without and with it, so that a translation can be compared with what it should be.

    Args:
        domain: What faces of the second domain wear: ``glasses``, ``sunglasses``, ``beard`` or ``hat``.
        identities: Number of identities to train on, of both domains.
        **options: See ``FaceOptions``, ``ImageDataModule`` and ``PairTransform``; a pair has one pose.

    Raises:
        ValueError: A value out of range, or the extra ``avatars`` is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        domain: Domain = "glasses",
        identities: PositiveInt = 200,
        **options: Unpack[AvatarPairOptions],
    ) -> None:
        faces = faces_of(select(options, FaceOptions), identities, options.get("seed", 0))
        source = AvatarDomainsSource(faces, domain)
        super().__init__(source=source, transform=pair_transform(options), **shared_options(options))


class AvatarDomainsSource(ImageSource):
    """Give faces without and with something.

    Args:
        faces: All of them.
        domain: What those of the second domain wear.
    """

    aligned = False

    def __init__(self, faces: Faces, domain: Domain) -> None:
        self.faces, self.domain, self.split = faces, domain, f"{faces.description}, half of them with {domain}"

    def check(self, spec: ImageSpec) -> None:
        """Refuse sizes and channels that are not drawn."""
        check_size(spec)

    def load(self, spec: ImageSpec) -> Pairs:
        """Draw identities of even number as they are without it, the others with it."""
        return Pairs(self._side("train", spec, 0, 2), self._side("train", spec, 1, 2), aligned=False)

    def load_test(self, spec: ImageSpec) -> Pairs:
        """Draw the same faces without and with it."""
        return Pairs(self._side("test", spec, 0, 1), self._side("test", spec, 1, 1), aligned=True)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split each domain by identity."""
        assert isinstance(whole, Pairs)
        sides = [hold_out_identities(side, side, fraction, seed) for side in (whole.source, whole.target)]
        train, val = (Pairs(*side, aligned=False) for side in zip(*sides, strict=True))
        return train, val

    def _side(self, part: Part, spec: ImageSpec, side: int, step: int) -> FaceImages:
        """Draw the faces of a domain, 0 without or 1 with it, from every ``step``-th identity."""
        each = self.faces.population.expressions_per_identity
        avatars = [dress(one, (WITHOUT, WITH)[side][self.domain]) for one in self.faces.avatars(part)]
        numbers = [i for i in range(len(avatars)) if i // each % step == side % step]
        taken = spread(len(numbers), spec.max_images)
        taken = taken.new_tensor(numbers)[taken]
        channels = (spec.source_channels, spec.channels)[side]
        chosen = [avatars[i] for i in taken.tolist()]
        return self.faces.images("picture", chosen, taken, part, spec.size[0], channels)


def dress(avatar: Avatar, look: dict[str, str]) -> Avatar:
    """Change some attributes of an avatar; a beard shows beneath no hijab, which is taken off for it."""
    bare = {"hat": "none", "hat_color": "none"} if "beard" in look and avatar.hat == "hijab" else {}
    return avatar._replace(**bare, **look)
