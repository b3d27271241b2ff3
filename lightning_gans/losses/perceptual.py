"""Perceptual losses: distances between two images' features in a classifier of ImageNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.distributed import create_on_all_ranks
from lightning_gans.runtime.precision import full_precision
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values

KEY = "model.perceptual_weights"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
SMALLEST = 16  # four poolings by 2 lie before the last layers
_CONVOLUTIONS = (2, 2, 4, 4, 4)  # per block of VGG19; a pooling ends each


def layer_number(name: str) -> int:
    """Return the index of ``relu{i}_{j}`` or ``conv{i}_{j}`` in torchvision's ``vgg19().features``.

    Raises:
        ValueError: There is no such layer.
    """
    kind, block, convolution = name[:4], *(int(digit) - 1 for digit in name[4:].split("_"))
    if kind not in ("conv", "relu") or not (0 <= block < 5 and 0 <= convolution < _CONVOLUTIONS[block]):
        raise ValueError(f"VGG19 has no layer {name}; say conv1_1, ..., relu5_4")
    return sum(2 * n + 1 for n in _CONVOLUTIONS[:block]) + 2 * convolution + (kind == "relu")


class VGG19(nn.Module):
    """Extract features of VGG19 (Simonyan and Zisserman 2015, arXiv:1409.1556) with torchvision's weights of ImageNet.

    Frozen and always in evaluation mode. Images are brought to ImageNet's mean and deviation.

    Args:
        state_dict: As ``torchvision.models.vgg19`` has it. Not used of it are the classifier, which may be absent, and
            layers behind the last of ``layers``.
        layers: Whose outputs to return, e.g. ``relu1_1``, in their order.

    Raises:
        ValueError: The weights are of another network, not all there, or not finite.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, state_dict: dict[str, Tensor], layers: Sequence[str]) -> None:
        super().__init__()
        from torchvision.models import vgg19

        self.outputs = [layer_number(name) for name in layers]
        with torch.device("meta"):  # 144 million weights would be drawn for nothing
            whole = vgg19(weights=None)
        features = whole.features[: max(self.outputs) + 1]
        shapes = {f"features.{name}": tuple(value.shape) for name, value in features.state_dict().items()}
        check_keys(state_dict, shapes, whole.state_dict(), "as a VGG19")
        used = {name: state_dict[name] for name in shapes}
        check_values(used, "as a VGG19")
        for name, shape in shapes.items():
            check_shape(tuple(used[name].shape), shape, name, "as a VGG19")
        features.load_state_dict({name.removeprefix("features."): used[name].float() for name in shapes}, assign=True)
        for number in self.outputs:  # what is returned must not be overwritten
            if number + 1 < len(features) and isinstance(features[number + 1], nn.ReLU):
                features[number + 1].inplace = False
        self.features = features
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])
        self.requires_grad_(False).train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (N, 1 or 3, H, W) in [-1, 1], sides >= 16, to one (N, C, H', W') per layer."""
        hidden = ((images + 1) / 2).expand(-1, 3, -1, -1).sub(self.mean).div(self.std)
        found = []
        for number, layer in enumerate(self.features):
            hidden = layer(hidden)
            if number in self.outputs:
                found.append(hidden)
        return found

    def train(self, mode: bool = True) -> VGG19:
        """Stay in evaluation mode."""
        super().train(False)
        return self


class Perceptual(nn.Module):
    """Hold VGG19 for a loss, if its weights are available; never a part of a checkpoint.

    ``weights`` is ``auto`` (torchvision downloads them once, 548 MB, into torch's hub cache; without them the loss is
    off, with one warning), the path of a file of torchvision's, or ``None`` (off). What ``auto`` came to is kept in
    every checkpoint (``decision``), and a resumed run keeps to it.

    Args:
        weights: See above.
        layers: Whose features to compare.
        instead: What the family does without it, in words for the warning.

    Attributes:
        decision: ``on``, or why the loss is off; ``None`` until the training starts.
    """

    def __init__(self, weights: str | None, layers: Sequence[str], *, instead: str) -> None:
        super().__init__()
        self.weights, self.layers, self.instead = weights, tuple(layers), instead
        self.decision: str | None = None
        self._network: tuple[VGG19, ...] = ()  # in a tuple, where Lightning and state_dict do not see it

    @property
    def on(self) -> bool:
        """Return whether the network is loaded."""
        return bool(self._network)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images that VGG19 does not take and a file that does not hold its weights, before any work.

        Args:
            shape: Of one image, (C, H, W).

        Raises:
            ValueError: The weights were asked for by path and cannot be used.
        """
        problem = None
        if shape[0] not in (1, 3):
            problem = f"VGG19 takes images of 1 or 3 channels, not {shape[0]}"
        elif min(shape[1:]) < SMALLEST:
            problem = f"VGG19 takes images of {SMALLEST}x{SMALLEST} and larger, not {shape[1]}x{shape[2]}"
        if self.weights == "auto":
            self.decision = problem and f"off: {problem}"
        elif self.weights is not None:
            if problem is not None:
                raise ConfigError(KEY, self.weights, f"{problem}; set it to null")
            self._network = (self._read(self.weights),)

    def load_weights(self, trainer: Trainer) -> None:
        """Decide at the start of a training, once the checkpoint of a resumed run is read; on all processes.

        Raises:
            ValueError: The run trained with the loss so far, and ``auto`` cannot have the weights now.
        """
        if self.weights is None:
            self.decision = "off: null"
            return
        if self.weights != "auto":
            self._network = self._network or (self._read(self.weights),)
            self.decision = "on"
            return
        if self.decision is None or self.decision == "on":
            problem = self._download(trainer)
            if problem and self.decision == "on":
                raise ValueError(
                    f"{KEY}=auto: this run trained with VGG19 so far, and {problem}; give the path of "
                    "torchvision's vgg19-dcbb9e9d.pth, or null to go on without"
                )
            self.decision = f"off: {problem}" if problem else "on"
        if self.decision != "on":
            self._network = ()
            rank_zero_warn(f"{KEY}=auto: the perceptual loss is {self.decision}; {self.instead}")

    def _download(self, trainer: Trainer) -> str:
        """Have torchvision download the weights; returns why there are none, or ``""``."""
        from torchvision.models import VGG19_Weights

        def make() -> VGG19:
            try:
                found = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=trainer.local_rank == 0, check_hash=True)
                return VGG19(found, self.layers)
            except Exception as error:  # a damaged file can fail anywhere
                raise ValueError(_why(error)) from error

        network, problem = create_on_all_ranks(make, trainer)
        self._network = () if network is None else (network,)
        return problem

    def _read(self, path: str) -> VGG19:
        file = Path(path).expanduser()
        allowed = "auto, null, or the path of torchvision's vgg19-dcbb9e9d.pth"
        if not file.is_file():
            raise ConfigError(KEY, path, f"no such file; allowed: {allowed}")
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can fail anywhere in the unpickler
            raise ConfigError(KEY, path, f"cannot be read ({type(error).__name__}); allowed: {allowed}") from error
        if not isinstance(content, Mapping):
            raise ConfigError(KEY, path, f"holds no state dict; allowed: {allowed}")
        try:
            return VGG19(dict(content), self.layers)
        except ValueError as error:
            raise ConfigError(KEY, path, f"{error}; allowed: {allowed}") from error

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (N, 1 or 3, H, W) in [-1, 1] to the features of every layer, in full precision."""
        network = self._network[0]
        if network.mean.device != images.device:
            network.to(images.device)
        return [full_precision(features) for features in network(images)]

    def get_extra_state(self) -> dict[str, Any]:
        """Return the decision, for every ``state_dict``."""
        return {"decision": self.decision}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the decision, unless the config says otherwise."""
        self.decision = state["decision"]


def _why(error: Exception) -> str:
    """Return why torchvision gave no weights, in one line, with the file in its cache."""
    from torchvision.models import VGG19_Weights

    cached = Path(torch.hub.get_dir(), "checkpoints", Path(VGG19_Weights.IMAGENET1K_V1.url).name)
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    hint = f"; if {cached} is damaged, remove it" if cached.is_file() else ""
    return f"its weights could not be had ({reason}{hint})"
