"""Files that are there whole or not at all."""

import os

import pytest

from lightning_gans.runtime.atomic import atomic_write


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "folder" / "file"
    for content in ("old", "new"):
        with atomic_write(path, flushed=True) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text(content)
            assert path.exists() == (content == "new")
            assert content == "old" or path.read_text() == "old"
        assert path.read_text() == content
    assert os.listdir(path.parent) == ["file"]


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    (tmp_path / f"file.{os.getpid()}.tmp").write_text("of a killed process of this number")

    def interrupted():
        with atomic_write(path) as temporary:
            assert not temporary.exists()
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_to_the_same_file_leaves_nothing_behind(tmp_path):
    """Renaming a file over another name of itself does nothing."""
    path, source = tmp_path / "last", tmp_path / "step"
    source.write_text("content")
    os.link(source, path)
    with atomic_write(path) as temporary:
        os.link(source, temporary)
    assert sorted(os.listdir(tmp_path)) == ["last", "step"]
