"""Compute the content loss of talking heads: distances of features in VGG19 and VGGFace, or of pixels on all scales."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.precision import full_precision
from lightning_gans.runtime.state_dicts import check_keys, check_shape, check_values

Inputs = Literal["bgr_255", "rgb_255", "rgb_unit"]
SMALLEST = 16  # side of an image, four poolings before the last layer
PYRAMID_END = 8  # side of images that are not halved further
_WIDTHS = (64, 128, 256, 512, 512)  # of the blocks of a VGG


class Kind(NamedTuple):
    """Describe a VGG, of which the outputs of relu1_1, ..., relu5_1 are compared.

    Attributes:
        convolutions: By block; a pooling ends each.
        mean: Of its training images, red, green and blue from 0 to 255.
        weight: Of its distance, the paper's.
    """

    convolutions: tuple[int, ...]
    mean: tuple[float, float, float]
    weight: float


KINDS = {
    "vgg19": Kind((2, 2, 4, 4, 4), (123.68, 116.779, 103.939), 0.15),
    "vggface": Kind((2, 2, 3, 3, 3), (129.1863, 104.7624, 93.5940), 0.025),
}
UNIT_MEAN, UNIT_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green, blue from 0 to 1


class ContentFeatures(nn.Module):
    """Extract relu1_1, ..., relu5_1 of a VGG; frozen, and never a part of a checkpoint.

    Args:
        kind: ``vgg19`` (Simonyan and Zisserman 2015) or ``vggface`` (VGG16 of Parkhi et al. 2015).
        state_dict: Weights by the names of torchvision, ``features.0.weight``, or of Caffe, ``conv1_1.weight``; those
            behind conv5_1 are not used and may be absent.
        inputs: What the weights were trained on. ``bgr_255``: blue, green, red from 0 to 255 less their mean, as
            Caffe's; ``rgb_255``: likewise red first; ``rgb_unit``: red first from 0 to 1, less ImageNet's mean and
            divided by its deviation, as torchvision's.

    Raises:
        ValueError: The weights are of another network, not all there, or not finite.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str, state_dict: Mapping[str, Tensor], inputs: Inputs) -> None:
        super().__init__()
        self.flips, of_unit = inputs == "bgr_255", inputs == "rgb_unit"
        shapes = _shapes(KINDS[kind].convolutions, "conv1_1.weight" in state_dict)
        check_keys(dict(state_dict), shapes, dict(state_dict), f"as {kind}")
        used = {name: state_dict[name] for name in shapes}
        check_values(used, f"as {kind}")
        for name, shape in shapes.items():
            check_shape(tuple(used[name].shape), shape, name, f"as {kind}")
        values = [value.float() for value in used.values()]
        self.weights, self.biases = nn.ParameterList(values[::2]), nn.ParameterList(values[1::2])
        self.blocks = [*KINDS[kind].convolutions[:-1], 1]
        mean = tuple(255 * value for value in UNIT_MEAN) if of_unit else KINDS[kind].mean
        std = tuple(255 * value for value in UNIT_STD) if of_unit else (1.0, 1.0, 1.0)
        for name, numbers in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(numbers)[:, None, None])
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (N, 1 or 3, H, W), red first, in [-1, 1], to five maps of features."""
        hidden = ((images.float() + 1) * 127.5).expand(-1, 3, -1, -1).sub(self.mean).div(self.std)
        hidden = hidden.flip(1) if self.flips else hidden
        found, number = [], 0
        for block, convolutions in enumerate(self.blocks):
            hidden = F.max_pool2d(hidden, 2) if block else hidden
            for convolution in range(convolutions):
                hidden = F.relu(F.conv2d(hidden, self.weights[number], self.biases[number], padding=1))
                number += 1
                if convolution == 0:
                    found.append(hidden)
        return found


def _shapes(convolutions: tuple[int, ...], is_caffe: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights and biases up to conv5_1, by name and in their order."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs, layer = 3, 0
    for block, (count, width) in enumerate(zip(convolutions, _WIDTHS, strict=True), 1):
        for number in range(1, (1 if block == len(_WIDTHS) else count) + 1):
            name = f"conv{block}_{number}" if is_caffe else f"features.{layer}"
            shapes |= {f"{name}.weight": (width, inputs, 3, 3), f"{name}.bias": (width,)}
            inputs, layer = width, layer + 2
        layer += 1
    return shapes


class ContentLoss(nn.Module):
    """Compare generated with real frames by the networks whose weights are given, else by pixels on all scales.

    The term of a network is its weight (0.15 of VGG19, 0.025 of VGGFace) times the sum over its layers of the mean
    absolute difference. Without VGG19's weights ``pyramid`` stands in for it, which is told once: the mean absolute
    difference of pixels, averaged over scales halved down to 8 pixels a side, times its weight.

    Args:
        vgg19_weights: Path of a state dict; ``None``: no such term.
        vgg19_inputs: See ``ContentFeatures``.
        vggface_weights: As ``vgg19_weights``.
        vggface_inputs: As ``vgg19_inputs``.
        pyramid_weight: Of the substitute; 0: none, so that without weights there is no content loss.
    """

    def __init__(
        self,
        vgg19_weights: str | None,
        vgg19_inputs: Inputs,
        vggface_weights: str | None,
        vggface_inputs: Inputs,
        pyramid_weight: float,
    ) -> None:
        super().__init__()
        self.files = {"vgg19": (vgg19_weights, vgg19_inputs), "vggface": (vggface_weights, vggface_inputs)}
        self.pyramid_weight = pyramid_weight if vgg19_weights is None else 0.0
        self._networks: dict[str, ContentFeatures] = {}  # in a dict, where Lightning and state_dict do not see them

    def check(self, shape: tuple[int, ...]) -> None:
        """Load the networks; refuse frames that they do not take and files that do not hold them, before any work.

        Args:
            shape: Of one frame, (C, H, W).

        Raises:
            ConfigError: By the option of the file.
        """
        for kind, (path, inputs) in self.files.items():
            if path is None:
                continue
            key = f"model.{kind}_weights"
            if shape[0] not in (1, 3) or min(shape[1:]) < SMALLEST:
                rule = f"takes frames of 1 or 3 channels and {SMALLEST}x{SMALLEST} or more, not {shape}; set it to null"
                raise ConfigError(key, path, rule)
            if kind not in self._networks:
                self._networks[kind] = _read(kind, path, inputs, key)

    def load_weights(self) -> None:
        """Load the networks at the start of a training, and say what stands in for those that are not given."""
        self.check((3, SMALLEST, SMALLEST))
        if self.files["vgg19"][0] is None:
            weight = self.pyramid_weight
            instead = f"the pyramid of pixels with weight {weight:g} stands in for it" if weight else "nothing does"
            rank_zero_warn(f"model.vgg19_weights=null: no content loss by VGG19; {instead}")

    def forward(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms by name, of frames (N, C, H, W) in [-1, 1], in full precision."""
        fake, real = full_precision(fake), full_precision(real)
        terms = {"pyramid": self.pyramid_weight * pyramid_l1(fake, real)} if self.pyramid_weight else {}
        for kind, network in self._networks.items():
            network.to(fake.device)
            pairs = zip(network(fake), network(real), strict=True)
            terms[kind] = KINDS[kind].weight * torch.stack([F.l1_loss(mine, theirs) for mine, theirs in pairs]).sum()
        return terms


def pyramid_l1(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean absolute difference of images (N, C, H, W), averaged over scales halved down to 8 pixels."""
    distances = []
    while True:
        distances.append(F.l1_loss(one, two))
        if min(one.shape[-2:]) < 2 * PYRAMID_END:
            return torch.stack(distances).mean()
        one, two = F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)


def _read(kind: str, path: str, inputs: Inputs, key: str) -> ContentFeatures:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(key, path, "no such file; give the path of a state dict, or null")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise ConfigError(key, path, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(content, Mapping):
        raise ConfigError(key, path, "holds no state dict")
    try:
        return ContentFeatures(kind, content, inputs)
    except ValueError as error:
        raise ConfigError(key, path, str(error)) from error
