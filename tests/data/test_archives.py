"""Published sets from a small server on this machine: resumed, checked, unpacked, told in one line when absent."""

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from lightning_gans import compose
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.data import archives
from lightning_gans.data.archives import Archive, obtain, unpack
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.translation import published as published_sets
from lightning_gans.training.trainer import instantiate

CONTENT = bytes(range(256)) * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves files by name; ``cut`` breaks a connection off after so many bytes, ``ranges`` heeds Range."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.ranges, self.sized, self.asked = {}, None, True, True, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.sized:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        made.files["set.zip"] = CONTENT
        yield made
        made.shutdown()
        thread.join()


def archive(server, **known):
    return Archive(f"{server.url}/set.zip", **{"size": len(CONTENT), "sha256": SHA, **known})


def test_a_download_is_checked_named_and_asked_for_once(server, tmp_path):
    place = tmp_path / "new" / "set.zip"
    assert obtain(archive(server), place, key="data.root=x") == place
    assert place.read_bytes() == CONTENT
    assert (tmp_path / "new" / "set.zip.sha256").read_text() == f"{SHA}  set.zip\n"
    assert sorted(path.name for path in place.parent.iterdir()) == ["set.zip", "set.zip.sha256"]
    obtain(archive(server), place, key="data.root=x")
    assert server.asked == [("/set.zip", None)]


def test_what_is_there_of_a_download_is_not_fetched_again(server, tmp_path):
    place = tmp_path / "set.zip"
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:1234])
    obtain(archive(server), place, key="data.root=x")
    assert server.asked == [("/set.zip", "bytes=1234-")]
    assert place.read_bytes() == CONTENT


def test_connections_that_end_early_are_taken_up_again(server, tmp_path):
    server.cut = 100_000
    assert obtain(archive(server), tmp_path / "set.zip", key="x").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("known", [{}, {"size": None, "sha256": None}])
def test_a_server_that_starts_anew_does_not_double_the_beginning(server, tmp_path, known):
    server.ranges = False
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:1234])
    assert obtain(archive(server, **known), tmp_path / "set.zip", key="x").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("extra", [0, 7])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, size, extra):
    (tmp_path / "set.zip.part").write_bytes(CONTENT + bytes(extra))
    assert obtain(archive(server, size=size), tmp_path / "set.zip", key="x").read_bytes() == CONTENT


def test_a_truncated_file_is_kept_as_a_part_and_said(server, tmp_path):
    server.cut, server.ranges = 100_000, False  # never more than this
    place = tmp_path / "set.zip"
    with pytest.raises(FileNotFoundError) as raised:
        obtain(archive(server), place, key="data.root=x")
    for words in ("data.root=x: set.zip", "100,000 of 256,000 bytes", f"{server.url}/set.zip", str(place), "goes on"):
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "set.zip.part").stat().st_size == 100_000
    assert not place.exists()
    server.cut, server.ranges = None, True
    assert obtain(archive(server), place, key="x").read_bytes() == CONTENT


def test_a_server_without_a_length_that_ends_early(server, tmp_path):
    server.sized, server.ranges, server.cut = False, False, 100_000
    with pytest.raises(FileNotFoundError, match="100,000 of 256,000 bytes"):
        obtain(archive(server), tmp_path / "set.zip", key="x")
    server.cut = None
    assert obtain(archive(server, size=None), tmp_path / "set.zip", key="x").read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"sha256": "0" * 64, "size": None}])
def test_a_wrong_hash_is_refused_and_not_kept(server, tmp_path, known):
    with pytest.raises(ValueError, match=r"data.root=x: set.zip has 256,000 bytes, SHA-256 " + SHA) as raised:
        obtain(archive(server, **known), tmp_path / "set.zip", key="data.root=x")
    assert "0" * 64 in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    server.cut = 0
    with pytest.raises(FileNotFoundError, match="the server has 256,000 bytes there"):
        obtain(archive(server, size=99), tmp_path / "set.zip", key="x")


def test_the_first_hash_is_kept_and_compared_with(server, tmp_path):
    unknown = archive(server, size=None, sha256=None)
    place = obtain(unknown, tmp_path / "set.zip", key="x")
    place.unlink()
    server.files["set.zip"] = CONTENT[::-1]
    with pytest.raises(ValueError, match="must be .* of SHA-256 " + SHA):
        obtain(unknown, place, key="x")
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip.sha256"]
    place.write_bytes(b"put there by hand")
    with pytest.raises(ValueError, match="set.zip has 17 bytes.*delete"):
        obtain(unknown, place, key="x")
    assert place.exists()


