"""Where pictures go."""

import os

import pytest

from lightning_gans.images.files import make_folder


def test_a_folder_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=rf"^out={place}: cannot be made a folder \(.+\)$"):
            make_folder(place)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write everywhere
    with pytest.raises(ValueError, match=rf"^out={tmp_path}: cannot be written$"):
        make_folder(tmp_path)
