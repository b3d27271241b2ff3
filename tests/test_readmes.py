"""READMEs: every command, file and snippet in them works, every option and choice exists, every link leads somewhere.

Commands run, with tiny networks and pictures that are made here; those whose data would have to be downloaded are
composed and their keys checked. A line that no test knows what to do with fails.
"""

import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from conftest import command_here, evaluation, newest, run, tiny
from lightning_gans import build, compose
from lightning_gans.config import schemas
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.config.validation import check_names
from lightning_gans.images.files import save
from lightning_gans.images.pixels import to_uint8
from lightning_gans.tables.embedded import census
from lightning_gans.tables.reading import write_table

ROOT = Path(__file__).parent.parent
FOLDERS = [ROOT, ROOT / "conf", ROOT / "benchmarks", *sorted((ROOT / "lightning_gans").iterdir())]
READMES = {path.relative_to(ROOT).as_posix(): path.read_text() for f in FOLDERS if (path := f / "README.md").is_file()}
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
PROSE = "\n".join(FENCE.sub("", text) for text in READMES.values())
BLOCKS = [(name, *block) for name, text in READMES.items() for block in FENCE.findall(text)]
SPANS = re.findall(r"`([^`]+)`", PROSE)  # the tables' too
LINES = [
    line.strip()
    for _, language, block in BLOCKS
    if language == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if not line.startswith("#")
]
FILE = re.compile(r"# (my_\w+/\S+\.(?:py|yaml))\n")  # a block that is a user's file begins with its path
COMMAND = re.compile(r"(?:(?P<launcher>torchrun|srun) .*?|python )-m lightning_gans\.(?P<name>\w+)\b(?P<words>.*)")
INSTALL = re.compile(r'pip install -e (?:\.|"\.\[(?P<extra>\w+)\]")(?: && (?P<then>.*))?')


def words_of(command, *, optional=True):
    """Name and overrides of a command; what is in [brackets] after a blank may be left out."""
    found = COMMAND.fullmatch(re.sub(r" \[([^]]*)\]", r" \1" if optional else "", command))
    return found["name"], [word for word in shlex.split(found["words"]) if not word.startswith("-")]


INSTALLS = [line for line in LINES if INSTALL.fullmatch(line)]
COMMANDS = list(dict.fromkeys([*LINES, *[span for span in SPANS if "-m lightning_gans." in span]]))
COMMANDS = [line for line in COMMANDS if line not in INSTALLS]
OWN = [line for line in LINES if re.search(r"\bmy_(gan|conf)\b", line)]  # with a user's own files, in their order
FREE = [line for line in COMMANDS if line not in OWN and "--config-dir" not in line]


# ------------------------------------------------------------------------------------- what is in them


def test_the_front_readme_is_short():
    assert len(READMES["README.md"].splitlines()) <= 250


@pytest.mark.parametrize("name", READMES)
def test_every_block_is_known(name):
    """By its language, as a file of a user's, as Python that runs, or as lines of commands."""
    for where, language, block in BLOCKS:
        if where == name:
            assert language in ("bash", "python", "yaml", "text"), block
            assert language != "yaml" or FILE.match(block), block
            assert language != "python" or FILE.match(block) or "import lightning_gans\n" in block, block
    for line in LINES:
        assert INSTALL.fullmatch(line) or COMMAND.fullmatch(line), line


def test_the_two_commands_are_there_and_what_is_installed_exists():
    lines = READMES["README.md"].splitlines()
    assert "pip install -e . && python -m lightning_gans.train" in lines
    assert 'pip install -e ".[test]" && pytest' in lines
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for line in INSTALLS:
        found = INSTALL.fullmatch(line)
        assert found["extra"] is None or found["extra"] in extras, line
        then = {"pytest", "python -m lightning_gans.train", "jupyter execute notebooks/*.ipynb", None}
        assert found["then"] in then, line


@pytest.mark.parametrize("name", READMES)
def test_links_and_pictures_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", READMES[name]):
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


def test_every_package_is_in_the_picture_of_the_architecture():
    drawn = re.search(r"```text\n(conf/.*?)```", READMES["README.md"], re.DOTALL)[1]
    packages = {path.parent.name for path in (ROOT / "lightning_gans").glob("*/__init__.py")}
    assert set(re.findall(r"^  (\w+)/", drawn, re.MULTILINE)) == packages
    scripts = {path.name for path in (ROOT / "lightning_gans").glob("*.py") if not path.name.startswith("__")}
    assert set(re.findall(r"\w+\.py", drawn.partition("  config/")[0])) == scripts


