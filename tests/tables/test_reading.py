"""Tables as files and frames: what is read, what is refused in one line, what is written."""

import csv

import pandas as pd
import pytest

from lightning_gans.config.errors import ConfigError
from lightning_gans.tables.columns import from_text
from lightning_gans.tables.embedded import census, embedded_table
from lightning_gans.tables.fitting import fit_table
from lightning_gans.tables.reading import RawTable, formulas, from_frame, read_table, to_frame, write_table


def written(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a,b\n1,x\n,y\n", "t.csv"),
        ("a;b\n1;x\n;y\n", "t.csv"),
        ("a\tb\n1\tx\nNA\ty\n", "t.tsv"),
        ("\ufeffa,b\r\n1,x\r\n?,y\r\n\r\n", "t.csv"),
        ('"a","b"\n"1","x"\n" ","y"\n', "t.txt"),
    ],
)
def test_separators_marks_and_missing_values(tmp_path, content, name):
    found = read_table(written(tmp_path, content, name))
    assert found == RawTable(("a", "b"), (["1", None], ["x", "y"]))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("a,b\n1,2\n3\n", {}, "line 3 has 1 cells and the first line 2; data.on_error=skip"),
        ("a,b\n1,2,3\n", {}, "line 2 has 3 cells"),
        ("a,a\n1,2\n", {}, "has the column 'a' twice"),
        ("", {}, "is empty"),
        ('a,b\n"1,2\n', {}, "cannot be read"),
        (b"a,b\n\xff\xfe,2\n", {}, "data.encoding=utf-8: .* is not in it .*0xff"),
        ("a,b\n1,2\n", {"encoding": "no-such"}, "data.encoding=no-such: is no encoding"),
        ("a,b\n1,2\n", {"encoding": "hex"}, "data.encoding=hex: is no encoding"),
        ("a,b\n1,2\n", {"separator": "::"}, "must be one character"),
        ("a\n" + "x" * 200_000 + "\n", {}, "line 2 cannot be read: field larger"),
        (b"PAR1 no parquet PAR1", {"name": "t.parquet"}, "cannot be read as Parquet"),
    ],
)
def test_what_strangers_send_is_refused_in_one_line(tmp_path, content, options, said):
    path = written(tmp_path, content, options.pop("name", "t.csv"))
    with pytest.raises(ConfigError, match=said) as refused:
        read_table(path, **options)
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).isprintable()


