"""CTGAN and TVAE: closed forms, the paper's sizes, conditions, and the errors that public code is known for."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lightning_gans
from conftest import COLUMNS, newest, refusal, run, tiny, tiny_model
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.batches import EndlessBatches
from lightning_gans.data.table import ByLevel, EmbeddedTable, EncodedRows, FrameTable
from lightning_gans.inference import rows as rows_module
from lightning_gans.inference.rows import check_out, sample_rows, write_rows
from lightning_gans.models import CTGAN
from lightning_gans.models.levels import ColumnLevels, table_of
from lightning_gans.networks.table import Decoder, Discriminator, Generator, gumbel
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule
from lightning_gans.tables.codec import Table
from lightning_gans.tables.columns import Column, to_text
from lightning_gans.tables.drawing import cumulative, draw_levels
from lightning_gans.tables.embedded import census
from lightning_gans.tables.fitting import fit_table
from lightning_gans.tables.modes import Modes, assign, fit_modes
from lightning_gans.tables.reading import RawTable


def table_with(width, conditions):
    """A table whose rows have ``width`` numbers, ``conditions`` of them levels."""
    levels = tuple(f"l{i}" for i in range(conditions))
    columns = [Column("levels", "categorical", levels=levels, counts=(1,) * conditions)]
    rest = width - conditions
    means = tuple(float(i) for i in range(rest - 1))
    columns.append(Column("x", "continuous", means=means, stds=(1.0,) * (rest - 1), counts=(1,) * (rest - 1)))
    return to_text(columns)


@pytest.mark.parametrize(("width", "conditions", "g", "d"), [(100, 40, 221_188, 424_705), (156, 104, 302_076, 731_905)])
def test_networks_have_the_published_sizes(width, conditions, g, d):
    generator = Generator(columns=table_with(width, conditions), conditions=conditions)
    discriminator = Discriminator(channels=width, conditions=conditions)
    assert (generator.width, generator.num_conditions) == (width, conditions)
    assert [sum(p.numel() for p in network.parameters()) for network in (generator, discriminator)] == [g, d]


# ------------------------------------------------------------------------------ mode-specific normalisation


def test_modes_are_found_and_numbers_are_places_within_them():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(-50, 1, 3000), rng.normal(10, 2, 1000), np.zeros(1000)])
    modes = fit_modes(values, most=10, subsample=10_000, single=0.05, seed=0)
    assert modes.stds[0] == modes.means[0] == 0
    near = [np.argmin(abs(modes.means - mean)) for mean in (-50, 10)]
    assert modes.weights.sum() == pytest.approx(1)
    assert modes.weights[0] == pytest.approx(0.2)
    assert abs(modes.means[near] - [-50, 10]).max() < 1
    mode, alpha = assign(values, modes, rng.random(5000))
    assert (mode[-1000:] == 0).all()
    assert (mode[:-1000] > 0).all()
    assert abs(modes.means[mode] + 4 * modes.stds[mode] * alpha - values).max() < 1e-9
    again = fit_modes(values, most=10, subsample=10_000, single=0.05, seed=0)
    assert all((a == b).all() for a, b in zip(modes, again, strict=True))
    paper = fit_modes(values, most=10, subsample=2000, single=1.0, seed=0)
    assert (paper.stds > 0).all()


def test_a_number_between_two_modes_has_each_by_its_posterior():
    modes = Modes(np.array([0.0, 4.0]), np.array([1.0, 1.0]), np.array([0.75, 0.25]))
    u = (np.arange(10_000) + 0.5) / 10_000
    mode, alpha = assign(np.full(10_000, 2.0), modes, u)
    assert (mode == 0).mean() == pytest.approx(0.75, abs=1e-3)  # both densities are the same there
    assert set(alpha.round(6)) == {0.5, -0.5}
    mode, alpha = assign(np.array([-6.0, 11.0]), modes, np.full(2, 0.5))
    assert (mode.tolist(), alpha.tolist()) == ([0, 1], [-1, 1])  # beyond four deviations of all


@pytest.mark.parametrize("cells", [["7.5"] * 30 + ["8.25", "9.125"], [f"{i}" for i in range(25)] * 3])
def test_a_column_with_one_mode_trains(cells, tmp_path):
    """Public code fails where a column has a single one."""
    raw = RawTable(("x", "c"), (cells, ["a", "b"] * (len(cells) // 2) + ["a"] * (len(cells) % 2)))
    table = fit_table(raw, max_modes=1, max_levels=1)
    assert table.encoded[0].width == len(table.encoded[0].means) >= 1
    module = lightning_gans.create_model("ctgan", columns=table.text, batch_size=20, **{"generator.hidden": [8]})
    batch = {"image": table.rows(table.encode(raw)).repeat(2, 1)[:20]}
    for terms in (module.discriminator_loss(batch), module.generator_loss(batch)):
        assert all(torch.isfinite(term) for term in terms.values())


# ------------------------------------------------------------------------------ conditions


def test_levels_are_drawn_by_their_logarithms_in_training_and_by_their_rows_in_sampling():
    counts = [(900, 90, 10), (7, 0, 3)]
    levels = ColumnLevels(counts)
    u = torch.rand(200_000, 2, generator=torch.Generator().manual_seed(0))
    for drawn, weigh in ((levels.draw(u), float), (levels.draw_evenly(u), math.log1p)):
        shares = torch.bincount(drawn, minlength=6) / len(drawn)
        weights = [[weigh(n) for n in column] for column in counts]
        expected = [w / sum(column) / 2 for column in weights for w in column]
        assert shares.tolist() == pytest.approx(expected, abs=4e-3)
    assert not (levels.draw(u) == 4).any()
    ends = cumulative([torch.tensor(column) for column in counts], logarithmic=False)
    edges = torch.tensor([[0.0, 0.0], [0.999999, 0.999999], [0.5, 0.0]])
    assert draw_levels(ends, 2, edges).tolist() == [0, 5, 3]
    assert draw_levels(torch.zeros(0), 0, edges).tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def rows():
    """Encoded rows of the census, and the table."""
    table = Table.from_text(COLUMNS)
    return EncodedRows(table, table.encode(census(50)))


def test_real_rows_have_the_level_that_they_were_drawn_by(rows):
    """Public code hands out a wrong column."""
    table = rows.table
    schedule = TrainingSchedule([Phase("training", None, 400)])
    batches = iter(EndlessBatches(50, schedule.plan, start=lambda: (0, 0)))
    request = next(batches)
    batch = ByLevel(rows).get_batch(request)
    positions = torch.tensor(table.condition_positions)
    assert batch["image"].gather(1, positions[batch["category"]][:, None]).min() == 1
    assert torch.equal(ByLevel(rows).get_batch(request)["category"], batch["category"])
    column = torch.tensor([i for i, counts in enumerate(table.condition_counts) for _ in counts])[batch["category"]]
    assert torch.bincount(column).min() > 400 / len(table.discrete) * 0.6
    found = ColumnLevels(table.condition_counts).of_rows(batch["image"], positions, torch.rand(400))
    assert batch["image"].gather(1, positions[found][:, None]).min() == 1


def test_every_level_has_a_number_and_a_place(rows):
    table = rows.table
    for place in table.discrete:
        for level in range(table.encoded[place].width):
            number = table.condition(place, level)
            row = torch.zeros(1, table.width)
            row[0, table.condition_positions[number]] = 1
            assert table.codes(row).chosen[0, place] == level


# ------------------------------------------------------------------------------ networks and losses


def test_rows_are_tanh_and_gumbel_softmax_of_the_last_layers_outputs():
    generator = Generator(columns=COLUMNS, conditions=16, latent_dim=5, hidden=[7, 6], norm=None).double()
    table = generator.table
    z, c = torch.randn(9, generator.latent_dim, dtype=torch.float64), torch.arange(9)
    h = torch.cat([z[:, :5], F.one_hot(c, 16).double()], 1)
    state = generator.state_dict()
    for i in (0, 1):
        h = torch.cat([h, F.relu(h @ state[f"blocks.{i}.0.weight"].T + state[f"blocks.{i}.0.bias"])], 1)
    raw = h @ state["last.weight"].T + state["last.bias"]
    made = generator(z, c)
    s = table.num_alphas
    assert torch.allclose(made[:, :s], raw[:, :s].tanh())
    u = torch.distributions.Normal(0.0, 1.0).cdf(z[:, 5:])
    for start, column in zip(table.starts, table.encoded, strict=True):
        own = slice(start, start + column.width)
        noise = -torch.log(-torch.log(u[:, start - s : start - s + column.width]))
        assert torch.allclose(made[:, own], F.softmax((raw[:, own] + noise) / 0.2, 1), atol=1e-9)
    place = table.discrete[1]
    level = table.condition(place, 1)
    own = raw[:, table.starts[place] : table.starts[place] + table.encoded[place].width]
    expected = F.cross_entropy(own, torch.ones(9, dtype=torch.int64), reduction="none")
    assert torch.allclose(generator.nats_of(raw, torch.full((9,), level)), expected)


def test_noise_is_gumbel_whatever_the_latents():
    """Mean 0.5772, variance pi^2 / 6."""
    rng = torch.Generator().manual_seed(0)
    n = 200_000
    draws = {
        "normal": torch.randn(n, generator=rng),
        "uniform": torch.rand(n, generator=rng) * 2 - 1,
        "unit_uniform": (torch.rand(n, generator=rng) * 2 - 1) * 3**0.5,
    }
    for latent, drawn in draws.items():
        noise = gumbel(drawn, latent)
        assert noise.mean() == pytest.approx(0.5772, abs=0.02), latent
        assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.05), latent


@pytest.mark.usefixtures("float64")
def test_the_discriminators_loss_is_the_papers_over_packs():
    module = tiny_model("ctgan", **{"discriminator.dropout": 0.0, "batch_size": 8}).double()
    table, pac = module.generator.table, 2
    real = table.rows(table.encode(census(50).take(range(8)))).double()
    batch = {"image": real, "category": torch.arange(8)}
    module._global_rng().manual_seed(3)
    terms = module.discriminator_loss(batch)
    rng = torch.Generator().manual_seed(3)
    order = torch.randperm(8, generator=rng)
    z = torch.randn(8, module.latent_dim, generator=rng)
    u = torch.rand(4, 1, generator=rng)
    with torch.no_grad():
        fake = module.generator(z.double(), torch.arange(8)[order])

    def packs(rows, category):
        whole = torch.cat([rows, F.one_hot(category, 16).double()], 1)
        return torch.stack([torch.cat([whole[i + 4 * k] for k in range(pac)]) for i in range(4)])

    one, two = packs(real, torch.arange(8)), packs(fake, torch.arange(8)[order])
    between = (u * one + (1 - u) * two).requires_grad_()
    (gradient,) = torch.autograd.grad(module.discriminator(between).sum(), between)
    assert terms["real"].item() == pytest.approx(-module.discriminator(one).mean().item())
    assert terms["fake"].item() == pytest.approx(module.discriminator(two).mean().item())
    assert terms["penalty"].item() == pytest.approx(10 * (gradient.norm(dim=1) - 1).square().mean().item(), rel=1e-5)


def test_reused_rows_serve_both_updates():
    module = tiny_model("ctgan", **{"discriminator.dropout": 0.0, "batch_size": 8, "reuse_fakes": True})
    table = module.generator.table
    batch = {"image": table.rows(table.encode(census(50).take(range(8)))), "category": torch.arange(8)}
    module.discriminator_loss(batch)
    rows, (asked,), raw = module._fake, module._fake_conditions, module._raw
    assert sorted(asked.tolist()) == list(range(8))
    terms = module.generator_loss(batch)
    assert module._fake is rows
    assert terms["adversarial"].item() == pytest.approx(-module.discriminator(module.packed(rows, asked)).mean().item())
    assert terms["condition"].item() == pytest.approx(module.generator.nats_of(raw, asked).mean().item())
    sum(terms.values()).backward()
    assert all(weight.grad is not None for weight in module.generator.parameters())


def test_few_rows_make_one_pack():
    network = Discriminator(channels=3, conditions=0, pac=4, hidden=[5])
    packs = network.packed(torch.arange(6.0).view(2, 3), torch.zeros(2, dtype=torch.int64))
    assert packs.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]]
    assert network(packs).shape == (1,)


def test_the_decoders_likelihood_and_draws():
    decoder = Decoder(columns=COLUMNS, latent_dim=4, hidden=[6]).double()
    table, s = decoder.table, decoder.num_alphas
    rows = table.rows(table.encode(census(50).take(range(5)))).double()
    raw = torch.randn(5, table.width, dtype=torch.float64)
    normal = torch.distributions.Normal(raw[:, :s].tanh(), decoder.log_deltas.exp())
    expected = -normal.log_prob(rows[:, :s]).sum(1)
    for start, column in zip(table.starts, table.encoded, strict=True):
        own = slice(start, start + column.width)
        expected = expected + F.cross_entropy(raw[:, own], rows[:, own].argmax(1), reduction="none")
    assert torch.allclose(decoder.negative_log_likelihood(raw, rows), expected)
    made = decoder(
        torch.randn(4000, 4 + table.width, dtype=torch.float64) * torch.cat([torch.zeros(4), torch.ones(table.width)])
    )
    raw = decoder.raw(torch.zeros(1, 4, dtype=torch.float64))[0]
    assert set(made[:, s:].unique().tolist()) == {0.0, 1.0}
    start, width = table.starts[0], table.encoded[0].width
    shares = made[:, start : start + width].mean(0)
    assert torch.allclose(shares, F.softmax(raw[start : start + width], 0), atol=0.03)


# ------------------------------------------------------------------------------ use


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny CTGAN after some updates, loaded from its file alone."""
    folder = tmp_path_factory.mktemp("ctgan")
    run(folder, "trainer.max_steps=30", "model.batch_size=40", model="ctgan")
    return lightning_gans.load(folder), folder


