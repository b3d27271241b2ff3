"""Provide avatars as talking heads: an identity is a video, whose expressions are its frames, with exact drawings."""

from __future__ import annotations

import torch
from typing_extensions import Unpack

from lightning_gans.avatars.identities import Part
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.avatars import FaceOptions, Faces, check_size, faces_of
from lightning_gans.data.options import select
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.heads import HeadFrames, HeadOptions, HeadsDataModule, HeadSource

BARE = {"hair": "no_hair", "hat": "none", "hat_color": "none"}  # what drawings leave out beside glasses and beards


class AvatarHeadOptions(HeadOptions, FaceOptions, total=False):
    """Declare the options of avatars as talking heads; see ``HeadOptions`` and ``FaceOptions``."""


class AvatarHeads(HeadsDataModule):
    """Provide faces of identities with their exact drawings: outlines of brows, eyes, mouth, nose and a bald head.

    A drawing holds the expression and the pose, and nothing of the identity but its nose, so that anybody's drawing can
    drive anybody. Of frames that are alike one is kept. The test part has a fifth as many identities, none of which is
    in training.

    Args:
        identities: Number of identities to train on, each a video.
        **options: See ``AvatarHeadOptions``; ``expressions_per_identity`` must be larger than ``frames``.

    Raises:
        ValueError: A value out of range, or the extra ``avatars`` is not installed.
    """

    @checked
    def __init__(self, *, identities: PositiveInt = 200, **options: Unpack[AvatarHeadOptions]) -> None:
        faces = faces_of(select(options, FaceOptions), identities, options.get("seed", 0))
        rows, k = options.get("num_videos"), options.get("frames", 8)
        if rows is not None and rows < identities:
            raise ConfigError("data.num_videos", rows, f"must be data.identities={identities}, or null")
        if faces.population.expressions_per_identity <= k:
            each = faces.population.expressions_per_identity
            rule = f"must be below data.expressions_per_identity={each}, since the target is not among them"
            raise ConfigError("data.frames", k, rule)
        super().__init__(AvatarHeadsSource(faces, k), options)


class AvatarHeadsSource(HeadSource):
    """Give faces and their drawings by identity.

    Args:
        faces: All of them.
        k: Frames beside a target.
    """

    def __init__(self, faces: Faces, k: int) -> None:
        self.faces, self.k, self.split = faces, k, faces.description

    def check(self, spec: ImageSpec) -> None:
        """Refuse sizes and channels that are not drawn."""
        check_size(spec)

    def load(self, spec: ImageSpec) -> HeadFrames:
        """Draw the identities of training."""
        return self._heads("train", spec)

    def load_test(self, spec: ImageSpec) -> HeadFrames:
        """Draw the identities of the test part."""
        return self._heads("test", spec)

    def _heads(self, part: Part, spec: ImageSpec) -> HeadFrames:
        avatars, each = self.faces.avatars(part), self.faces.population.expressions_per_identity
        if spec.max_images is not None:  # whole identities, one at least
            avatars = avatars[: max(1, spec.max_images // each) * each]
        seen = {(i // each, avatar, self.faces.population.place(i, part)): i for i, avatar in enumerate(avatars)}
        numbers = torch.tensor(sorted(seen.values()))  # two frames alike would put the target among the K
        avatars = [avatars[i] for i in numbers.tolist()]
        bare = [avatar._replace(**BARE) for avatar in avatars]
        frames = self.faces.images("picture", avatars, numbers, part, spec.size[0], spec.channels)
        drawings = self.faces.images("drawing", bare, numbers, part, spec.size[0], spec.source_channels)
        return HeadFrames(frames, drawings, frames.identities, self.k)
