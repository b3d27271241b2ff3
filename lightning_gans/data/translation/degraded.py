"""Make pairs of any images: the targets, and what a degradation makes of them."""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_gans.config.types import FractionAboveZero, NonNegative, Positive, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.files import FileReader, chosen, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairFileOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.degradations import CannyEdges, Downscale, Factor, RandomMask, ToGray
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Targets
from lightning_gans.data.translation.roots import Roots


class TargetSource(ImageSource):
    """Give any images as targets; their sources are made of them on the device.

    Args:
        roots: The folder or zip.
        within: Sub-folder of the training images; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        reader: Reader of the files.
    """

    reader: FileReader

    def __init__(self, roots: Roots, within: str | None, test_within: str | None, reader: FileReader) -> None:
        self.roots, self.root, self.reader = roots, roots.root, reader
        self.within, self.test_within, self.split = within, test_within, within or self.split

    def check(self, spec: ImageSpec) -> None:
        """Refuse a place that is not there."""
        super().check(spec)
        self.roots.check()

    def load(self, spec: ImageSpec) -> Targets:
        """Return the training images."""
        return Targets(*self.reader.in_memory(*self.files(spec).values()))

    def load_test(self, spec: ImageSpec) -> Targets | None:
        """Return the test images, if there are any."""
        if self.test_within is None:
            return None
        return Targets(*self.reader.in_memory(self._files(spec, self.test_within, "test_within")))

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the training images, sorted by name."""
        return {"images": self._files(spec, self.within, "within")}

    def _files(self, spec: ImageSpec, folder: str | None, option: str) -> ImageFiles:
        root = self.roots()
        names = list(root.require(folder, option).values())
        names = [names[i] for i in chosen(names, spec.max_images)]
        return self.reader.files(root.source, names, spec, root=self.root)


class Colorization(ImageDataModule):
    """Make pairs of the brightness of images and the images in colour.

    Args:
        root: The folder or zip.
        within: Use only the images under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        **options: See ``ImageDataModule``, ``FileReader`` and ``PairTransform``; ``source_channels``
            is 1, or 3 for the same in each.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        within: str | None = None,
        test_within: str | None = None,
        **options: Unpack[PairFileOptions],
    ) -> None:
        source = TargetSource(Roots(root), within, test_within, reader_of(options))
        transform = pair_transform(options, ToGray(), resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))


class Edges(ImageDataModule):
    """Make pairs of the edges of images, black lines on white (Canny 1986), and the images.

    Args:
        root: The folder or zip.
        within: Use only the images under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        sigma: Standard deviation of the Gaussian that smooths images first, in pixels.
        low: Change of colour by which a line goes on, as a share of the whole range per pixel.
        high: Change by which a line begins.
        **options: See ``ImageDataModule``, ``FileReader`` and ``PairTransform``; ``source_channels``
            is 1, or 3 for the same in each.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        within: str | None = None,
        test_within: str | None = None,
        sigma: NonNegative = 1.0,
        low: Positive = 0.02,
        high: Positive = 0.06,
        **options: Unpack[PairFileOptions],
    ) -> None:
        source = TargetSource(Roots(root), within, test_within, reader_of(options))
        transform = pair_transform(options, CannyEdges(sigma, low, high), resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))


class Inpainting(ImageDataModule):
    """Make pairs of images with a rectangular hole, whose values are 0 (mid-grey), and the whole images.

    Position and size of the hole are drawn anew each time that an image is shown, by the seed.

    Args:
        root: The folder or zip.
        within: Use only the images under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        hole_min: Least height and width of a hole, as a share of the image's.
        hole_max: Largest height and width.
        **options: See ``ImageDataModule``, ``FileReader`` and ``PairTransform``; with one
            ``source_channels`` more than ``channels`` the last one of a source is the mask: -1 in the hole, 1 beside
            it.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        within: str | None = None,
        test_within: str | None = None,
        hole_min: FractionAboveZero = 0.25,
        hole_max: FractionAboveZero = 0.5,
        **options: Unpack[PairFileOptions],
    ) -> None:
        source = TargetSource(Roots(root), within, test_within, reader_of(options))
        transform = pair_transform(
            options,
            RandomMask(hole_min, hole_max, mask=options["source_channels"] > options["channels"]),
            resize=source.reader.resize,
        )
        super().__init__(source=source, transform=transform, **shared_options(options))


class SuperResolution(ImageDataModule):
    """Make pairs of images reduced by antialiased bicubic interpolation and the images.

    Args:
        root: The folder or zip.
        within: Use only the images under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test images; ``None``: there are none.
        factor: Side of a target divided by that of its source: 2, 4 or 8.
        **options: See ``ImageDataModule``, ``FileReader`` and ``PairTransform``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        within: str | None = None,
        test_within: str | None = None,
        factor: Factor = 4,
        **options: Unpack[PairFileOptions],
    ) -> None:
        source = TargetSource(Roots(root), within, test_within, reader_of(options))
        transform = pair_transform(options, Downscale(factor), resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))
