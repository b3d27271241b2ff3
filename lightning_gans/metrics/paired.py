"""How near translations come to what they should be: means over pairs of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.ms_ssim import ssim
from lightning_gans.metrics.y_channel import shaved_luma

Batch = dict[str, Tensor]
PEAK = 255.0
SMALLEST_FOR_LPIPS = 32  # AlexNet takes no smaller ones
MOST = 100.0  # dB: what equal images are given, whose ratio is infinite


class PairMean(Metric):
    """Means over pairs; on several processes over those of all.

    Args:
        names: Of the scores.
        compare: From a batch with ``image`` and ``target`` (N, C, H, W) uint8 and ``source`` to the scores of each
            pair, (N,), in the order of the names.
    """

    is_differentiable = False
    full_state_update = False
    totals: Tensor
    pairs: Tensor

    def __init__(self, names: Sequence[str], compare: Callable[[Batch], Sequence[Tensor]]) -> None:
        super().__init__()
        self.names, self.compare = list(names), compare
        self.add_state("totals", default=torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pairs", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, batch: Batch) -> None:
        """Take the pairs of a batch."""
        self.totals += torch.stack([values.double().sum() for values in self.compare(batch)]).to(self.totals)
        self.pairs += len(batch["image"])

    def compute(self) -> dict[str, Tensor]:
        """The means by name."""
        return dict(zip(self.names, self.totals / self.pairs, strict=True))


def paired_metric(name: str) -> PairMean:
    """A metric of ``lightning_gans.metrics.names.METRICS`` that compares pairs."""
    if name == "lpips":
        return PairMean([name], _lpips())
    if name in ("psnr_y", "ssim_y"):
        of_luma = psnr if name == "psnr_y" else ssim
        return PairMean([name, f"{name}_bicubic"], lambda batch: _with_bicubic(of_luma, batch))
    functions = {"l1": l1, "psnr": psnr, "ssim": ssim}
    return PairMean([name], lambda batch: [functions[name](batch["image"], batch["target"])])


def l1(one: Tensor, two: Tensor) -> Tensor:
    """Mean absolute difference of images (N, C, H, W) from 0 to 255, as a share of that range: (N,)."""
    return (one.double() - two.double()).abs().flatten(1).mean(1) / PEAK


def psnr(one: Tensor, two: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images (N, C, H, W) from 0 to 255: (N,) in dB, 100 at most."""
    error = (one.double() - two.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(PEAK**2 / error)).clamp(max=MOST)


def _with_bicubic(compare: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> list[Tensor]:
    """Scores of luma, of the translations and of bicubic interpolation; as many pixels shaved off as it enlarges."""
    target, source = batch["target"], batch["source"]
    enlarged = F.interpolate(source.float(), target.shape[-2:], mode="bicubic", antialias=True, align_corners=False)
    border = target.shape[-1] // source.shape[-1]
    of_target, *others = (shaved_luma(images, border) for images in (target, batch["image"], to_uint8(enlarged)))
    return [compare(other, of_target) for other in others]


def _lpips() -> Callable[[Batch], list[Tensor]]:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924) by AlexNet, version 0.1, through torchmetrics.

    Raises:
        ConnectionError: AlexNet's weights are not there and could not be downloaded.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric: Any = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    except OSError as error:
        raise ConnectionError(
            f"metrics=lpips: AlexNet's weights could not be downloaded ({error}). Fetch "
            f"https://download.pytorch.org/models/{ALEXNET} and put it at {torch.hub.get_dir()}/checkpoints/{ALEXNET}"
        ) from error

    def compare(batch: Batch) -> list[Tensor]:
        metric.to(batch["image"].device)
        pairs = zip(*(_colours(batch[key]) for key in ("image", "target")), strict=True)
        return [torch.stack([metric(one[None], two[None]) for one, two in pairs])]

    return compare


ALEXNET = "alexnet-owt-7be5be79.pth"


def _colours(images: Tensor) -> Tensor:
    """uint8 images as three channels in [-1, 1]."""
    images = images[:, :1] if images.shape[1] < 3 else images[:, :3]
    return images.expand(-1, 3, -1, -1).float() / 127.5 - 1
