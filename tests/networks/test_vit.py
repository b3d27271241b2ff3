"""DINOv2's transformer: against a forward pass written from the published names, with a small stand-in's weights."""

import pytest
import torch
import torch.nn.functional as F
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

import lightning_gans
from lightning_gans.evaluation.selection import available_metrics
from lightning_gans.extractors.dinov2 import DINOv2
from lightning_gans.metrics.library import as_metrics
from lightning_gans.networks.vit import VisionTransformer

WIDTH, PATCH, GRID = 128, 14, 5  # two heads; positions of images of 70 pixels


@pytest.fixture(scope="module")
def weights():
    rng = torch.Generator().manual_seed(0)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "mask_token": (1, WIDTH),
        "pos_embed": (1, GRID**2 + 1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for i in range(2):
        block = {f"norm{j}.{kind}": (WIDTH,) for j in (1, 2) for kind in ("weight", "bias")}
        block |= {"ls1.gamma": (WIDTH,), "ls2.gamma": (WIDTH,)}
        for layer, (out, into) in {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():
            block |= {f"{layer}.weight": (out, into), f"{layer}.bias": (out,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    return {name: torch.randn(shape, generator=rng) * shape[-1] ** -0.5 for name, shape in shapes.items()}


def forward(w, images):
    """The class token of normalised images (N, 3, H, W)."""
    patches = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    n, _, height, width = patches.shape
    places = w["pos_embed"][:, 1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    if (height, width) != (GRID, GRID):
        scale = ((height + 0.1) / GRID, (width + 0.1) / GRID)
        places = F.interpolate(places, scale_factor=scale, mode="bicubic")
    x = torch.cat([w["cls_token"].expand(n, 1, WIDTH) + w["pos_embed"][:, :1], (patches + places).flatten(2).mT], 1)
    for i in range(2):
        b = {name.removeprefix(f"blocks.{i}."): value for name, value in w.items() if name.startswith(f"blocks.{i}.")}
        y = F.layer_norm(x, (WIDTH,), b["norm1.weight"], b["norm1.bias"], 1e-6)
        q, k, v = (y @ b["attn.qkv.weight"].T + b["attn.qkv.bias"]).split(WIDTH, 2)
        heads = []
        for some in (slice(0, 64), slice(64, 128)):
            attention = torch.softmax(q[..., some] @ k[..., some].mT / 8, -1)  # sqrt(64)
            heads.append(attention @ v[..., some])
        x = x + b["ls1.gamma"] * (torch.cat(heads, 2) @ b["attn.proj.weight"].T + b["attn.proj.bias"])
        y = F.layer_norm(x, (WIDTH,), b["norm2.weight"], b["norm2.bias"], 1e-6)
        y = F.gelu(y @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"])
        x = x + b["ls2.gamma"] * (y @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"])
    return F.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"], 1e-6)[:, 0]


@pytest.mark.parametrize("size", [(70, 70), (84, 56)])
def test_forward_agrees_with_the_published_names(weights, size):
    network = VisionTransformer(width=WIDTH, depth=2, heads=2, patch=PATCH, grid=GRID)
    network.load_state_dict(weights)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(images), forward(weights, images), rtol=1e-4, atol=1e-4)


def test_features_are_those_of_resized_and_normalised_images(weights, tmp_path):
    torch.save(weights, tmp_path / "small.pth")
    extractor = DINOv2(weights=str(tmp_path / "small.pth"))
    grey = torch.randint(0, 256, (2, 1, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    resized = interpolate_bilinear_2d_like_tensorflow1x(
        grey.float().repeat(1, 3, 1, 1), size=(224, 224), align_corners=False
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = forward(weights, (resized / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    found = extractor(grey)
    torch.testing.assert_close(found.features, wanted, rtol=1e-3, atol=1e-3)
    assert found.logits.shape == (2, 1)
    assert extractor.num_features == WIDTH
    assert extractor.key("fd", "fid") == "fd_dinov2_128"  # the name alone is for size l
    assert not any(weight.requires_grad for weight in extractor.parameters())


def test_scores_of_classes_are_left_out_and_said(weights, tmp_path):
    torch.save(weights, tmp_path / "small.pth")
    cfg = lightning_gans.compose("extractor=dinov2", f"extractor.weights={tmp_path / 'small.pth'}")
    assert cfg.extractor.size == "l"
    metrics = as_metrics(["frechet", "inception_score", "mind"])
    make = lambda: DINOv2(weights=str(tmp_path / "small.pth"))  # noqa: E731
    extractor, left, lacking = available_metrics(metrics, make, was_asked=True)
    assert [metric.name for metric in left] == ["frechet", "mind"]
    assert lacking == {"inception_score": "extractor dinov2 classifies nothing"}


def test_what_is_no_such_file_is_refused(weights, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"extractor\.weights=nowhere\.pth"):
        DINOv2(weights="nowhere.pth")
    other = {name: value for name, value in weights.items() if "fc1" not in name}
    torch.save(other, tmp_path / "other.pth")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Evil(), tmp_path / "evil.pth")
    for name in ("other.pth", "evil.pth"):
        with pytest.raises(ValueError, match="not DINOv2's weights of size s, b or l"):
            DINOv2(weights=str(tmp_path / name))
    assert not (tmp_path / "ran").exists()

    def offline(url, path):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ConnectionError, match=r"dinov2_vitb14_pretrain\.pth and say extractor\.weights=FILE"):
        DINOv2("b")
