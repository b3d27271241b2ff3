"""Read checkpoints of older formats: the class paths that have moved since.

Format 2 is that of the package as it is divided today; ``integrity`` refuses what is newer than it knows.
"""

from __future__ import annotations

from typing import Any

from lightning_gans.checkpoints.integrity import FORMAT

_PACKAGE = "lightning_gans."
MOVED = {  # ``_target_`` of formats 0 and 1: today's, both without the package's name
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
    "data.colorization.Colorization": "data.translation.colorization.Colorization",
    "data.degradations.Degradation": "data.translation.degradations.Degradation",
    "data.degradations.Edges": "data.translation.degradations.CannyEdges",
    "data.degradations.Grey": "data.translation.degradations.ToGray",
    "data.degradations.Holes": "data.translation.degradations.RandomMask",
    "data.degradations.Smaller": "data.translation.degradations.Downscale",
    "data.digit_domains.DigitDomains": "data.translation.digit_domains.DigitDomains",
    "data.digit_edges.DigitEdges": "data.translation.digit_edges.DigitEdges",
    "data.edges.Edges": "data.translation.edges.Edges",
    "data.files.Facts": "data.image_files.ImageInfo",
    "data.files.ImageFiles": "data.image_files.ImageFiles",
    "data.files.Kept": "data.image_files.ImageCache",
    "data.folder.InZip": "data.file_sources.InZip",
    "data.folder.OnDisk": "data.file_sources.OnDisk",
    "data.inpainting.Inpainting": "data.translation.inpainting.Inpainting",
    "data.next_frame.NextFrame": "data.translation.next_frame.NextFrame",
    "data.next_frame.Windows": "data.translation.next_frame.Windows",
    "data.paired.Paired": "data.translation.paired.Paired",
    "data.photo_patches.Patches": "data.translation.photo_patches.Patches",
    "data.photo_patches.PhotoColors": "data.translation.photo_patches.PhotoColors",
    "data.photo_patches.PhotoPatches": "data.translation.photo_patches.PhotoPatches",
    "data.published.Known": "data.translation.published.ArchiveInfo",
    "data.published.Published": "data.translation.published.Published",
    "data.published.PublishedPaired": "data.translation.published.PublishedPaired",
    "data.published.PublishedUnpaired": "data.translation.published.PublishedUnpaired",
    "data.source.Problem": "data.source.FileError",
    "data.super_resolution.SuperResolution": "data.translation.super_resolution.SuperResolution",
    "data.toy2d.Mixture": "extractors.mixture.Mixture",
    "data.translation.Pairs": "data.translation.base.Pairs",
    "data.translation.Stacked": "data.translation.base.ChannelConcat",
    "data.translation.Targets": "data.translation.base.Targets",
    "data.translation.TranslationData": "data.translation.base.TranslationData",
    "data.translation_files.FromTargets": "data.translation.files.FromTargets",
    "data.translation_files.HalfFiles": "data.translation.files.HalfFiles",
    "data.translation_files.JoinedFiles": "data.translation.files.JoinedFiles",
    "data.translation_files.NumberFiles": "data.translation.files.NumberFiles",
    "data.translation_files.Place": "data.translation.files.ImageRoot",
    "data.translation_files.TranslationFiles": "data.translation.files.TranslationFiles",
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


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's content with today's class paths in its config."""
    if content.get(FORMAT, 0) < 2 and "config" in content:
        content = {**content, "config": rename_targets(content["config"])}
    return content


def rename_targets(node: Any) -> Any:
    """Return nested plain containers with every moved ``_target_`` path replaced by today's."""
    if isinstance(node, list | tuple):
        return type(node)(rename_targets(value) for value in node)
    if not isinstance(node, dict):
        return node
    renamed = {key: rename_targets(value) for key, value in node.items()}
    target = node.get("_target_")
    if isinstance(target, str) and target.startswith(_PACKAGE):
        renamed["_target_"] = _PACKAGE + MOVED.get(target[len(_PACKAGE) :], target[len(_PACKAGE) :])
    return renamed
