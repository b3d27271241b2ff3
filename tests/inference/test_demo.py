"""The demo: its answers, its page over HTTP where gradio is installed, and in a browser where one is too."""

import importlib.util
import io
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import command_here, run
from lightning_gans import load
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_pil, to_uint8
from lightning_gans.images.sheets import grid
from lightning_gans.inference.demo import Demo, make_page


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """One of each kind, untrained but for a step."""
    made = {}
    for name in ("dcgan", "cgan", "cyclegan", "progan"):
        folder = tmp_path_factory.mktemp(name)
        run(folder, "trainer.max_steps=1", model=name)
        made[name] = Demo(load(folder))
    return made


def same(one, two):
    """Equal but for the rounding of another batch."""
    one, two = (np.asarray(picture).astype(int) for picture in (one, two))
    return one.shape == two.shape and np.abs(one - two).max() <= 1


def sheet(images):
    return to_pil(grid(to_uint8(images)))


def test_samples_are_those_of_the_seed(demos):
    assert same(demos["dcgan"].sample(3, 4), sheet(demos["dcgan"].module.sample(4, seed=3)))
    assert not same(demos["dcgan"].sample(3, 4), demos["dcgan"].sample(4, 4))
    half = demos["dcgan"].sample(3, 1, 0.5)
    latents = demos["dcgan"].module.sampling_inputs([0], 3)[0]
    assert same(half, sheet(next(demos["dcgan"].module.generate([(latents / 2,)]))))
    assert same(demos["cgan"].sample(0, 4, 1.0, [3, 7]), sheet(demos["cgan"].module.sample(4, classes=[3, 7])))
    assert (demos["cgan"].num_classes, demos["dcgan"].num_classes) == (10, None)


def test_an_interpolation_begins_and_ends_at_the_seeds(demos):
    for name, classes in (("dcgan", []), ("cgan", [3])):
        module = demos[name].module
        strip = demos[name].interpolate(5, 9, 3, classes)
        given = {"classes": classes} if classes else {}
        ends = [module.sample(1, seed=seed, **given)[0] for seed in (5, 9)]
        shown = np.asarray(strip)  # 2x2 of 16x16, two pixels between
        for end, (top, left) in zip(ends, ((2, 2), (20, 2)), strict=True):
            assert same(shown[top : top + 16, left : left + 16], np.asarray(to_pil(to_uint8(end))))


@pytest.mark.parametrize(
    ("name", "method", "values", "message"),
    [
        ("dcgan", "sample", (-1, 4), "seed=-1: must be from 0 to 4294967295"),
        ("dcgan", "sample", (None, 4), "seed=null: must be from 0"),
        ("dcgan", "sample", (0.5, 4), "seed=0.5: must be a whole number"),
        ("dcgan", "sample", (0, 65), "n=65: must be from 1 to 64"),
        ("dcgan", "sample", (0, 1e12), "n=1000000000000.0: must be from 1 to 64"),
        ("dcgan", "sample", (0, 4, float("nan")), "truncation=nan: must be from 0.0 to 1.0"),
        ("dcgan", "sample", (0, 4, 1.0, [3]), "classes=3: must be from 0 to 0"),
        ("progan", "sample", (0, 4, 0.5), "truncation=0.5: latents are divided by their length"),
        ("cgan", "sample", (0, 4, 1.0, [10]), "classes=10: must be from 0 to 9"),
        ("cgan", "sample", (0, 4, 1.0, ["x"]), "classes=x: must be from 0 to 9"),
        ("dcgan", "interpolate", (0, 1, 1), "steps=1: must be from 2 to 64"),
        ("cyclegan", "translate", (None, "a2b"), "upload: choose a picture first"),
        ("cyclegan", "translate", ("x.png", "up"), "direction=up: CycleGAN translates a2b, b2a only"),
        ("cyclegan", "translate", ("/nowhere/x.png", "a2b"), "No such file"),
    ],
)
def test_inputs_are_bounded(demos, name, method, values, message):
    with pytest.raises(ValueError, match=".") as error:
        getattr(demos[name], method)(*values)
    assert message in str(error.value)


