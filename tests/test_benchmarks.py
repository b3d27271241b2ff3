"""Benchmarks: what they choose to run. Their figures are no tests."""

import importlib.util
import re
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from conftest import run
from lightning_gans import compose
from lightning_gans.checkpoints import files, load
from lightning_gans.config.validation import check_names
from lightning_gans.images.pixels import displayable, to_uint8
from lightning_gans.networks.patchgan import Discriminator
from lightning_gans.networks.translation_resnet import Generator

ROOT = Path(__file__).parent.parent


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def families():
    return script("families")


def test_families_are_those_that_take_the_data(families, monkeypatch, capsys):
    """On the digits they are the rows of the table; the others are named."""
    trained = []
    monkeypatch.setattr(families, "train", lambda model, *_: trained.append(model) or {"family": model})
    monkeypatch.setattr(sys, "argv", ["families.py"])
    families.main()
    table = (ROOT / "benchmarks" / "README.md").read_text().partition("## Families")[2].partition("## ")[0]
    assert set(trained) == set(re.findall(r"`model=(\w+)`", table))
    told = capsys.readouterr()
    assert told.err.strip().endswith("ctgan, cyclegan, pix2pix, pix2pix_hd, srgan, talking_heads, tvae")
    assert len(told.out.splitlines()) == 2 + len(trained)
    monkeypatch.setattr(sys, "argv", ["families.py", "--data", "digit_edges", "data.limit=10"])
    trained.clear()
    families.main()
    assert trained == ["pix2pix", "pix2pix_hd"]


def test_penalties_are_timed_against_the_step_without(capsys):
    penalties = script("penalties")
    options = [*penalties.NETWORKS["DCGAN, 32x32x1, batch 64"], "model.batch_size=2", "data.image_size=8"]
    options += ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    penalties.times("tiny", options, ["r1_r2", "lazy_r1", "approximate_r1_r2"], 1, 1, "cpu")
    _, title, base, *ratios, _ = capsys.readouterr().out.split("|")
    assert title.strip() == "tiny"
    assert float(base) > 0
    assert len(ratios) == 3
    assert all(float(ratio) > 0 for ratio in ratios)
    chosen = {path.stem for path in (ROOT / "conf" / "model" / "penalty").glob("*.yaml")}
    assert chosen - set(penalties.PENALTIES) == {"r2"}  # as r1


def test_settings_of_threads_take_turns(monkeypatch, capsys):
    threads = script("threads")
    asked = []

    class Fake:
        def __init__(self, settings, threads):
            self.settings, self.threads = settings, threads

        kill = wait = lambda self: None

    monkeypatch.setattr(threads, "worker", Fake)
    monkeypatch.setattr(threads, "ask", lambda process, steps: asked.append(process.settings) or (0.5, 0.25))
    threads.compare(0, ["as it is", "GOMP_SPINCOUNT=1000"], 2, turns=2, steps=4)
    assert asked == [{}, {"GOMP_SPINCOUNT": "1000"}] * 3
    assert capsys.readouterr().out.splitlines() == [
        "| 0 | as it is | 256 | 1.00 | 62 |",
        "| 0 | GOMP_SPINCOUNT=1000 | 256 | 1.00 | 62 |",
    ]