@pytest.mark.parametrize("download", [True, False])
def test_offline_one_line_says_what_goes_where(tmp_path, monkeypatch, download):
    def offline(*args, **kwargs):
        if not download:
            pytest.fail("the network was asked")
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    place = tmp_path / "not" / "yet" / "set.zip"
    with pytest.raises(FileNotFoundError) as raised:
        obtain(Archive("http://example.org/set.zip", 1234567), place, key="data.root=x", download=download)
    message = str(raised.value)
    assert "\n" not in message
    for words in ("data.root=x: ", "http://example.org/set.zip (1,234,567 bytes)", str(place)):
        assert words in message
    assert ("Name or service not known" if download else "data.download=false") in message
    assert not list(tmp_path.iterdir())


def test_what_a_server_or_an_address_refuses(server, tmp_path):
    with pytest.raises(FileNotFoundError, match="the server answers 404"):
        obtain(Archive(f"{server.url}/other.zip"), tmp_path / "other.zip", key="x")
    with pytest.raises(FileNotFoundError, match="must begin with http"):
        obtain(Archive(tmp_path.as_uri()), tmp_path / "other.zip", key="x")
    assert not list(tmp_path.iterdir())


def test_two_processes_download_a_file_once(server, tmp_path):
    place = tmp_path / "set.zip"
    threads = [threading.Thread(target=obtain, args=(archive(server), place), kwargs={"key": "x"}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.read_bytes() == CONTENT
    assert len(server.asked) == 1


# ---------------------------------------------------------------------------------- unpacking


def png(colour=(255, 0, 0)):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(file, "PNG")
    return file.getvalue()


def tar(path, entries, compression="gz"):
    with tarfile.open(path, f"w:{compression}") as made:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                made.addfile(info)
    return path


@pytest.mark.parametrize("top", ["maps/", "./maps/", ""])
def test_the_pictures_of_a_tar(tmp_path, top):
    entries = [(f"{top}train/1.png", png()), (f"{top}val/2.png", png()), (f"{top}._1.png", b"x"), (f"{top}a.sh", b"x")]
    folder = unpack(tar(tmp_path / "maps.tar.gz", entries), tmp_path / "maps", key="x")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == ["train/1.png", "val/2.png"]
    assert (folder / "train" / "1.png").read_bytes() == png()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (("../evil.png", png()), "leads out"),
        (("/tmp/evil.png", png()), "leads out"),
        (("maps/../../evil.png", png()), "leads out"),
        (("maps/link.png", (tarfile.SYMTYPE, "/etc/passwd")), "neither a file nor a folder"),
        (("maps/link.png", (tarfile.LNKTYPE, "maps/train/1.png")), "neither a file nor a folder"),
        (("maps/pipe.png", (tarfile.FIFOTYPE, "")), "neither a file nor a folder"),
    ],
)
def test_hostile_tars_leave_nothing(tmp_path, entry, named):
    path = tar(tmp_path / "maps.tar.gz", [("maps/train/1.png", png()), entry])
    with pytest.raises(ValueError, match=named):
        unpack(path, tmp_path / "in" / "maps", key="x")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["maps.tar.gz"]
    assert not (tmp_path / "in" / "maps").exists()


