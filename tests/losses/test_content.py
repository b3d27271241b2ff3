"""The content loss of talking heads against plain torch.nn.functional."""

import pytest
import torch
import torch.nn.functional as F

from lightning_gans.config.errors import ConfigError
from lightning_gans.losses.content import KINDS, ContentFeatures, ContentLoss, pyramid_l1

PAPER = ("bgr_255", None, "bgr_255")  # after the path of VGG19's weights


@pytest.fixture(scope="module")
def vgg():
    """Random weights of VGG19 up to conv5_1 by torchvision's names, as large as keeps features of their size."""
    rng, state, inputs, layer = torch.Generator().manual_seed(0), {}, 3, 0
    for width, count in zip((64, 128, 256, 512, 512), (2, 2, 4, 4, 1), strict=True):
        for _ in range(count):
            weights = torch.randn(width, inputs, 3, 3, generator=rng) * (2 / (9 * inputs)) ** 0.5
            state |= {f"features.{layer}.weight": weights, f"features.{layer}.bias": torch.zeros(width)}
            inputs, layer = width, layer + 2
        layer += 1
    return state


def features(state, x):
    """Of the layers 1, 6, 11, 20 and 29 of the paper."""
    found = []
    for layer in range(30):
        if f"features.{layer}.weight" in state:
            x = F.conv2d(x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1)
        else:
            x = F.max_pool2d(x, 2) if layer in (4, 9, 18, 27) else x.relu()
        if layer in (1, 6, 11, 20, 29):
            found.append(x)
    return found


def prepared(images, inputs):
    red, green, blue = ((images[:, i] + 1) / 2 for i in range(3))
    if inputs == "bgr_255":
        return torch.stack([blue * 255 - 103.939, green * 255 - 116.779, red * 255 - 123.68], 1)
    if inputs == "rgb_255":
        return torch.stack([red * 255 - 123.68, green * 255 - 116.779, blue * 255 - 103.939], 1)
    return torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], 1)


@pytest.mark.parametrize("inputs", ["bgr_255", "rgb_255", "rgb_unit"])
def test_features_of_each_order_and_range(vgg, inputs):
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = ContentFeatures("vgg19", vgg, inputs)(images)
    for mine, theirs in zip(found, features(vgg, prepared(images, inputs)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_the_paper_s_weight_and_caffe_s_names(vgg, tmp_path):
    names = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 1), 1) for i in range(1, n + 1)]
    parts = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    caffe = dict(zip(parts, vgg.values(), strict=True))
    torch.save({**caffe, "fc6.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    loss = ContentLoss(str(tmp_path / "vgg.pth"), *PAPER, 10.0)
    loss.check((3, 16, 16))
    fake, real = (torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in range(2))
    pairs = zip(*(features(vgg, prepared(x, "bgr_255")) for x in (fake, real)), strict=True)
    expected = 0.15 * sum((one - two).abs().mean() for one, two in pairs)
    terms = loss(fake, real)
    assert list(terms) == ["vgg19"]
    torch.testing.assert_close(terms["vgg19"], expected, rtol=1e-3, atol=1e-3)
    assert list(loss.state_dict()) == []


def test_vggface_is_vgg16_of_faces_and_leaves_the_substitute(vgg, tmp_path):
    assert KINDS["vggface"].convolutions == (2, 2, 3, 3, 3)
    assert (KINDS["vggface"].weight, KINDS["vggface"].mean) == (0.025, (129.1863, 104.7624, 93.5940))
    torch.save(vgg, tmp_path / "vgg19.pth")
    with pytest.raises(ConfigError, match="vggface_weights.*as vggface"):
        ContentLoss(None, "bgr_255", str(tmp_path / "vgg19.pth"), "bgr_255", 1.0).check((3, 16, 16))


def test_the_substitute_is_named_and_nothing_is_silent():
    one, two = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    scales = [F.avg_pool2d(one - two, k).abs().mean() for k in (1, 2, 4)]
    torch.testing.assert_close(pyramid_l1(one, two), sum(scales) / 3)
    with pytest.warns(UserWarning, match="the pyramid of pixels with weight 3 stands in for it"):
        ContentLoss(None, *PAPER, 3.0).load_weights()
    with pytest.warns(UserWarning, match="no content loss by VGG19; nothing does"):
        ContentLoss(None, *PAPER, 0.0).load_weights()
    assert ContentLoss(None, *PAPER, 0.0)(one, two) == {}


@pytest.mark.parametrize("content", [None, [1], {"conv1_1.weight": torch.zeros(1)}])
def test_a_file_of_something_else_is_told_by_its_option(content, tmp_path):
    path = tmp_path / "x.pth"
    if content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=r"model\.vgg19_weights=.*x\.pth"):
        ContentLoss(str(path), *PAPER, 1.0).check((3, 16, 16))
