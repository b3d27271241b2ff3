"""Scores of generators and of image sets."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.metrics.accuracy import ClassifierAccuracy
    from lightning_gans.metrics.attribute_accuracy import AttributeAccuracy
    from lightning_gans.metrics.base import GenerativeMetric
    from lightning_gans.metrics.class_accuracy import ClassAccuracy
    from lightning_gans.metrics.class_frechet import ClassFrechet
    from lightning_gans.metrics.class_ms_ssim import ClassSimilarity
    from lightning_gans.metrics.clipped import ClippedCoverage, ClippedDensity
    from lightning_gans.metrics.frechet import FrechetDistance
    from lightning_gans.metrics.gan_train_test import GANTrainTest
    from lightning_gans.metrics.inception_score import InceptionScore
    from lightning_gans.metrics.interval import DistanceSpread
    from lightning_gans.metrics.kernel import KernelDistance
    from lightning_gans.metrics.lpips import LPIPS
    from lightning_gans.metrics.mind import MongeDistance
    from lightning_gans.metrics.mixture import MixtureModes
    from lightning_gans.metrics.modes import ModeCoverage
    from lightning_gans.metrics.ms_ssim import PairedSimilarity
    from lightning_gans.metrics.paired import L1, PSNR, SSIM
    from lightning_gans.metrics.path_length import PathLength
    from lightning_gans.metrics.prdc import PRDC
    from lightning_gans.metrics.r_precision import RPrecision
    from lightning_gans.metrics.swd import SlicedWasserstein
    from lightning_gans.metrics.table import ClosestRecord, ColumnShapes, Detection, PairTrends, TrainTest
    from lightning_gans.metrics.wasserstein import WassersteinDistance
    from lightning_gans.metrics.y_channel import LumaPSNR, LumaSSIM
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "AttributeAccuracy",
    "ClassifierAccuracy",
    "ClassAccuracy",
    "ClassFrechet",
    "ClassSimilarity",
    "ClosestRecord",
    "ColumnShapes",
    "Detection",
    "GANTrainTest",
    "ClippedCoverage",
    "ClippedDensity",
    "DistanceSpread",
    "FrechetDistance",
    "GenerativeMetric",
    "InceptionScore",
    "KernelDistance",
    "L1",
    "LPIPS",
    "LumaPSNR",
    "LumaSSIM",
    "MixtureModes",
    "ModeCoverage",
    "MongeDistance",
    "PRDC",
    "PSNR",
    "PairTrends",
    "PairedSimilarity",
    "PathLength",
    "RPrecision",
    "SSIM",
    "SlicedWasserstein",
    "TrainTest",
    "WassersteinDistance",
]
