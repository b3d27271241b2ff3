"""Draw a target frame and K others of the same video, each beside its landmark drawing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.batches import StepPlan
from lightning_gans.data.datasets import REQUESTED, Batch, BatchIndices, ImageDataset
from lightning_gans.data.image_source import ImageSource, val_count
from lightning_gans.data.options import DataOptions, SourceOptions, shared_options
from lightning_gans.data.transforms import Transform, scaled
from lightning_gans.images.size import height_width
from lightning_gans.runtime.seeding import derive_seed

DIGITS = 2**24  # steps of a float32 in [0, 1)


class HeadOptions(DataOptions, SourceOptions, total=False):
    """Declare the options of every set of talking heads, beside those of its files.

    ``frames`` (8): K, the frames of a person that an embedding is made of; the target is never among them.
    ``num_videos``: rows that a discriminator has for the training videos; follows from the set.
    """

    frames: PositiveInt
    num_videos: PositiveInt | None


class HeadFrames(ImageDataset):
    """Number the frames of videos; frame i is a target, beside K others of its video that are a function of i.

    Args:
        frames: The frames, ``image`` (N, C, H, W) uint8.
        drawings: Frame by frame, their landmark drawings.
        video: (M,) int64, of every frame the number of its video.
        k: Frames beside the target.

    Raises:
        ConfigError: A video of fewer than K + 1 frames.
    """

    aligned = True

    def __init__(self, frames: ImageDataset, drawings: ImageDataset, video: Tensor, k: int) -> None:
        self.frames, self.drawings, self.video, self.k = frames, drawings, video, k
        numbers, self.place, counts = torch.unique(video, return_inverse=True, return_counts=True)
        self.videos = numbers
        order = torch.argsort(video, stable=True)
        self.members: Sequence[Tensor] = torch.split(order, counts.tolist())  # frames by video
        if len(counts) and int(counts.min()) <= k:
            rule = f"a video has {int(counts.min())} frames; one is the target, so that it can be "
            raise ConfigError("data.frames", k, f"{rule}{int(counts.min()) - 1} at most")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.video)

    def fetch(self, index: Tensor) -> Batch:
        """Return frames number ``index`` as targets; see ``batch``."""
        shots = []
        for i in index.tolist():
            members = self.members[int(self.place[i])]
            others = members[members != i]
            rng = torch.Generator().manual_seed(derive_seed("shots", i))
            shots.append(others[torch.randperm(len(others), generator=rng)[: self.k]])
        return self.batch(index, torch.stack(shots) if shots else index.new_zeros(0, self.k))

    def batch(self, targets: Tensor, shots: Tensor) -> Batch:
        """Return frames and drawings by number.

        Args:
            targets: (N,) int64.
            shots: (N, K) int64, of the same videos.

        Returns:
            ``source``, the target's drawing, and ``target`` (N, C, H, W); ``drawings`` and ``frames`` (N, K, C, H, W),
            all uint8; ``video`` (N,) int64.
        """
        whole = torch.cat([targets[:, None], shots], 1)
        wanted, place = torch.unique(whole, return_inverse=True)  # each frame is decoded once
        sides = [some.fetch(wanted)["image"][place] for some in (self.frames, self.drawings)]  # (N, 1 + K, C, H, W)
        (target, frames), (source, drawings) = ((side[:, 0].contiguous(), side[:, 1:].contiguous()) for side in sides)
        return {
            "source": source,
            "target": target,
            "frames": frames,
            "drawings": drawings,
            "video": self.video[targets],
        }

    def entries(self, key: str) -> Tensor | None:
        """Return the numbers of the videos (M,) as ``video``, and what the frames have."""
        return self.video if key == "video" else self.frames.entries(key)

    def fingerprint(self) -> str:
        """Hash the frames, which scores compare with."""
        return hashlib.blake2b(f"heads {self.frames.fingerprint()}".encode(), digest_size=16).hexdigest()

    def take(self, videos: Tensor) -> HeadFrames:
        """Return the frames of some videos alone, which keep their numbers."""
        chosen = torch.isin(self.video, videos).nonzero()[:, 0]
        return HeadFrames(_Taken(self.frames, chosen), _Taken(self.drawings, chosen), self.video[chosen], self.k)


class HeadVideos(ImageDataset):
    """Number videos: each request draws K + 1 frames of a video by the request's random numbers, the target first.

    Args:
        heads: Frames by video.
    """

    def __init__(self, heads: HeadFrames) -> None:
        self.heads = heads

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.heads.members)

    def fetch(self, index: Tensor) -> Batch:
        """Return the first frame of each video as the target."""
        return self.heads.fetch(torch.stack([self.heads.members[i][0] for i in index.tolist()]))

    def get_batch(self, request: BatchIndices) -> Batch:
        """Return K + 1 frames of each video of a request, a function of its random numbers."""
        assert request.random_params is not None
        drawn = []
        for i, u in zip(request.indices.tolist(), request.random_params[:, :2].tolist(), strict=True):
            members = self.heads.members[i]
            rng = torch.Generator().manual_seed(int(u[0] * DIGITS) * DIGITS + int(u[1] * DIGITS))
            drawn.append(members[torch.randperm(len(members), generator=rng)[: self.heads.k + 1]])
        chosen = torch.stack(drawn)  # (N, K + 1)
        return self.heads.batch(chosen[:, 0], chosen[:, 1:])


class _Taken(ImageDataset):
    """Take some images of a set."""

    def __init__(self, whole: ImageDataset, indices: Tensor) -> None:
        self.whole, self.indices = whole, indices

    def __len__(self) -> int:
        return len(self.indices)

    def fetch(self, index: Tensor) -> Batch:
        return self.whole.fetch(self.indices[index])

    def entries(self, key: str) -> Tensor | None:
        values = self.whole.entries(key)
        return None if values is None else values[self.indices]


class HeadTransform(Transform):
    """Scale frames and drawings to [-1, 1]; nothing is mirrored, since a mirrored person is another one.

    Args:
        options: ``image_size``, ``channels`` of frames, ``source_channels`` of drawings, ``frames`` K.

    Raises:
        ConfigError: Without a size, or asked to mirror.
    """

    def __init__(self, options: HeadOptions) -> None:
        size = options["image_size"]
        if size is None:
            raise ConfigError("data.image_size", None, "must be >= 1")
        if options.get("flip"):
            raise ConfigError("data.flip", True, "must be false; a mirrored person is another one")
        self.storage_size, self.source_channels = height_width(size), options["source_channels"]
        drawing, frame = (options["source_channels"], *self.storage_size), (options["channels"], *self.storage_size)
        k = options.get("frames", 8)
        self.shapes = {"source": drawing, "target": frame, "frames": (k, *frame), "drawings": (k, *drawing)}

    def __call__(self, batch: Batch) -> Batch:
        """Return a training batch: floats in [-1, 1], and ``video`` (N,) as it is."""
        return {key: scaled(value) for key, value in batch.items() if key not in REQUESTED}

    def whole(self, batch: Batch, random_params: Tensor) -> Batch:
        """Return the same of a batch for evaluation."""
        return {key: scaled(value) for key, value in batch.items()}


class HeadsDataModule(ImageDataModule):
    """Provide talking heads: a step draws videos, and of each a target and K other frames with their drawings.

    Batches have ``source`` (N, source_channels, H, W), the drawing of the target, ``target`` (N, channels, H, W),
    ``frames`` and ``drawings`` (N, K, C, H, W) of the same video, and ``video`` (N,) int64. In training each pass takes
    every video once, and its frames are a function of the seed and the position. In examples every frame is a target
    once, and its K frames are a function of its number.

    Args:
        source: Gives ``HeadFrames``.
        options: See ``HeadOptions`` and ``ImageDataModule``; ``limit`` and ``val_fraction`` take whole videos.
    """

    def __init__(self, source: HeadSource, options: HeadOptions) -> None:
        super().__init__(source=source, transform=HeadTransform(options), **shared_options(options))

    @property
    def kind(self) -> str:
        """Return ``heads``."""
        return "heads"

    def rows_for(self, module: StepPlan) -> ImageDataset:
        """Return the training videos."""
        heads = self.train_images
        assert isinstance(heads, HeadFrames)
        return HeadVideos(heads)


class HeadSource(ImageSource):
    """Give the frames of videos, and hold out whole videos."""

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split by video: none that is held out has a frame in training."""
        assert isinstance(whole, HeadFrames)
        count = val_count(len(whole.videos), fraction)
        rng = torch.Generator().manual_seed(derive_seed("held out", seed))
        order = whole.videos[torch.randperm(len(whole.videos), generator=rng)]
        return whole.take(order[count:]), whole.take(order[:count])