def test_samples_are_made_in_evaluation_mode_and_are_a_function_of_seed_and_index(trained):
    """Public code samples with the batch's own statistics."""
    module = trained[0]
    module.train()
    whole = module.sample(30, seed=2)
    alone = torch.cat(list(module.samples([7], seed=2)))
    assert torch.allclose(whole[7], alone[0], atol=1e-5)
    assert module.training
    module.eval()
    one, two, other, seventh = (
        [sample_rows(module, n, seed=seed, batch_size=size).table.column(name) for name in ("age", "sex", "region")]
        for n, seed, size in ((20, 2, 64), (20, 2, 3), (20, 3, 64), ([7], 2, 64))
    )
    assert one == two != other  # decimals of wide modes are rounded elsewhere
    assert seventh == [column[7:8] for column in one]


def test_where_is_kept_by_every_row(trained, tmp_path):
    module = trained[0]
    asked = {"sex": "F", "region": ["north", "east"], "income": [1000, 90_000], "married": True}
    found = sample_rows(module, 40, where=asked)
    assert len(found.table) == 40
    assert set(found.table.column("sex")) == {"F"}
    assert set(found.table.column("region")) <= {"north", "east"}
    assert set(found.table.column("married")) == {"yes"}
    assert all(1000 <= float(cell) <= 90_000 for cell in found.table.column("income"))
    assert found.drawn >= 40
    assert found.table == sample_rows(module, 40, where=asked, batch_size=64).table
    missing = sample_rows(module, 5, where={"age": None}).table.column("age")
    assert set(missing) == {None}
    told = write_rows(found, check_out(tmp_path / "rows.csv", overwrite=False))
    assert told == f"40 samples, of {found.drawn:,} drawn, in {tmp_path / 'rows.csv'}"
    known = {name: set(census(50).column(name)) for name in ("sex", "region", "schooling", "job", "married")}
    everything = sample_rows(module, 300).table
    assert all(set(everything.column(name)) <= levels for name, levels in known.items())


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"sexx": "F"}, "where.sexx: unknown. Did you mean 'sex'"),
        ({"sex": "X"}, "where.sex=X: must be among F, M"),
        ({"sex": []}, "must name a value"),
        ({"sex": None}, "must be among F, M"),
        ({"country": "Erewhon"}, "unknown"),
        ({"income": [5, 1]}, r"must be \[lowest, highest\]"),
        ({"income": "much"}, r"must be \[lowest, highest\]"),
        ({"income": [1e9, 2e9]}, "the table has values from"),
        ({"income": None}, "every row of the table has a value"),
        ({"income": [20_000, 20_000.01], "sex": "F"}, "only 0 of 4,096 rows drawn have it"),
    ],
)
def test_what_cannot_be_asked_for_is_told(trained, where, said, monkeypatch):
    monkeypatch.setattr(rows_module, "FEWEST_DRAWS", 2000)
    with pytest.raises(ConfigError, match=said):
        sample_rows(trained[0], 1, where=where)