def test_a_row_of_the_gpu_table_fails_alone(monkeypatch, tmp_path, capsys):
    """On the CPU: time, out of memory, too long, an error, and what comes after the end."""
    gpu = script("gpu")
    tiny = ["model=dcgan", "data.image_size=8", "model.batch_size=2"]
    tiny += ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    taken = gpu.measured(gpu.Row("tiny", tiny, remark="so"), "cpu", left=60.0, seconds=0.0)
    assert taken[:4] == ["tiny", "32-true", "yes", "no"]
    assert float(taken[4]) > 0
    assert taken[5:] == ["", "so"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device=cpu", f"--out={tmp_path / 'table.md'}"])
    times = iter([0.0, 1.0, 2.0, 239.9, 300.0])

    def fails(row, device, seconds):
        if row.name == "large":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if row.name == "slow":
            time.sleep(5)
        raise RuntimeError("a | b\nmore")

    monkeypatch.setattr(gpu, "milliseconds", fails)
    gpu.main([gpu.Row(name, tiny) for name in ("large", "wrong", "slow", "late")], clock=lambda: next(times))
    rows = [line.strip("| ").split("|")[-1].strip() for line in (tmp_path / "table.md").read_text().splitlines()]
    expected = ["remark", "---", "out of memory", "failed: RuntimeError: a / b"]
    assert rows == [*expected, "failed: TimeoutError: more than 0 s", "left out: the time is over"]
    assert rows[-1] in capsys.readouterr().out


def test_rows_of_the_gpu_table_compose():
    gpu = script("gpu")
    names = {row.name for row in gpu.rows()}
    assert names == set(gpu.FAMILIES)
    for options, _ in gpu.FAMILIES.values():
        data = [] if "data=digit_domains" in options else ["data=digits", "data.channels=3"]
        check_names(compose(*data, "tuned=none", *options))


def test_growth_is_against_the_row_before(monkeypatch, capsys):
    growth = script("growth")
    seconds = {16: 0.016, 32: 0.064, 64: 0.128}
    monkeypatch.setattr(growth, "measure", lambda sizes, *_: (seconds[sizes["resolution"]], sizes["resolution"] * 1.0))
    growth.grows("resolution", 1, [])
    rows = [line.replace(" ", "")[1:-1].split("|") for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows[0] == ["16", "", "16", "", "1.0", "16", ""]
    assert rows[1] == ["32", "4.00", "64", "4.00", "4.0", "32", "2.00"]  # pixels, time, memory
    assert rows[2] == ["64", "4.00", "128", "2.00", "8.0", "64", "2.00"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is counted by Linux")
def test_growth_is_measured_in_a_process_of_its_own():
    growth = script("growth")
    tiny = ["model.generator.base_channels=4", "model.discriminator.base_channels=4"]
    seconds, memory = growth.measure({"resolution": 8, "batch": 2, "set": 10}, 1, tiny)
    assert seconds > 0
    assert memory >= 0


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_stability_is_the_share_of_scores_near_the_median(monkeypatch, capsys):
    """And a table of it, of tiny trainings."""
    stability = script("stability")
    assert stability.near([10.0, 11.0, 9.1, 12.0, float("inf")]) == 3 / 5  # of 11
    assert stability.near([float("inf")] * 2 + [1.0]) == 0
    options = ["trainer.max_steps=2", "data.limit=40", "callbacks.evaluation.n=16", "model.batch_size=4"]
    monkeypatch.setattr(sys, "argv", ["stability.py", "--models", "vae", "gan", "--seeds", "2", "--", *options])
    stability.main()
    head, _, *rows = map(cells, capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == ["`vae`", "`gan`"]
    for row in rows:
        found = dict(zip(head, row, strict=True))
        assert found["runs"] == "2"
        assert float(found["lowest"]) <= float(found["median"]) <= float(found["highest"])
        assert found["diverged"] == found["alarms"] == "0"


def test_rings_are_scored_once_a_seed(monkeypatch, capsys):
    rings = script("rings")
    options = ["trainer.max_steps=2", "callbacks.evaluation.n=64", "callbacks.evaluation.n_real=500"]
    arguments = ["--experiments", "ring_nonsaturating", "--seeds", "0", "1", "--", *options]
    monkeypatch.setattr(sys, "argv", ["rings.py", *arguments])
    rings.main()
    head, _, *rows = map(cells, capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == [f"`ring_nonsaturating`, {seed}" for seed in (0, 1, "median")]
    for row in rows:
        found = dict(zip(head, row, strict=True))
        assert 0 <= float(found["modes"]) <= 8
        assert 0 <= float(found["high quality"]) <= 1


@pytest.mark.parametrize("experiment", ["ring_nonsaturating", "ring_r3gan"])
def test_all_modes_of_a_ring_are_learnt(experiment):
    """With fewer updates than the experiment has, and wider bounds than its table."""
    modes, quality, *_ = script("rings").measure(experiment, 0, ["trainer.max_steps=2300"])
    assert modes == 8
    assert quality >= 0.8


def test_checkpoints_are_ranked_by_few_and_many_samples(tmp_path, monkeypatch, capsys):
    how = ["trainer.max_steps=3", "callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.keep=null"]
    run(tmp_path / "run", *how, "model.ema=null", "model.g_optimizer.lr=0.02")
    monkeypatch.setattr(sys, "argv", ["mind.py", str(tmp_path / "run"), "--few", "20", "--many", "40"])
    script("mind").main()
    *table, last = capsys.readouterr().out.splitlines()
    rows = [cells(line) for line in table[2:]]
    assert [row[0] for row in rows] == ["step-000001", "step-000002", "step-000003"]
    values = torch.tensor([[float(value) for value in row[1:]] for row in rows])
    assert (values > 0).all()
    ranks = values.argsort(0).argsort(0).double()  # without ties: 1 - 6 d^2 / (n (n^2 - 1))
    for name, column in (("MIND", 0), ("Frechet, few", 1)):
        expected = 1 - 6 * (ranks[:, column] - ranks[:, 2]).square().sum() / (3 * 8)
        assert f"{name} {expected:.3f}" in last
    monkeypatch.setattr(sys, "argv", ["mind.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="0 checkpoints"):
        script("mind").main()


STAND_IN = """
import torch

def create_model(opt):
    assert (opt.ngf, opt.netD, opt.gpu_ids, opt.isTrain) == (4, "basic", [], True)
    return Model(opt.netG)

class Model:
    def __init__(self, network):
        parameters = {PARAMETERS}
        self.netG_A, self.netG_B, self.netD = (torch.nn.ParameterList([torch.zeros(n)]) for n in parameters)
        self.network, self.steps = network, 0

    def set_input(self, batch):
        assert batch["A"].shape == batch["B"].shape == (1, 3, 32, 32)

    def optimize_parameters(self):
        print("noise on standard output")
        self.steps += 1
        if self.network == "unet_32" and self.steps == 3:
            raise ValueError("a | b\\nmore")
"""


def test_peers_take_turns_and_broken_ones_are_rows(tmp_path, monkeypatch, capsys):
    """A stand-in for a checkout: its CycleGAN has our numbers of parameters, its pix2pix fails at the third step."""
    sizes = {"image_size": 32, "channels": 3, "base_channels": 4}
    networks = [Generator(source_channels=3, **sizes), Discriminator(norm="instance", receptive_field=34, **sizes)]
    g, d = (sum(p.numel() for p in network.parameters()) for network in networks)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text(STAND_IN.replace("{PARAMETERS}", str([g, g, 2 * d])))
    options = ["model.discriminator.receptive_field=34", "data.limit=8"]
    arguments = [*("--dcgan", str(tmp_path)), *("--cyclegan", str(tmp_path)), "--image-size=32", "--base-channels=4"]
    monkeypatch.setattr(sys, "argv", ["peers.py", *arguments, "--steps=1", "--turns=2", "--", *options])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    peers = script("peers")
    peers.main()
    head, _, *rows = map(cells, capsys.readouterr().out.splitlines()[2:])
    assert head == peers.HEAD
    broken, whole, fails = rows
    assert broken == ["DCGAN", "64x64", "64", *[""] * 7, "failed: FileNotFoundError: no main.py"]
    assert whole[:3] == ["CycleGAN", "32x32", "1"]
    assert whole[-1] == f"{2 * g:,}, {2 * d:,}"
    assert all(float(cell) >= 0 for cell in whole[3:-2])
    assert whole[-2].split(", ")[1] == "0"
    assert float(whole[5]) > 1  # the stand-in does nothing
    assert fails == ["pix2pix", "32x32", "1", *[""] * 7, "failed: ValueError: a / b more"]
    assert peers.same_parameters([1234, 5], [1234, 6]) == "DIFFER: ours 1,234, 5; theirs 1,234, 6"


def test_a_gallery_has_a_band_a_run(tmp_path, monkeypatch, capsys):
    """Samples, a column a caption, and examples above their translations, each as high as its rows."""
    for model in ("dcgan", "stackgan", "pix2pix"):
        run(tmp_path / model, model=model)
    out = tmp_path / "gallery.png"
    folders = [str(tmp_path / model) for model in ("dcgan", "stackgan", "pix2pix")]
    monkeypatch.setattr(sys, "argv", ["gallery.py", str(out), *folders, "--columns", "4"])
    gallery = script("gallery")
    made = [gallery.band(folder, 4, 2) for folder in folders]
    assert [len(images) for images in made] == [8, 8, 8]
    examples = load.real_data(files.read(folders[2])).examples([0])["source"]
    assert torch.equal(made[2][0], displayable(to_uint8(examples))[0])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert all(len(line.split()) > 2 for line in said)
    gallery.main()
    sheet = Image.open(out)
    assert sheet.height == sum(int(line.split()[1]) for line in capsys.readouterr().out.splitlines() if "rows" in line)