def test_bad_lines_can_be_left_out_and_are_counted(tmp_path):
    found = read_table(written(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n"), on_error="skip")
    assert (found.columns, found.skipped) == ((["1", "7"], ["2", "8"]), 2)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match="is a folder"):
        read_table(str(tmp_path))


KINDS = {
    "person_id": "identifier",
    "age": "integer",
    "sex": "categorical",
    "region": "categorical",
    "schooling": "categorical",
    "job": "categorical",
    "married": "boolean",
    "children": "integer",
    "income": "continuous",
    "capital": "integer",
    "employed_since": "date",
    "country": "constant",
}


def test_types_are_found_and_values_come_back_as_they_were():
    """Missing ones, decimals, dates and single values included; identifiers are made anew."""
    raw = census(800)
    table = fit_table(raw)
    assert {column.name: column.kind for column in table.columns} == KINDS
    back = table.decode(table.rows(table.encode(raw)))
    for name in raw.names:
        if name != "person_id":
            differing = sum(a != b for a, b in zip(raw.column(name), back.column(name), strict=True))
            assert differing <= 2, name  # numbers beyond four standard deviations of every mode
    made = back.column("person_id")
    assert len(set(made)) == len(made)
    assert made[:2] == ["A000000", "A000001"]
    assert embedded_table("iris").names[-1] == "target"


COLUMNS = {
    "missing": ([None] * 60, "missing"),
    "gaps": (["x", None] * 30, "categorical"),
    "flags": (["0", "1", "1"] * 20, "boolean"),
    "counts": ([str(i % 7) for i in range(60)], "integer"),
    "row": ([str(i) for i in range(60)], "identifier"),
    "long": (["12345678901234567890"] * 59 + ["2"], "identifier"),
    "user_id": ([str(7 * i + 3) for i in range(60)], "identifier"),
    "prices": ([f"{1.5 * i + 1:.2f}" for i in range(60)], "continuous"),
    "notes": ([f"note {'abcdefgh'[i % 8]} {i}" for i in range(60)], "identifier"),
    "day": ([f"{1 + i % 28:02d}.03.2024" for i in range(60)], "date"),
    "at": ([f"2024-03-{1 + i % 28:02d} 12:{i:02d}:00" for i in range(60)], "date"),
    "words": (["nan", "inf", "1e999"] * 20, "categorical"),
    "large": ([str(10**6 + 17 * i * i) for i in range(60)], "integer"),
    "scientific": ([f"{1.2345 + i:.4f}e-12" for i in range(60)], "continuous"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_each_type_of_column(name):
    cells, kind = COLUMNS[name]
    raw = RawTable(("other", name), (["a", "b"] * 30, cells))
    table = fit_table(raw, max_levels=5)
    column = table.columns[1]
    assert column.kind == kind
    back = table.decode(table.rows(table.encode(raw))).column(name)
    if kind == "identifier":
        assert len(set(back)) == 60
    elif kind == "missing":
        assert set(back) == {None}
    else:
        if kind == "continuous":
            cells, back = ([float(text) for text in side] for side in (cells, back))
            assert back == pytest.approx(cells, rel=1e-3)  # a float32 of the mode's width; decimals are rounded
        assert sum(a != b for a, b in zip(cells, back, strict=True)) <= (60 if name == "scientific" else 0)


def test_types_can_be_said_and_wrong_ones_are_refused():
    raw = RawTable(("zip", "x"), ([f"{i:05d}" for i in range(40)], [f"{i / 7:.3f}" for i in range(40)]))
    asked = fit_table(raw, types={"zip": "categorical", "x": "continuous"}, max_categories=10)
    assert [column.kind for column in asked.columns] == ["categorical", "continuous"]
    assert asked.columns[0].pooled == 31
    assert asked.columns[0].levels[-1] == "(other)"
    for types, said in (
        ({"y": "integer"}, "data.types.y: unknown"),
        ({"x": "integer"}, "data.types.x=integer: the column has the value"),
        ({"x": "date"}, "known formats"),
        ({"x": "boolean"}, "has 40 values"),
        ({"x": "text"}, "must be continuous, integer"),
    ):
        with pytest.raises(ConfigError, match=said):
            fit_table(raw, types=types)


def test_rare_categories_are_pooled_so_that_memory_is_bounded():
    cells = [f"city {i // 3}" for i in range(3000)]
    table = fit_table(RawTable(("city", "x"), (cells, ["a", "b", "b"] * 1000)), max_categories=50)
    codes = table.encode(RawTable(("city", "x"), (cells, ["a", "b", "b"] * 1000)))
    assert (table.width, table.num_conditions) == (52, 52)
    assert (codes.chosen.shape, codes.chosen.element_size()) == ((3000, 2), 4)  # not (3000, 1002) floats
    assert sum(table.columns[0].counts) == 3000
    assert table.columns[0].pooled == 951


HOSTILE = ["${oc.env:HOME}", "???", "a\nb", 'say "x"', "=SUM(A1)", "\u202e", "☃", "$", "(other)", " x", ""]


def test_texts_of_any_kind_survive_config_and_csv(tmp_path):
    """Interpolations, markers, quotes and line ends are text."""
    raw = RawTable(("${x}", "b"), ([*HOSTILE[:-1], None] * 3, ["u", "v", "w"] * 11))
    table = fit_table(raw)
    assert "$" not in table.text
    assert "\n" not in table.text
    assert from_text(table.text) == table.columns
    back = table.decode(table.rows(table.encode(raw)))
    assert back == raw
    write_table(back, tmp_path / "t.csv", ".csv")
    again = read_table(str(tmp_path / "t.csv"))
    assert again.columns[0][:10] == raw.columns[0][:10]
    assert again.columns[0][10] is None
    assert formulas(back) == ["${x}"]
    assert formulas(RawTable(("n",), (["-3", "+4", None],))) == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"version":2,"columns":[]}', '{"version":1,"columns":[{"name":"a"}]}']
)
def test_malformed_descriptions_are_refused(text):
    with pytest.raises(ConfigError, match="is no description of a table"):
        from_text(text)


@pytest.mark.parametrize(
    "column",
    [
        '{"name":"a","kind":"text"}',
        '{"name":"a","kind":"integer","means":[1,2],"stds":[1],"counts":[1,2]}',
        '{"name":"a","kind":"integer","means":[1e999],"stds":[1],"counts":[1]}',
        '{"name":"a","kind":"boolean","levels":["x"],"counts":[]}',
        '{"name":1,"kind":"boolean","levels":["x"],"counts":[1]}',
        '{"name":"a","kind":"boolean","os":"x"}',
    ],
)
def test_malformed_columns_are_refused(column):
    with pytest.raises(ConfigError, match="is no description of a table"):
        from_text('{"version":1,"columns":[' + column + "]}")


def test_frames_in_and_out(tmp_path):
    frame = pd.DataFrame(
        {
            "n": pd.array([1, 2, None] * 10, dtype="Int64"),
            "f": [0.5, 1.25, float("nan")] * 10,
            "b": [True, False, True] * 10,
            "d": pd.to_datetime(["2020-01-02", "2021-03-04", None] * 10),
            "c": pd.Categorical(["x", "y", "x"] * 10),
        }
    )
    raw = from_frame(frame)
    table = fit_table(frame)
    assert [column.kind for column in table.columns] == ["integer", "continuous", "boolean", "date", "categorical"]
    back = table.frame(table.rows(table.encode(raw)))
    assert back["n"].tolist()[:2] == [1, 2]
    assert back["n"].isna().sum() == back["f"].isna().sum() == back["d"].isna().sum() == 10
    assert back["b"].dtype == bool
    assert back["d"].iloc[0] == pd.Timestamp("2020-01-02")
    assert back["c"].tolist() == ["x", "y", "x"] * 10
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(str(tmp_path / "t.parquet")) == raw
    write_table(raw, tmp_path / "u.parquet", ".parquet")
    assert read_table(str(tmp_path / "u.parquet")) == raw
    assert list(to_frame(raw, ["categorical"] * 5).columns) == list("nfbdc")
    with pytest.raises(ConfigError, match="must be a pandas DataFrame"):
        from_frame([1, 2])
    with pytest.raises(ConfigError, match="twice"):
        from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_table_of_one_column_keeps_its_missing_rows(tmp_path):
    raw = RawTable(("a",), (["x", None, "y"],))
    write_table(raw, tmp_path / "t.csv", ".csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["a"], ["x"], [""], ["y"]]
    assert read_table(str(tmp_path / "t.csv")) == raw


def test_nothing_to_learn_is_refused():
    for raw in (RawTable(("a",), (["x"] * 5,)), RawTable(("id",), ([str(i) for i in range(5)],))):
        with pytest.raises(ConfigError, match="no column to learn"):
            fit_table(raw)
    with pytest.raises(ConfigError, match="two rows at least"):
        fit_table(RawTable(("a",), (["x"],)))
