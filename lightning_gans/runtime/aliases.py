"""Answer to class paths of earlier versions: in checkpoints, in configs and in Python. Imports no torch."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "lightning_gans."
MOVED = {  # path of the first layout, as in checkpoints of formats 0 and 1: today's, both without the package's name
    "augmentations.AdaptiveAugment": "augment.adaptive.AdaptiveAugment",
    "augmentations.Augmentation": "augment.base.Augmentation",
    "augmentations.DiffAugment": "augment.diffaugment.DiffAugment",
    "augmentations.Draws": "augment.base.Draws",
    "augmentations.InstanceNoise": "augment.instance_noise.InstanceNoise",
    "callbacks.epochs.Epochs": "callbacks.epoch_budget.EpochBudget",
    "callbacks.resumed.Rewind": "callbacks.resume.Rewind",
    "callbacks.resumed.TypedOptions": "callbacks.resume.OptimizerOverrides",
    "data.base.EndlessBatches": "data.batches.EndlessBatches",
    "data.base.ImageData": "data.base.ImageDataModule",
    "data.base.ImageSet": "data.datasets.ImageDataset",
    "data.base.Part": "data.datasets.Subset",
    "data.base.Request": "data.datasets.BatchIndices",
    "data.base.Smaller": "data.datasets.Downscaled",
    "data.base.TensorImages": "data.datasets.InMemoryImages",
    "data.colorization.Colorization": "data.translation.degraded.Colorization",
    "data.degradations.Degradation": "data.translation.degradations.Degradation",
    "data.degradations.Edges": "data.translation.degradations.CannyEdges",
    "data.degradations.Grey": "data.translation.degradations.ToGray",
    "data.degradations.Holes": "data.translation.degradations.RandomMask",
    "data.degradations.Smaller": "data.translation.degradations.Downscale",
    "data.digit_domains.DigitDomains": "data.translation.digit_domains.DigitDomains",
    "data.digit_edges.DigitEdges": "data.translation.digit_edges.DigitEdges",
    "data.edges.Edges": "data.translation.degraded.Edges",
    "data.files.Facts": "data.image_files.ImageInfo",
    "data.files.ImageFiles": "data.image_files.ImageFiles",
    "data.files.Kept": "data.image_files.ImageCache",
    "data.folder.InZip": "data.file_sources.InZip",
    "data.folder.OnDisk": "data.file_sources.OnDisk",
    "data.inpainting.Inpainting": "data.translation.degraded.Inpainting",
    "data.next_frame.NextFrame": "data.translation.next_frame.NextFrame",
    "data.next_frame.Windows": "data.translation.next_frame.Windows",
    "data.paired.Paired": "data.translation.paired.Paired",
    "data.photo_patches.PhotoColors": "data.translation.photo_patches.PhotoColors",
    "data.photo_patches.PhotoPatches": "data.translation.photo_patches.PhotoPatches",
    "data.published.Known": "data.translation.published.ArchiveInfo",
    "data.published.PublishedPaired": "data.translation.published.PublishedPaired",
    "data.published.PublishedUnpaired": "data.translation.published.PublishedUnpaired",
    "data.source.Problem": "data.source.FileError",
    "data.super_resolution.SuperResolution": "data.translation.degraded.SuperResolution",
    "data.toy2d.Mixture": "extractors.mixture.Mixture",
    "data.translation.Pairs": "data.translation.pairs.Pairs",
    "data.translation.Stacked": "data.translation.pairs.ChannelConcat",
    "data.translation.Targets": "data.translation.pairs.Targets",
    "data.translation_files.HalfFiles": "data.translation.files.HalfFiles",
    "data.translation_files.JoinedFiles": "data.translation.files.JoinedFiles",
    "data.translation_files.NumberFiles": "data.translation.files.NumberFiles",
    "data.translation_files.Place": "data.translation.roots.ImageRoot",
    "data.unpaired.Unpaired": "data.translation.unpaired.Unpaired",
    "growth.Growth": "callbacks.resolution_schedule.ResolutionSchedule",
    "growth.Phase": "schedules.training_schedule.Phase",
    "loggers.CSV": "loggers.csv.CSV",
    "loggers.TensorBoard": "loggers.tensorboard.TensorBoard",
    "loggers.WandB": "loggers.wandb.WandB",
    "losses.Hinge": "losses.objectives.Hinge",
    "losses.LeastSquares": "losses.objectives.LeastSquares",
    "losses.NonSaturating": "losses.objectives.NonSaturating",
    "losses.Objective": "losses.objectives.Objective",
    "losses.Relativistic": "losses.objectives.Relativistic",
    "losses.Saturating": "losses.objectives.Saturating",
    "losses.Wasserstein": "losses.objectives.Wasserstein",
    "metrics.extractors.Classifier": "extractors.classifier.ClassifierExtractor",
    "metrics.extractors.Digits": "extractors.digits.DigitsExtractor",
    "metrics.extractors.Extractor": "extractors.base.Extractor",
    "metrics.extractors.Features": "extractors.base.Features",
    "metrics.extractors.Inception": "extractors.inception.Inception",
    "metrics.extractors.Stacked": "extractors.stacked.Stacked",
    "metrics.points.Points": "extractors.points.Points",
    "models.cyclegan.Directions": "models.cyclegan.GeneratorPair",
    "networks.pix2pix_hd.Patches": "networks.pix2pix_hd.PatchDiscriminator",
    "penalties.Dragan": "losses.penalties.Dragan",
    "penalties.GradientPenalty": "losses.penalties.GradientPenalty",
    "penalties.Penalty": "losses.penalties.Penalty",
    "penalties.R1": "losses.penalties.R1",
    "penalties.R1R2": "losses.penalties.R1R2",
    "penalties.R2": "losses.penalties.R2",
    "perceptual.Perceptual": "losses.perceptual.Perceptual",
    "perceptual.VGG19": "losses.perceptual.VGG19",
    "schedules.Constant": "schedules.learning_rate.Constant",
    "schedules.CosineDecay": "schedules.learning_rate.CosineDecay",
    "schedules.CosineValue": "schedules.values.CosineValue",
    "schedules.EpochDecay": "schedules.learning_rate.EpochDecay",
    "schedules.ExponentialDecay": "schedules.learning_rate.ExponentialDecay",
    "schedules.LinearDecay": "schedules.learning_rate.LinearDecay",
    "schedules.RepeatedLinearDecay": "schedules.learning_rate.RepeatedLinearDecay",
    "schedules.Schedule": "schedules.learning_rate.Schedule",
    "sweep.Summary": "training.sweep.Summary",
}
_OLD_MODULES = {".".join(path.split(".")[:n]) for path in MOVED for n in range(1, path.count(".") + 1)}


def moved_from(module: str) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module that classes have left: the class at its new place, with a warning.

    Args:
        module: Full name of the module.
    """

    def find(name: str) -> Any:
        old = f"{module}.{name}".removeprefix(_PACKAGE)
        if old not in MOVED:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        owner, _, new = MOVED[old].rpartition(".")
        text = f"{_PACKAGE}{old} has moved to {_PACKAGE}{MOVED[old]}; the old name goes with the next version"
        warnings.warn(text, FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(_PACKAGE + owner), new)

    return find


class OldModules(MetaPathFinder, Loader):
    """Import modules of the first layout that are no more: empty but for the classes that have moved."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a module that once was; ``None`` for any other."""
        is_old = fullname.startswith(_PACKAGE) and fullname.removeprefix(_PACKAGE) in _OLD_MODULES
        return ModuleSpec(fullname, self) if is_old else None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its moved classes."""
        module.__getattr__ = moved_from(module.__name__)  # type: ignore[method-assign]


def install() -> None:
    """Let Python find modules of the first layout, after all others."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())