def test_a_damaged_tar_is_named_and_nothing_stays(tmp_path):
    whole = tar(tmp_path / "maps.tar.gz", [(f"maps/{i}.png", png((i, i, i)) * 50) for i in range(40)]).read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", b""):
        (tmp_path / "maps.tar.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"x: .*maps.tar.gz cannot be unpacked"):
            unpack(tmp_path / "maps.tar.gz", tmp_path / "maps", key="x")
        assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("locks", [True, False])
def test_several_processes_unpack_at_once(tmp_path, monkeypatch, locks):
    """One does the work where files can be locked; where they cannot, each does, and the first one's is used."""
    if not locks:
        monkeypatch.setattr(archives, "fcntl", None)
    n, barrier, extracted = 3, threading.Barrier(3), []
    path = tar(tmp_path / "maps.tar.gz", [(f"maps/train/{i}.png", png()) for i in range(200)])
    extract = archives._extract

    def slowly(*arguments):
        extracted.append(1)
        if not locks:
            barrier.wait(60)  # all of them began before any has ended
        extract(*arguments)

    monkeypatch.setattr(archives, "_extract", slowly)
    with ThreadPoolExecutor(n) as pool:
        made = list(pool.map(lambda _: unpack(path, tmp_path / "maps", key="x"), range(n)))
    assert made == [tmp_path / "maps"] * n
    assert len(list((tmp_path / "maps" / "train").iterdir())) == 200
    assert sorted(file.name for file in tmp_path.iterdir()) == ["maps", "maps.tar.gz"]
    assert len(extracted) == (1 if locks else n)
    assert (tmp_path / "maps").stat().st_mode == (tmp_path / "maps" / "train").stat().st_mode  # not a private one


# ---------------------------------------------------------------------------------- published sets


def published(server, choice, root, *overrides):
    cfg = compose(f"data={choice}", f"data.root={root}", f"data.mirror={server.url}", *overrides, "data.image_size=16")
    return instantiate(cfg.data, "data", ImageDataModule)


def know(monkeypatch, table, name, content):
    """Let a set be known by a small archive."""
    monkeypatch.setitem(table, name, published_sets.ArchiveInfo(len(content), hashlib.sha256(content).hexdigest()))


def zip_of_horses():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for folder, n in {"trainA": 3, "trainB": 4, "testA": 2, "testB": 2}.items():
            for i in range(n):
                archive.writestr(f"horse2zebra/{folder}/{i}.png", png((40 * i, 9, 9)))
    return file.getvalue()


def test_an_unpaired_set_is_downloaded_and_read_in_place(server, tmp_path, monkeypatch):
    server.files["horse2zebra.zip"] = content = zip_of_horses()
    know(monkeypatch, published_sets.UNPAIRED, "horse2zebra", content)
    made = published(server, "horse2zebra", tmp_path / "sets")
    made.prepare_data()
    assert (len(made.train_images), made.n_partners, made.n_examples) == (3, 4, 2)
    assert (made.kind, made.examples_of, made.description) == ("unpaired", "test", "horse2zebra trainA and trainB")
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["horse2zebra.zip", "horse2zebra.zip.sha256"]
    again = published(server, "horse2zebra", tmp_path / "sets", "data.download=false")
    assert len(again.train_images) == 3
    assert len(server.asked) == 1
    (tmp_path / "sets" / "horse2zebra.zip").write_bytes(content[:-1] + b"x")
    with pytest.raises(ValueError, match=r"horse2zebra.zip has .*as published.*delete"):
        published(server, "horse2zebra", tmp_path / "sets").setup("fit")


def test_those_who_unpacked_a_set_need_no_zip(server, tmp_path):
    with zipfile.ZipFile(io.BytesIO(zip_of_horses())) as archive:
        archive.extractall(tmp_path)
    assert len(published(server, "horse2zebra", tmp_path).train_images) == 3
    assert not server.asked


def test_a_paired_set_is_downloaded_and_unpacked(server, tmp_path, monkeypatch):
    pictures = [
        (f"facades/{part}/{i}.png", png((i, 0, 0))) for part, n in {"train": 3, "test": 2}.items() for i in range(n)
    ]
    content = tar(tmp_path / "made.tar.gz", pictures).read_bytes()
    server.files["facades.tar.gz"], server.cut = content, len(content) // 2 + 1
    monkeypatch.setitem(published_sets.PAIRED, "facades", published_sets.ArchiveInfo(len(content)))
    made = published(server, "facades", tmp_path / "sets")
    made.prepare_data()
    assert (len(made.train_images), made.n_examples, made.kind) == (3, 2, "paired")
    assert len(server.asked) == 2  # broken off once
    assert (tmp_path / "sets" / "facades" / "train" / "2.png").is_file()
    assert hashlib.sha256(content).hexdigest() in (tmp_path / "sets" / "facades.tar.gz.sha256").read_text()
    (tmp_path / "sets" / "facades.tar.gz").unlink()  # is not needed any more
    assert len(published(server, "facades", tmp_path / "sets").train_images) == 3
    assert len(server.asked) == 2


SETS = sorted(path.stem for path in (CONF_DIR / "data").glob("*.yaml") if "/common/published" in path.read_text())


def test_every_published_set_has_a_config():
    names = {"UNPAIRED": set(), "PAIRED": set()}
    for choice in SETS:
        node = compose(f"data={choice}").data
        names["UNPAIRED" if node._target_.endswith("Unpaired") else "PAIRED"].add(node.name)
    assert names == {"UNPAIRED": set(published_sets.UNPAIRED), "PAIRED": set(published_sets.PAIRED)}


@pytest.mark.parametrize("choice", SETS)
def test_published_sets_offline(tmp_path, monkeypatch, choice):
    def offline(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    made = instantiate(compose(f"data={choice}", f"data.root={tmp_path / 'sets'}").data, "data", ImageDataModule)
    with pytest.raises(
        FileNotFoundError, match=r"data.root=.*sets: .* not downloaded .*Download http.*put it at .*sets"
    ):
        made.prepare_data()
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_is_refused():
    with pytest.raises(Exception, match=r"data.name=horses: must be one of apple2orange"):
        instantiate(compose("data=horse2zebra", "data.name=horses").data, "data", ImageDataModule)
