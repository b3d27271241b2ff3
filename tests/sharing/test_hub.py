"""The hub: what is fetched from it and put there, against a stand-in of its API on this machine."""

import base64
import hashlib
import json
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save

import lightning_gans
from conftest import tiny
from lightning_gans import build, compose
from lightning_gans.sharing import hub

COMMIT = "1" * 40


class Hub(BaseHTTPRequestHandler):
    """Repositories by name and revision, each a dict of files; every request is noted."""

    repositories: dict
    requests: list
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, content, code=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        self.requests.append(self.path)
        org, name, verb, revision, *path = [*self.path.strip("/").partition("?")[0].split("/"), *[""] * 4][:5]
        files = self.repositories.get((f"{org}/{name}", revision))
        if verb != "resolve" or files is None or path[0] not in files:
            return self.answer({"error": "not there"}, 404, X_Error_Code="EntryNotFound" if files else "RepoNotFound")
        content = files[path[0]]
        return self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        self.requests.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            return self.answer({"url": f"https://huggingface.co/{asked['organization']}/{asked['name']}"})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        _, _, org, name, verb, revision = self.path.strip("/").partition("?")[0].split("/")[-6:]
        if verb == "preupload":
            kinds = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self.answer({"files": [{**kind, "shouldIgnore": False, "oid": None} for kind in kinds]})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        self.repositories[f"{org}/{name}", revision] = files
        return self.answer(
            {"commitUrl": f"https://huggingface.co/{org}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
        )


@pytest.fixture
def server(tmp_path, monkeypatch):
    Hub.repositories, Hub.requests = {}, []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{made.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield Hub
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return build(compose(*tiny()), tmp_path_factory.mktemp("run")).model.eval()


def test_what_is_pushed_can_be_loaded(server, module):
    address = module.push_to_hub("me/digits", token="x", license="mit")
    assert address.endswith("/me/digits")
    files = server.repositories["me/digits", "main"]
    assert set(files) == {"README.md", "config.json", "model.safetensors", "samples.png"}
    assert b"hf-hub:me/digits" in files["README.md"]
    assert b"license: mit" in files["README.md"]
    loaded = lightning_gans.load("hf-hub:me/digits")
    assert torch.equal(loaded.sample(2), module.sample(2))


def test_nothing_is_unpickled_and_nothing_but_two_files_is_fetched(server, module, tmp_path, monkeypatch):
    """Whatever else the repository holds, under names that other libraries load."""
    module.save_pretrained(tmp_path / "mine")
    files = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    evil = pickle.dumps(eval)
    others = dict.fromkeys(["pytorch_model.bin", "last.ckpt", "model.pkl", "checkpoints/last.ckpt"], evil)
    server.repositories["me/digits", "v1"] = files | others

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    loaded = lightning_gans.load("hf-hub:me/digits@v1")
    assert torch.equal(loaded.sample(2), module.sample(2))
    assert {path.rpartition("/")[2] for path in server.requests if "/resolve/" in path} == {
        "config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("hf-hub:nothing", "must be hf-hub:ORG/NAME"),
        ("hf-hub:a/../b", "must be hf-hub:ORG/NAME"),
        ("hf-hub:me/absent", "hf-hub:me/absent: config.json cannot be fetched"),
    ],
)
def test_a_place_that_is_none_is_refused_in_one_line(server, place, said):
    with pytest.raises((ValueError, OSError), match=said) as refused:
        lightning_gans.load(place)
    assert len(str(refused.value).splitlines()) == 1


def test_a_repository_of_another_library_is_refused(server):
    files = {"config.json": b'{"architectures": ["x"]}', "model.safetensors": save({"x": torch.zeros(1)})}
    server.repositories["them/net", "main"] = files
    with pytest.raises(ValueError, match="not the config of a generator of lightning_gans"):
        lightning_gans.load("hf-hub:them/net")


def test_without_the_extra_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r'pip install "lightning_gans\[hub\]"'):
        hub.fetch("hf-hub:me/digits")
