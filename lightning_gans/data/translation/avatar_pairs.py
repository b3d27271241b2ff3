"""Provide line drawings of avatars' faces beside the avatars."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.avatars.identities import Part, Population
from lightning_gans.avatars.parts import Expressions, Parts
from lightning_gans.config.types import Fraction, PositiveInt, checked
from lightning_gans.data.avatars import Faces, check_size, hold_out_identities
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs


class AvatarPairs(ImageDataModule):
    """Provide pairs of the drawing of a face (outlines of brows, eyes, mouth, nose, face, hair or hat) and the face.

    The faces are those of ``Avatars``, and so are the identities of the test part, which training never sees.

    Args:
        identities: Number of identities to train on.
        expressions_per_identity: Faces of each.
        parts: ``avataaars``, the original artwork, or ``all``.
        expressions: ``all``, or the eight ``named`` ones.
        pose: Turn, shift and scale both sides of a pair alike, with a strength from 0 to 1.
        **options: See ``ImageDataModule`` and ``PairTransform``.

    Raises:
        ValueError: A value out of range, or the extra ``avatars`` is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        identities: PositiveInt = 100,
        expressions_per_identity: PositiveInt = 16,
        parts: Parts = "avataaars",
        expressions: Expressions = "all",
        pose: Fraction = 0.0,
        **options: Unpack[PairOptions],
    ) -> None:
        drawn = Population(options.get("seed", 0), expressions_per_identity, parts, expressions, pose)
        source = AvatarPairsSource(Faces(drawn, identities))
        super().__init__(source=source, transform=pair_transform(options), **shared_options(options))


class AvatarPairsSource(ImageSource):
    """Give faces and their drawings.

    Args:
        faces: All of them.
    """

    def __init__(self, faces: Faces) -> None:
        self.faces, self.split = faces, faces.description

    def check(self, spec: ImageSpec) -> None:
        """Refuse sizes and channels that are not drawn."""
        check_size(spec)

    def load(self, spec: ImageSpec) -> Pairs:
        """Draw the pairs of training."""
        return self._pairs("train", spec)

    def load_test(self, spec: ImageSpec) -> Pairs:
        """Draw the pairs of the test part."""
        return self._pairs("test", spec)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split by identity."""
        assert isinstance(whole, Pairs)
        return hold_out_identities(whole, whole.source, fraction, seed)

    def _pairs(self, part: Part, spec: ImageSpec) -> Pairs:
        avatars = self.faces.avatars(part)
        taken = spread(len(avatars), spec.max_images)
        chosen = [avatars[i] for i in taken.tolist()]
        lines = self.faces.images("drawing", chosen, taken, part, spec.size[0], spec.source_channels)
        return Pairs(lines, self.faces.images("picture", chosen, taken, part, spec.size[0], spec.channels))