def test_every_family_is_in_the_table():
    rows = re.findall(r"^\|.*`model=(\w+)` \|", READMES["README.md"], re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))


def test_every_choice_is_named():
    """Of every group, in backticks, where all groups are listed."""
    named = set(re.findall(r"`([\w=/]+)`", READMES["conf/README.md"]))
    for group in [path for path in CONF_DIR.rglob("*") if path.is_dir() and path.name not in ("common", "tuned")]:
        lacking = {path.stem for path in group.glob("*.yaml")} - named
        assert not lacking, group.name


def test_every_command_is_shown():
    scripts = re.findall(r"^lightning-gans-([\w-]+) = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {words_of(command)[0] for command in COMMANDS} == {name.replace("-", "_") for name in scripts}


def test_benchmarks_that_are_named_exist():
    named = re.findall(r"(?:benchmarks/|`)(\w+\.py)", READMES["benchmarks/README.md"])
    assert set(named) == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    for name in re.findall(r"`(benchmarks/\w+\.py)", PROSE):
        assert (ROOT / name).is_file(), name
    for script, flag in re.findall(r"`(?:python benchmarks/)?(\w+\.py)[^`]*?(--\w+)", READMES["benchmarks/README.md"]):
        assert flag in (ROOT / "benchmarks" / script).read_text(), (script, flag)


def keys_of(node, prefix=""):
    """Every dotted key of a config."""
    for key, value in node.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")


HAVE_MORE = [  # options that READMEs name, beside those of the commands as they are
    ("model=ctgan", "data=embedded_table"),
    ("data=table",),
    ("experiment=lucic_wgan",),
    ("model=lsgan", "model/augment=instance_noise", "extractor=classifier"),
    ("model=talking_heads", "data=avatar_heads"),
    *((f"logger={name}",) for name in ("mlflow", "wandb")),
    *(
        (f"model={name}",)
        for name in (
            *("acgan", "cyclegan", "infogan", "lapgan", "pix2pix", "semi_supervised", "srgan", "stackgan"),
            *("stylegan", "stylegan2"),
        )
    ),
    *(
        (f"data={name}",)
        for name in (
            "celeba",
            "avatars",
            "avatar_domains",
            "dataset",
            "digit_domains",
            "horse2zebra",
            "lsun",
            "next_frame",
            "paired",
            "talking_heads",
            "super_resolution",
        )
    ),
]
PLACEHOLDERS = ("key", "group", "install", "weights_only", "callbacks.NAME")  # what stands for an option, or is none


def test_every_option_that_is_named_exists():
    """Of some command, family, set, logger or extractor."""
    options = [word for span in SPANS if "-m lightning_gans." not in span for word in span.split() if "=" in word]
    options = {word.strip("'").partition("=")[::2] for word in options if re.match(r"'?[\w./]+=", word)}
    assert ("data.category", "church_outdoor") in options
    assert ("model/augment", "diffaugment") in options
    choices = {path.relative_to(CONF_DIR).with_suffix("").as_posix() for path in CONF_DIR.rglob("*.yaml")}
    groups = {choice.rpartition("/")[0] for choice in choices} - {""}
    configs = [compose(*context) for context in HAVE_MORE] + [
        compose(config=path.stem) for path in CONF_DIR.glob("*.yaml")
    ]
    known = {key for cfg in configs for key in keys_of(OmegaConf.to_container(cfg))}
    for key, value in options:
        if key in groups and value:
            named = re.sub(r"[\[\]]", "", value).split(",")
            assert {f"{key}/{choice}" for choice in named} <= choices, f"{key}={value}"
        elif key not in PLACEHOLDERS and not key.startswith(("hydra.", "hydra/")):
            assert key in known | groups, f"{key}={value}"


# ------------------------------------------------------------------------------------- commands


def single(words):
    """Of values that are swept the first, without what is Hydra's."""
    return [re.sub(r"=([^=,\[{]+),.*$", r"=\1", word) for word in words if not word.startswith(("sweep=", "hydra"))]


DOWNLOADED = {"mnist", "cifar10", "horse2zebra", "dcgan_celeba64", "pix2pix_facades", "biggan_imagenet128"}
DOWNLOADED |= {"stackgan_birds"}
DOWNLOADED |= {"torchvision.datasets.CIFAR10", "datasets.load_dataset"}


def is_run(line):
    """Whether a line runs here as it is: one process, images that are at hand, no sweep."""
    name, words = words_of(line)
    if name != "train":
        return name not in ("demo", "landmarks")  # that serves until it is stopped, this needs a package of the user's
    is_sweep = " -m " in line.removeprefix("python -m") or any(word.startswith("sweep=") for word in words)
    return not is_sweep and line.startswith("python") and not DOWNLOADED & {w.partition("=")[2] for w in words}


@pytest.mark.parametrize("line", [line for line in FREE if not is_run(line)])
def test_commands_of_large_trainings_compose(line):
    name, words = words_of(line)
    cfg = compose(*[word for word in single(words) if not word.startswith("resume=")], config=name)
    check_names(cfg, schemas.SCHEMAS[name])
    for word in words:
        if word.startswith("sweep="):
            sweep = yaml.safe_load((CONF_DIR / "sweep" / f"{word[6:]}.yaml").read_text())
            params = sweep["hydra"]["sweeper"]["params"]
            if "experiment" in params:  # the others are options of what it chooses
                cfg = compose(f"experiment={params.pop('experiment').partition(',')[0]}")
            assert set(params) <= set(keys_of(OmegaConf.to_container(cfg)))


PICTURES = {  # what is in a folder or zip; a picture of halves is twice as wide
    "photos": ("train", "test", "horses", "deer"),
    "photos.zip": tuple("abcde"),
    "samples": ("",),
    "captions": ("",),
    "fruit.zip": ("apples", "pears"),
    "summer": ("trainA",),
    "winter": ("trainB",),
    "halves": ("train",),
    "mine": ("maps", "photos"),
    "streets": ("train_img", "train_label", "train_inst"),
    "flowers": ("train",),
    "celeba_hq": ("",),
    "ffhq": ("images1024x1024/00000",),
}
MEANT = {
    "RUN_FOLDER": "outputs/mine",
    "DIR": "photos",
    "DIR_OR_ZIP": "photos",
    "PATH": "outputs/mine",
    "FOLDER": "outputs",
    "FILE.ckpt": "a.ckpt",
    "PICTURE": "photos/train/0.png",
    "FILE.csv": "people.csv",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with everything that READMEs name: pictures, published weights, an extractor, trainings."""
    folder = tmp_path_factory.mktemp("world")
    rng = torch.Generator().manual_seed(0)
    for name, parts in PICTURES.items():
        where = folder / f"unpacked_{name}" if name.endswith(".zip") else folder / name
        for part in parts:
            is_map = part in ("train_label", "train_inst")
            shape = (1 if is_map else 3, 32, 64 if name == "halves" else 32)
            for i in range(4):
                save(torch.randint(3 if is_map else 256, shape, generator=rng).byte(), where / part / f"{i}.png")
        if name.endswith(".zip"):
            shutil.make_archive(str(folder / name.removesuffix(".zip")), "zip", where)
    spec = importlib.util.spec_from_file_location("published", ROOT / "tests" / "weights" / "test_import_weights.py")
    published = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(published)
    for name in ("latest_net_G", "a_net_G_A", "a_net_G_B"):
        published.save(published.residual(blocks=6), folder / f"{name}.pth")
    run(folder / "outputs" / "mine", evaluation(), "data.image_size=32", model="wgan_gp")
    run(folder / "outputs" / "cgan", model="cgan")
    run(folder / "outputs" / "biggan", model="biggan")
    run(folder / "outputs" / "infogan", model="infogan")
    run(folder / "outputs" / "stylegan", model="stylegan2")
    run(folder / "outputs" / "stackgan", model="stackgan")
    for picture in (folder / "captions").glob("*.png"):
        picture.with_suffix(".txt").write_text(f"picture {picture.stem}", encoding="utf-8")
    write_table(census(160), folder / "people.csv", ".csv")
    run(folder / "outputs" / "ctgan_table", "data.val_fraction=0.2", model="ctgan")
    run(folder / "cyclegan", model="cyclegan")
    heads = run(folder / "outputs" / "talking_heads", model="talking_heads").data.examples(range(2))
    for entry, place in (("target", "frames"), ("source", "drawings")):
        for i, image in enumerate(to_uint8(heads[entry])):
            save(image, folder / "person" / place / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        options = ["data=digits", "data.limit=50", "out=mnist.pt", "epochs=1"]
        assert command_here("lightning_gans.train_extractor", *options, cwd=folder, monkeypatch=patch) == 0
    return folder


SMALL = {  # taken where the config has the key, in place of what is typed
    **{"data.identities": 2, "data.expressions_per_identity": 5, "data.frames": 2, "model.encoder.embedding_dim": 8},
    **{"data.image_size": 16, "data.limit": 8, "data.num_workers": 0, "data.num_labels": 3, "data.load_size": 20},
    **{"model.batch_size": 4, "model.g_batch_size": 4, "model.pool.size": 4},
    **{f"model.{name}.base_channels": 4 for name in ("generator", "discriminator", "encoder")},
    **{f"model.{name}.hidden": 8 for name in ("generator", "discriminator")},
    **{f"model.{name}.fmap_base": 64 for name in ("generator", "discriminator")},
    **{f"model.{name}.fmap_max": 8 for name in ("generator", "discriminator")},
    **{"model.generator.latent_dim": 8, "model.generator.max_channels": 8, "model.generator.blocks": 1},
    **{"model.generator.enhancer_blocks": 1, "model.discriminator.layers": 2, "model.mse_updates": 1},
    **{"model.discriminator.receptive_field": 16, "model.perceptual_weights": "null", "model.clusters": 2},
    **{"model.labels": 4, "model.coarse_updates": 1, "model.enhancer_updates": 1, "model.cluster_images": 4},
    **{"model.generator.style_dim": 8, "model.generator.mapping_layers": 2},
    **{"model.generator.channel_base": 64, "model.generator.channel_max": 8},
    **{"model.discriminator.group_size": 4, "model.growth.batch_sizes": "null", "model.growth.lr_factors": "null"},
    **{
        "model.discriminator.pac": 2,
        "model.discriminator.group_size": 4,
        "model.growth.batch_sizes": "null",
        "model.growth.lr_factors": "null",
    },
    **{"model.growth.fade_kimg": 0.004, "model.growth.stabilise_kimg": 0.004},
    **{"trainer.max_steps": 2, "max_kimg": "null", "max_epochs": "null", "trainer.devices": 1},
    **{"trainer.accelerator": "cpu", "trainer.precision": "32-true", "trainer.enable_progress_bar": "false"},
    **{"callbacks.evaluation": "null", "callbacks.samples": "null"},
    **{
        "model.generator.stage1_size": 8,
        "model.stage1_updates": 1,
        "model.text_encoder.updates": 2,
        "data.drawings": 1,
    },
    **{"model.text_encoder.widths": 4, "model.text_encoder.length": 32, "model.text_encoder.image_width": 2},
}
TRAININGS = [line for line in FREE if is_run(line) and words_of(line)[0] == "train"]


def filled(words):
    """Options by key, with what the pictures here are called in place of capitals."""
    return {key: MEANT.get(value, value) for key, _, value in (word.partition("=") for word in words)}


@pytest.mark.parametrize("line", [line for line in TRAININGS if " resume=" not in line])
def test_trainings_run(line, world, tmp_path, monkeypatch, capsys):
    """Tiny, for two updates."""
    typed = filled(words_of(line)[1])
    if typed.get("data") == "label_maps":
        typed["data.root"] = "streets"
    if typed.get("data") == "captions":
        typed["data.root"] = "captions"
    config = compose(*[f"{key}={value}" for key, value in typed.items()])
    now = {key: OmegaConf.select(config, key) for key in SMALL}
    typed |= {k: f"[{v}, {2 * v}]" if OmegaConf.is_list(now[k]) else v for k, v in SMALL.items() if now[k] is not None}
    words = [f"{key}={value}" for key, value in typed.items()]
    code = command_here("lightning_gans.train", *words, f"hydra.run.dir={tmp_path}", cwd=world, monkeypatch=monkeypatch)
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("line", [line for line in TRAININGS if " resume=" in line])
def test_resumed_trainings_run(line, world, tmp_path, monkeypatch, capsys):
    shutil.copytree(world / "outputs" / "mine", tmp_path / "run")
    typed = filled(words_of(line)[1]) | {"resume": tmp_path / "run", "trainer.max_steps": 5}
    words = [f"{key}={value}" for key, value in typed.items()]
    assert command_here("lightning_gans.train", *words, cwd=world, monkeypatch=monkeypatch) == 0
    assert "generator updates  5" in capsys.readouterr().out


OTHERS = [line for line in FREE if words_of(line)[0] != "train" and is_run(line)]
IN_SMALL = {
    "sample": {"n": 10},
    "evaluate": {"n": 8, "channels": 1, "image_size": 32},
    "interpolate": {"rows": 2, "steps": 2, "classes": None},
    "project": {"checkpoint": "outputs/stylegan", "steps": 2},
    "translate": {"checkpoint": "cyclegan"},
    "train_encoder": {"data.drawings": 1, "encoder.updates": 2, "encoder.widths": "[4,4]", "encoder.length": 32},
    "train_extractor": {"data": "digits", "epochs": 1, "data.root": None, "data.limit": 50},
    "import_weights": {"image_size": 32},
    "data_check": {"data.num_workers": 0},
}
PRINTED = {
    "sample": "10 samples",
    "evaluate": "fd_",
    "report": "mine",
    "data_check": "16",
    "data_check data=captions": "4 readable",
    "export": "largest difference",
}


@pytest.mark.parametrize("line", OTHERS)
def test_other_commands_run(line, world, tmp_path, monkeypatch, capsys):
    name, words = words_of(line)
    compose(*words, config=name)  # with what may be left out
    _, words = words_of(line, optional=False)
    typed = filled(words) | IN_SMALL.get(name, {})
    if typed.get("data") == "captions":
        typed["data.root"] = "captions"
    if name == "evaluate":
        typed.setdefault("extractor", "digits")
    if name == "evaluate" and "checkpoint" in typed:
        typed = {key: value for key, value in typed.items() if key not in ("channels", "image_size")}
    if "out" in typed:
        typed["out"] = tmp_path / Path(str(typed["out"])).name
    words = [f"{key}={value}" for key, value in typed.items() if value is not None]
    code = command_here(f"lightning_gans.{name}", *words, cwd=world, monkeypatch=monkeypatch)
    said = capsys.readouterr()
    assert code == 0, said.err
    scores = {"outputs/ctgan_table": "column_tv", "outputs/stackgan": "attribute_accuracy"}
    printed = scores.get(str(typed.get("checkpoint"))) if name == "evaluate" else None
    printed = printed or PRINTED.get(f"{name} data={typed.get('data')}")
    assert (printed or PRINTED.get(name, "")) in said.out


# ------------------------------------------------------------------------------------- Python, and a user's own files


def test_python_runs(tmp_path, monkeypatch):
    """Every block that is no file of a user's, in the folder of a training."""
    blocks = [block for _, language, block in BLOCKS if language == "python" and not FILE.match(block)]
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        for folder in re.findall(r'load\("(.*?)"\)', block):
            run(folder)
        scope = {}
        block = block.replace('"data=digits"', ", ".join(map(repr, tiny())))
        small = ", ".join(f'{network}={{"base_channels": 4}}' for network in ("generator", "discriminator"))
        block = block.replace("image_size=8, ", f"image_size=8, {small}, ")
        exec(block.replace("max_steps=100", "max_steps=2").replace("max_steps=200", "max_steps=4"), scope)
        if "made" in scope:  # rows of a table
            assert scope["made"].shape == (10, 2)
            continue
        if "theory" in scope:  # numbers are printed
            continue
        if "lines" in scope:  # a face and its drawing
            assert [scope[name].shape for name in ("pixels", "lines")] == [(128, 128, 3), (128, 128)]
            continue
        assert scope["images"].shape[:2] == (16, 1)
    assert newest("outputs/mine")["global_step"] == 4


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's folder with every file that a README shows."""
    for _, _, block in BLOCKS:
        if found := FILE.match(block):
            (tmp_path / found[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / found[1]).write_text(block.removeprefix(found[0]))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_gan"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", [name for name, text in READMES.items() if any(line in text for line in OWN)])
def test_commands_with_files_of_ones_own_run(name, own, monkeypatch, capsys):
    """One after another, as they are written; each training goes on for some updates."""
    small = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "callbacks.evaluation.n=8"]
    for steps, line in enumerate([line for line in OWN if line in READMES[name]], 2):
        command, *words = shlex.split(line.removeprefix("python -m "))
        words += [*small, f"trainer.max_steps={steps}"] if command.endswith("train") else ["n=8"]
        assert command_here(command, *words, cwd=own, monkeypatch=monkeypatch) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert (f"generator updates  {steps}" if command.endswith("train") else "8") in said
    cfg = compose("hydra.searchpath=[my_conf]", "model=mine", "data=squares")
    assert (cfg.model.batch_size, cfg.model.generator._target_) == (32, "my_gan.networks.Generator")


def test_what_is_said_of_others_holds(own, monkeypatch):
    """A dict is laid over the family's, and a plain data set is refused by the base that it lacks."""
    monkeypatch.chdir(own)
    path = "hydra.searchpath=[my_conf]"
    with pytest.raises(ValueError, match=r"model\.generator\.\w+: unknown\. .* is laid over"):
        build(compose(path, "model.generator={_target_: my_gan.networks.Generator}"), own)
    (own / "my_gan" / "plain.py").write_text("from torch.utils.data import Dataset\nclass Pics(Dataset): ...\n")
    with pytest.raises(
        ValueError, match=r"data: is a Pics; its _target_ must name a lightning_gans\.data\.base\.ImageDataModule"
    ):
        build(compose(path, "model=mine", "data=squares", "data._target_=my_gan.plain.Pics"), own)