def test_places_where_no_table_goes_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("x")
    for out, said in (("t.png", "ends in .csv"), ("t.csv", "is there"), ("", "ends in")):
        with pytest.raises(ConfigError, match=said):
            check_out(tmp_path / out, overwrite=False)
    assert check_out(tmp_path / "t.csv", overwrite=True) == tmp_path / "t.csv"


def test_a_checkpoint_holds_no_row_of_the_table(trained):
    """Categories and modes alone: no tensor has a side as long as the table, no text is an identifier or an income."""
    content = newest(trained[1])
    texts, sizes = [], []

    def walk(value):
        if isinstance(value, dict):
            for key, one in value.items():
                walk(key), walk(one)
        elif isinstance(value, list | tuple):
            for one in value:
                walk(one)
        elif isinstance(value, torch.Tensor):
            sizes.append(tuple(value.shape))
        else:
            texts.append(str(value))

    walk(content)
    whole = "\n".join(texts)
    raw = census(50)
    assert not any(50 in shape for shape in sizes)
    assert not any(cell in whole for cell in raw.column("person_id"))
    low_high = {f"{end(map(float, raw.column('income')))}" for end in (min, max)}
    assert [cell for cell in raw.column("income") if cell in whole and str(float(cell)) not in low_high] == []


def test_a_frame_trains_from_python_and_comes_back(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"x": np.linspace(0, 1, 60).round(3), "c": ["a", "b", "c"] * 20})
    data = FrameTable(frame, val_fraction=0.25)
    assert (len(data.train_images), len(data.val_images), data.kind) == (45, 15, "table")
    assert data.shape == (data.table.width,)
    module = lightning_gans.create_model("tvae", columns=data.table.text, **{"encoder.hidden": [8]})
    found = table_of(module).frame(module.sample(4))
    assert list(found.columns) == ["x", "c"]
    assert set(found["c"]) <= {"a", "b", "c"}
    with pytest.raises(ConfigError, match="not mirrored"):
        FrameTable(frame, flip=True)
    with pytest.raises(ConfigError, match="columns: missing; ctgan makes rows"):
        lightning_gans.create_model("ctgan")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["model.batch_size=9"], "model.batch_size=9: must divide by packs of 2"),
        (["model.latent=uniform"], "must be normal"),
        (["+model.augment._target_=lightning_gans.augment.diffaugment.DiffAugment"], "rows are not augmented"),
        (["model.generator.conditions=3"], "the table has 16 for both"),
        (["data.channels=9"], "takes packs of"),
        (["data.num_classes=3"], "tables have columns, not classes"),
        (["data.columns=x"], "is no description of a table"),
        (["data=digits", "data.image_size=16"], "data"),
    ],
)
def test_what_does_not_fit_is_refused_before_data_is_read(tmp_path, options, said):
    assert said in refusal(tmp_path, *tiny("ctgan"), *options)


def test_columns_are_found_where_a_config_has_none_and_are_kept(tmp_path):
    """And a plain WGAN-GP trains on rows by the same data."""
    left_out = ("data.columns", "data.channels", "data.conditions")
    options = [option for option in tiny("ctgan") if not option.startswith((*left_out, "model.", "model="))]
    network = ["model/network=table", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]"]
    options += ["model=wgan_gp", *network, "model.batch_size=8", "data.max_modes=2", "data.max_levels=5"]
    made = run(tmp_path, *options, "trainer.max_steps=2", tiny_options=False)
    found = made.cfg.data.columns
    kept, expected = (json.loads(text, parse_float=lambda value: f"{float(value):.6g}") for text in (found, COLUMNS))
    assert kept == expected  # the last bits of a mixture depend on the processor
    assert table_of(lightning_gans.load(tmp_path)).text == found
    assert len(sample_rows(lightning_gans.load(tmp_path), 7, where={"sex": "M"}).table) == 7
    assert EmbeddedTable.learn({"columns": COLUMNS}) == {}


def test_classes_say_their_options():
    assert CTGAN.conditions == ("category",)
    assert CTGAN.data_kinds == ("table",)