def test_uploads_are_translated_both_ways_and_hostile_ones_refused(demos, tmp_path):
    demo, rng = demos["cyclegan"], torch.Generator().manual_seed(0)
    image = torch.randint(256, (3, 20, 30), generator=rng, dtype=torch.uint8)
    path = str(save(image, tmp_path / "upload.png"))
    there, back = (demo.translate(path, direction) for direction in ("a2b", "b2a"))
    assert there.size == back.size == (30, 20)
    assert not same(there, back)
    (tmp_path / "text.png").write_text("<svg onload=alert(1)>")
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)  # a bomb: 3,600 megapixels in a few bytes
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    shutil.make_archive(str(tmp_path / "many"), "zip", tmp_path, "upload.png")
    for name, message in (
        ("text.png", "not an image"),
        ("bomb.png", "more pixels than"),
        ("many.zip", "not an image"),
    ):
        with pytest.raises(ValueError, match=message):
            demo.translate(str(tmp_path / name))


def test_without_gradio_it_is_named(tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else find(name, *a))
    assert command_here("lightning_gans.demo", "checkpoint=x", cwd=tmp_path, monkeypatch=monkeypatch) == 1
    assert 'demo: needs the package gradio: pip install "lightning_gans[demo]"' in capsys.readouterr().err


@pytest.fixture
def served(demos):
    """Serve a demo, at an address of its own."""
    pytest.importorskip("gradio")
    pages = []

    def serve(name):
        page = make_page(demos[name], f"{name} <b>1</b>")
        pages.append(page)
        return page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, max_file_size="20mb")[1]

    yield serve
    for page in pages:
        page.close()


def test_the_page_answers_over_http(served, demos, tmp_path):
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(served("cgan"), verbose=False, download_files=str(tmp_path))
    made = client.predict(0, 4, 1.0, [3, 7], api_name="/sample")
    assert same(Image.open(made), demos["cgan"].sample(0, 4, 1.0, [3, 7]))
    assert Image.open(client.predict(0, 1, 5, [], api_name="/interpolate")).size[0] > 16
    with pytest.raises(Exception, match="n=99: must be from 1 to 64|99"):
        client.predict(0, 99, 1.0, [], api_name="/sample")
    client = gradio_client.Client(served("cyclegan"), verbose=False, download_files=str(tmp_path))
    path = save(torch.zeros(3, 20, 30, dtype=torch.uint8), tmp_path / "upload.png")
    made = client.predict(gradio_client.handle_file(path), "b2a", api_name="/translate")
    assert same(Image.open(made), demos["cyclegan"].translate(str(path), "b2a"))
    (tmp_path / "fake.png").write_text("no picture")
    with pytest.raises(Exception, match="not an image"):
        client.predict(gradio_client.handle_file(tmp_path / "fake.png"), "a2b", api_name="/translate")


BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
def test_the_page_in_a_browser(served, demos, tmp_path):
    """Clicks bring the pictures; nothing is asked of other machines; text is no markup; mistakes are shown."""
    api = pytest.importorskip("playwright.sync_api")
    save(torch.zeros(3, 20, 30, dtype=torch.uint8), tmp_path / "upload.png")
    (tmp_path / "fake.png").write_text("no picture")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        elsewhere = []
        page.on("request", lambda one: elsewhere.append(one.url) if "://127.0.0.1" not in one.url else None)
        page.route(lambda url: "://127.0.0.1" not in url, lambda route: route.abort())

        def pixels():
            page.wait_for_selector("img[src*='/file=']")
            return Image.open(io.BytesIO(page.request.get(page.get_attribute("img[src*='/file=']", "src")).body()))

        page.goto(served("dcgan"))
        page.get_by_label("Seed").first.fill("7")
        page.get_by_role("button", name="Sample").click()
        assert same(pixels(), demos["dcgan"].sample(7, 16))
        page.get_by_role("tab", name="Interpolate").click()
        page.get_by_role("button", name="Interpolate").click()
        page.wait_for_function("document.querySelectorAll(\"img[src*='/file=']\").length == 2")
        page.goto(served("cyclegan"))
        page.set_input_files("input[type=file]", str(tmp_path / "upload.png"))
        page.get_by_label("b2a").check()
        page.get_by_role("button", name="Translate").click()
        assert same(pixels(), demos["cyclegan"].translate(str(tmp_path / "upload.png"), "b2a"))
        page.reload()
        page.set_input_files("input[type=file]", str(tmp_path / "fake.png"))
        page.get_by_role("button", name="Translate").click()
        page.get_by_text("not an image").wait_for()
        browser.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
