"""Image sets as Lightning data modules: endless, seeded, resumable batches.

The stream of training images is a function of the seed alone: position k holds image ``permutation(k // n)[k % n]``.
A step takes the next ``plan(step).images`` positions, process r of W those at r, r + W, ... A training therefore
resumes by naming the position, and results do not depend on the number of processes or workers.
"""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightning_gans.data.resize import average
from lightning_gans.metrics.extractors import Extractor
from lightning_gans.seeding import mix

Batch = dict[str, Tensor]

REQUESTED = ("mirror", "corners", "draws")  # what a batch carries to the device beside its images

MOST_WORKERS = 256  # loading processes of one training process; thousands would end the machine


class Request(NamedTuple):
    """Which images a batch holds, and what is done to each: a function of the seed and the position in the stream.

    Attributes:
        indices: (N,) int64, which images.
        mirror: (N,) bool, which of them are mirrored.
        corners: (N, 2) float in [0, 1), where a smaller piece is cut out: 0 is the top or left end.
        partners: (N,) int64, which images of a second set stand beside them; ``None`` without one.
        resolution: Side of the images; ``None``: as the set has them.
        draws: (N, 4) float in [0, 1), for whatever else is random in a set; ``None``: nothing is.
    """

    indices: Tensor
    mirror: Tensor
    corners: Tensor
    partners: Tensor | None = None
    resolution: int | None = None
    draws: Tensor | None = None


class ImageSet(Dataset[Batch], ABC):
    """Images as uint8 (C, H, W) of one size, fetched by batch."""

    classes: list[str] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def fetch(self, index: Tensor) -> Batch:
        """``image`` (N, C, H, W) uint8 and, where there are labels, ``label`` (N,) int64."""

    def fingerprint(self) -> str:
        """32 hex digits that another content of the set would change; reads it unless a set knows better."""
        digest = hashlib.blake2b(repr(len(self)).encode(), digest_size=16)
        for start in range(0, len(self), 256):
            batch = self.fetch(torch.arange(start, min(start + 256, len(self))))
            digest.update(batch["image"].numpy().tobytes())
        return digest.hexdigest()

    def at(self, resolution: int | None) -> ImageSet:
        """This set with smaller images, each value the mean of a square of pixels of the whole image.

        Args:
            resolution: Their side, which divides the side of the set's own; ``None``: as they are.

        Raises:
            ValueError: The set has none of this side.
        """
        return self if resolution is None else Smaller(self, resolution)

    def serve(self, request: Request) -> Batch:
        """The images of a request."""
        return self.at(request.resolution).fetch(request.indices)

    def __getitem__(self, request: Request) -> Batch:
        """The images of a request, with what the device does to them."""
        draws = {} if request.draws is None else {"draws": request.draws}
        return {**self.serve(request), "mirror": request.mirror, "corners": request.corners, **draws}


class Smaller(ImageSet):
    """A set with smaller images, averaged from whole ones whenever they are fetched.

    Args:
        whole: The set.
        resolution: Side of the images handed out.
    """

    def __init__(self, whole: ImageSet, resolution: int) -> None:
        self.whole, self.resolution, self.classes = whole, resolution, whole.classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.whole)

    def fetch(self, index: Tensor) -> Batch:
        """As the whole set fetches them, reduced.

        Raises:
            ValueError: Their side is no multiple of ``resolution``.
        """
        batch = self.whole.fetch(index)
        factor = _times(self.whole, tuple(batch["image"].shape[1:]), self.resolution)
        return batch if factor == 1 else {**batch, "image": average(batch["image"], factor)}


class TensorImages(ImageSet):
    """A set that lies in memory.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or ``None``.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        self.images, self.labels = images, labels
        self._smaller: dict[int, TensorImages] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def fetch(self, index: Tensor) -> Batch:
        """One indexing operation per batch."""
        batch = {"image": self.images.index_select(0, index)}  # copies whole images, unlike images[index]
        if self.labels is not None:
            batch["label"] = self.labels[index]
        return batch

    def at(self, resolution: int | None) -> ImageSet:
        """This set with smaller images, made at the first call and kept: a third more memory for all together."""
        factor = 1 if resolution is None else _times(self, tuple(self.images.shape[1:]), resolution)
        if resolution is None or factor == 1:
            return self
        if resolution not in self._smaller:
            self._smaller[resolution] = TensorImages(average(self.images, factor), self.labels)
            self._smaller[resolution].classes = self.classes
        return self._smaller[resolution]


class Part(ImageSet):
    """Some images of a set, in the order of ``indices``.

    Args:
        whole: The set.
        indices: (N,) int64, which of its images.
    """

    def __init__(self, whole: ImageSet, indices: Tensor) -> None:
        self.whole, self.indices, self.classes = whole, indices, whole.classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.indices)

    def fingerprint(self) -> str:
        """Of the whole set and of which images are taken."""
        digest = hashlib.blake2b(self.whole.fingerprint().encode(), digest_size=16)
        digest.update(self.indices.numpy().tobytes())
        return digest.hexdigest()

    def fetch(self, index: Tensor) -> Batch:
        """As the whole set fetches them."""
        return self.whole.fetch(self.indices[index])

    def at(self, resolution: int | None) -> ImageSet:
        """The same images of the whole set at this side."""
        return Part(self.whole.at(resolution), self.indices)


def _times(images: ImageSet, shape: tuple[int, ...], resolution: int) -> int:
    """How many times larger images of a shape (C, H, W) are than ``resolution``.

    Raises:
        ValueError: They are no squares, or of a side that is no multiple of it.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % resolution:
        raise ValueError(f"{type(images).__name__}: has images {shape}, none of side {resolution}")
    return shape[1] // resolution


