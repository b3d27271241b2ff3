"""Instance norm against its equation and finite differences, in every layout and for a batch of one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_gans.networks.instance_norm import InstanceNorm2d, instance_norm
from lightning_gans.networks.pix2pix_hd import PatchDiscriminator
from lightning_gans.networks.translation_resnet import Generator

LAST, FIRST = torch.channels_last, torch.contiguous_format
LAYOUTS = pytest.mark.parametrize("layout", [FIRST, LAST])


def maps(n: int, seed: int = 0, shape: tuple[int, int, int] = (3, 5, 4)) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 1


def by_equation(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    deviation = (x.var((2, 3), correction=0, keepdim=True) + eps).sqrt()
    return (x - x.mean((2, 3), keepdim=True)) / deviation * gain[:, None, None] + bias[:, None, None]


@LAYOUTS
@pytest.mark.parametrize("n", [1, 2, 5])
def test_maps_and_gradients_are_the_equations_and_keep_their_layout(n, layout):
    x = maps(n).to(memory_format=layout).requires_grad_()
    gain, bias = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.0, 1.0, -1.0]).double()
    made, expected = instance_norm(x, gain, bias, eps=1e-3), by_equation(x, gain, bias, 1e-3)
    torch.testing.assert_close(made, expected)
    for upstream in (FIRST, LAST):  # a gradient's layout is its own
        weights = maps(n, seed=1).to(memory_format=upstream)
        (ours,) = torch.autograd.grad(made, x, weights, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected, x, weights, retain_graph=True)
        torch.testing.assert_close(ours, theirs)
    assert made.is_contiguous(memory_format=layout)
    assert ours.is_contiguous(memory_format=layout)


@LAYOUTS
@pytest.mark.parametrize("n", [1, 3])
def test_it_can_be_differentiated_twice(n, layout):
    x = maps(n).to(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(instance_norm, (x,))
    assert torch.autograd.gradgradcheck(instance_norm, (x,))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_networks_have_the_same_gradients_in_both_layouts(network, n):
    torch.manual_seed(0)
    if network == "generator":
        net = Generator(image_size=16, source_channels=3, channels=3, base_channels=4, blocks=1).double()
    else:
        net = PatchDiscriminator(3, 4, 2, bias_before_norm=True).double()
    x, weights = maps(n, shape=(3, 16, 16)), maps(1, seed=1).flatten()[0]

    def gradients(layout: torch.memory_format) -> list[Tensor]:
        net.to(memory_format=layout)
        made = net(x.to(memory_format=layout))
        made = made if isinstance(made, Tensor) else made[-1]
        return list(torch.autograd.grad((made * weights).square().sum(), list(net.parameters())))

    for last, first in zip(gradients(LAST), gradients(FIRST), strict=True):
        torch.testing.assert_close(last, first)


def test_a_layer_has_pytorchs_weights_and_its_precision():
    ours, theirs = InstanceNorm2d(3, affine=True), nn.InstanceNorm2d(3, affine=True)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(theirs.state_dict())
    for dtype, atol in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        for layout in (FIRST, LAST):
            x = maps(4).to(dtype).to(memory_format=layout)
            made = ours(x)
            assert made.dtype == dtype
            torch.testing.assert_close(made.float(), theirs(x.float()), atol=atol, rtol=1e-2)


def test_an_exported_layer_takes_any_batch_and_layout():
    layer = InstanceNorm2d(3)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    exported = torch.export.export(layer, (maps(2).float(),), dynamic_shapes=shapes).module()
    for x in (maps(1), maps(5).to(memory_format=LAST), maps(7)):
        torch.testing.assert_close(exported(x.float()), F.instance_norm(x.float()))


def test_maps_of_one_pixel_are_refused():
    with pytest.raises(ValueError, match="more than 1"):
        instance_norm(torch.ones(1, 3, 1, 1))
