"""Provide line drawings of avatars' faces beside the avatars."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.avatars.identities import Part
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.avatars import FaceOptions, Faces, check_size, faces_of, hold_out_identities
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairOptions, select, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs


class AvatarPairOptions(PairOptions, FaceOptions, total=False):
    """Declare the options of pairs of avatars; see ``FaceOptions`` and ``PairOptions``."""


class AvatarPairs(ImageDataModule):
    """Provide pairs of the drawing of a face (outlines of brows, eyes, mouth, nose, face, hair or hat) and the face.

    The faces are those of ``Avatars``, and so are the identities of the test part, which training never sees.

    Args:
        identities: Number of identities to train on.
        **options: See ``FaceOptions``, ``ImageDataModule`` and ``PairTransform``; a pair has one pose.

    Raises:
        ValueError: A value out of range, or the extra ``avatars`` is not installed.
    """

    @checked
    def __init__(
        self,
        *,
        identities: PositiveInt = 100,
        **options: Unpack[AvatarPairOptions],
    ) -> None:
        faces = faces_of(select(options, FaceOptions), identities, options.get("seed", 0))
        source = AvatarPairsSource(faces)
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