class EndlessBatches(Sampler[Request]):
    """Requests for the steps of a training, from any position on.

    Args:
        n: Images in the set.
        plan: What step number s takes: its ``images``, over all processes, and their ``resolution``.
        start: Returns the step and the position to start from; asked anew by every iterator.
        n_partners: Images in a second set, which is drawn independently; ``None`` without one.
        flip: Mirror half of the images.
        seed: Seed of the permutations, flips and cuts.
        rank: This process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        n: int,
        plan: Callable[[int], Any],
        *,
        start: Callable[[], tuple[int, int]],
        n_partners: int | None = None,
        flip: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.n, self.plan, self.start, self.n_partners = n, plan, start, n_partners
        self.flip, self.seed = flip, seed
        self.rank, self.world_size = rank, world_size
        self._permutations: dict[str, tuple[int, Tensor]] = {}

    def __iter__(self) -> Iterator[Request]:
        """One request per training step, without end."""
        step, position = self.start()
        while True:
            plan = self.plan(step)
            size, mine = plan.images, slice(self.rank, None, self.world_size)
            rng = torch.Generator().manual_seed(mix("flip", self.seed, position))
            mirror = torch.rand(size, generator=rng) < (0.5 if self.flip else 0.0)
            corners, draws = torch.rand(size, 2, generator=rng), torch.rand(size, 4, generator=rng)
            partners = self._images("partners", self.n_partners, position, size)[mine] if self.n_partners else None
            index = self._images("order", self.n, position, size)
            yield Request(index[mine], mirror[mine], corners[mine], partners, plan.resolution, draws[mine])
            step, position = step + 1, position + size

    def _images(self, stream: str, n: int, position: int, size: int) -> Tensor:
        pieces = []
        while size:
            epoch, offset = divmod(position, n)
            piece = self._permutation(stream, n, epoch)[offset : offset + size]
            pieces.append(piece)
            position, size = position + len(piece), size - len(piece)
        return torch.cat(pieces)

    def _permutation(self, stream: str, n: int, epoch: int) -> Tensor:
        if stream not in self._permutations or self._permutations[stream][0] != epoch:
            rng = torch.Generator().manual_seed(mix(stream, self.seed, epoch))
            self._permutations[stream] = epoch, torch.randperm(n, generator=rng)
        return self._permutations[stream][1]


class ImageData(LightningDataModule, ABC):
    """An image set by configuration. A set overrides ``load``.

    Batches reach the module as ``image`` (N, C, H, W) float in [-1, 1] and, where there are labels, ``label`` (N,).
    Sets of points have no ``image_size``; their ``image`` is (N, channels) float.

    Args:
        image_size: Height and width of the images handed out; ``None`` for points.
        channels: 1 grey, 3 RGB, ...; of points the number of coordinates.
        num_classes: Number of classes, or ``None`` for a set without labels.
        flip: Mirror half of the images.
        num_workers: Loading processes; 0 is the fastest for sets held in memory.
        limit: Use so many images, of every class its share and always the same ones (see ``spread``); ``None``: all.
        val_fraction: Share of these images, drawn by ``seed``, that training never sees and scores may compare with.
        seed: Seed of the order, of the flips and of the held-out images.
        extractor: Makes the feature extractor that scores use unless another is asked for.
    """

    part = "train"  # of the published set
    points: ClassVar[bool] = False  # no images, but points of so many coordinates as there are channels

    def __init__(
        self,
        *,
        image_size: int | None,
        channels: int,
        num_classes: int | None = None,
        flip: bool = False,
        num_workers: int = 0,
        limit: int | None = None,
        val_fraction: float = 0.0,
        seed: int = 0,
        extractor: Callable[[], Extractor] | None = None,
    ) -> None:
        super().__init__()
        for key, value in {"image_size": image_size, "channels": channels}.items():
            if value is not None and value < 1:
                raise ValueError(f"data.{key}={value}: must be >= 1")
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"data.num_classes={num_classes}: must be >= 1, or null")
        if (image_size is None) is not self.points:
            given, allowed = ("null", ">= 1") if image_size is None else (image_size, "null, since points have none")
            raise ValueError(f"data.image_size={given}: must be {allowed}")
        if not 0 <= num_workers <= MOST_WORKERS:
            raise ValueError(f"data.num_workers={num_workers}: must be from 0 to {MOST_WORKERS}")
        if limit is not None and limit < 1:
            raise ValueError(f"data.limit={limit}: must be >= 1, or null")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"data.val_fraction={val_fraction}: must be from 0 to below 1")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.flip, self.num_workers, self.limit = flip, num_workers, limit
        self.val_fraction, self.seed, self.extractor = val_fraction, seed, extractor
        self._parts: tuple[ImageSet, ImageSet | None] | None = None

    @property
    def kind(self) -> str:
        """What a family must accept to train on this set."""
        return "points" if self.points else "labelled" if self.num_classes else "image"

    @property
    def side(self) -> int:
        """Height and width of an image."""
        assert self.image_size is not None
        return self.image_size

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or of one point."""
        return (self.channels,) if self.points else (self.channels, self.side, self.side)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample by the batch's keys."""
        return {"image": self.shape}

    @property
    def split(self) -> str:
        """What ``train_images`` are, in words for score cards."""
        limit = "" if self.limit is None else f", limited to {self.limit}"
        drawn = f", {self.val_fraction:g} held out by seed {self.seed}" if self.val_fraction else ""
        return f"{self.part}{limit}{drawn}"

    @property
    def train_images(self) -> ImageSet:
        """The training images, loaded at first use."""
        return self._loaded()[0]

    @property
    def held_out_images(self) -> ImageSet:
        """The images that training never sees, ``val_fraction`` of all.

        Raises:
            ValueError: None were held out.
        """
        held_out = self._loaded()[1]
        if held_out is None:
            raise ValueError(f"data.val_fraction={self.val_fraction:g}: no images are held out; train with one above 0")
        return held_out

    def held_out(self) -> ImageData:
        """This set with the held-out images in the place of the training images, for scores to compare with."""
        other = copy.copy(self)
        other._parts, other.part = (self.held_out_images, None), f"held-out part of {self.part}"
        return other

    def _loaded(self) -> tuple[ImageSet, ImageSet | None]:
        if self._parts is None:
            whole = self.load()
            self._parts = self.divide(whole) if self.val_fraction else (whole, None)
        return self._parts

    def divide(self, whole: ImageSet) -> tuple[ImageSet, ImageSet]:
        """A set without the share that is held out, and that share.

        Raises:
            ValueError: One of the two would be empty.
        """
        n = round(len(whole) * self.val_fraction)
        if not 0 < n < len(whole):
            raise ValueError(f"data.val_fraction={self.val_fraction:g}: holds out {n} of {len(whole)} images")
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(mix("held out", self.seed)))
        return Part(whole, order[n:].sort().values), Part(whole, order[:n].sort().values)

    @abstractmethod
    def load(self) -> ImageSet:
        """Read the images, held-out ones included; heeds ``limit``."""

    @property
    def n_partners(self) -> int | None:
        """Images of a second set that is drawn independently beside this one."""
        return None

    @property
    def images_per_epoch(self) -> int:
        """Images of a pass: of the larger set, where there are two."""
        return max(len(self.train_images), self.n_partners or 0)

    def setup(self, stage: str) -> None:
        """Load the images before training starts."""
        if len(self.train_images) == 0:
            raise ValueError(f"{type(self).__name__}: no images")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Endless batches that start where the module's counters stand."""
        module: Any = self.trainer.lightning_module  # type: ignore[union-attr]
        if self.num_workers:
            for resolution in module.resolutions:
                self.train_images.at(resolution)  # here, so that workers share what is kept of it
        batches = EndlessBatches(
            len(self.train_images),
            module.plan,
            start=lambda: (module.iteration, module.images_seen),
            n_partners=self.n_partners,
            flip=self.flip,
            seed=self.seed,
            rank=self.trainer.global_rank,  # type: ignore[union-attr]
            world_size=self.trainer.world_size,  # type: ignore[union-attr]
        )
        return DataLoader(
            self.train_images,
            batch_size=None,
            sampler=batches,
            collate_fn=_as_it_is,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """uint8 to float in [-1, 1] and mirroring, on the device; points are as they should be."""
        image = batch["image"]
        if self.flip:
            image = torch.where(batch["mirror"][:, None, None, None], image.flip(-1), image)
        if image.dtype == torch.uint8:
            image = image.float().div_(127.5).sub_(1)
        return {**{key: value for key, value in batch.items() if key not in REQUESTED}, "image": image}

    def real_images(self, indices: range, batch_size: int) -> Iterator[Tensor]:
        """The training images number ``indices`` in their order on disk, by batch.

        Yields:
            (N, C, H, W) uint8, or points (N, channels) float.
        """
        for start in range(0, len(indices), batch_size):
            yield self.train_images.fetch(torch.tensor(indices[start : start + batch_size]))["image"]


def _as_it_is(batch: Batch) -> Batch:
    """Batches are whole already."""
    return batch
