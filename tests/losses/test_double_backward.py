"""Second derivatives: those of PyTorch's own functions, at less cost."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from lightning_gans.losses.double_backward import CheapDoubleBackward


def networks():
    torch.manual_seed(0)
    yield "plain", nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(6, 2, 3))
    yield (
        "strides",
        nn.Sequential(nn.Conv2d(4, 6, 4, 2, 1), nn.LeakyReLU(0.1, inplace=True), nn.Conv2d(6, 2, (3, 2), (2, 1))),
    )
    yield (
        "groups",
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4)),
    )
    yield "kept", nn.Sequential(nn.Conv2d(4, 4, 3, padding="same"), nn.Softplus(), nn.Conv2d(4, 3, 1, bias=False))
    normed = [
        nn.Conv2d(4, 6, 3, stride=2),
        nn.InstanceNorm2d(6, affine=True),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 3, 2),
    ]
    yield "normalised", nn.Sequential(*normed, nn.Flatten(), nn.Linear(6, 3), nn.Tanh())


def derivatives(network, x, cheap):
    """The penalty, the gradient, and second derivatives of inputs and weights; the loss has a term of its own."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    if cheap:
        with CheapDoubleBackward() as twice:
            made = network(x)
            gradients = twice.gradients(made.square().sum(), x)
    else:
        made = network(x)
        (gradients,) = torch.autograd.grad(made.square().sum(), x, create_graph=True)
    (gradients.flatten(1).norm(dim=1).sub(1).square().mean() + made.mean()).backward()
    return gradients.detach(), x.grad, *(p.grad for p in network.parameters())


@pytest.mark.parametrize(("name", "network"), networks(), ids=lambda given: given if isinstance(given, str) else "")
def test_derivatives_are_pytorchs(name, network):
    network.double()
    x = torch.randn(3, 4, 7, 6, dtype=torch.float64)
    for made, expected in zip(derivatives(network, x, True), derivatives(network, x, False), strict=True):
        assert torch.allclose(made, expected, rtol=1e-10, atol=1e-12)


def test_functions_and_their_arguments_by_name():
    x, weight = torch.randn(2, 4, 6, 6), torch.randn(3, 2, 2, 2)
    with CheapDoubleBackward():
        made = F.conv2d(input=x[:, :2], weight=weight, stride=[2, 1], padding=1)
        kept = F.leaky_relu(x, negative_slope=0.3, inplace=True)
        cut = torch.relu(x)
    assert torch.equal(made, F.conv2d(x[:, :2], weight, stride=[2, 1], padding=1))
    assert torch.equal(kept, F.leaky_relu(x, 0.3))
    assert torch.equal(cut, x.clamp(min=0))


def test_nothing_goes_back_through_what_a_penalty_does_not_depend_on():
    """Of a piecewise linear network biases have no gradient, and all derivatives are first ones."""
    network = next(made for name, made in networks() if name == "plain")
    x = torch.randn(3, 4, 7, 6, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        with CheapDoubleBackward() as twice:
            gradients = twice.gradients(network(x).sum(), x)
        gradients.square().sum().backward()
    first, _, last = network
    assert [p.grad is None for p in (first.weight, first.bias, last.weight, last.bias)] == [False, True, False, True]
    calls = {event.key: event.count for event in seen.key_averages()}
    assert calls["aten::convolution_backward"] == 4  # an input's and a weight's of two layers
    assert calls["aten::conv2d"] == 3  # forward of two layers, second backward of the first


def test_under_autocast_convolutions_are_left_as_they_are():
    network = nn.Conv2d(2, 3, 3)
    x = torch.randn(2, 2, 5, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), CheapDoubleBackward():
        made = network(x)
    assert made.dtype == torch.bfloat16
    made.float().sum().backward()
    assert x.grad.dtype == torch.float32
