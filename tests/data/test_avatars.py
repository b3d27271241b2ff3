"""Avatars: what is drawn is what is said of it, once, by number, and no identity is in both parts."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_gans import compose
from lightning_gans.avatars import cache, parts, render
from lightning_gans.avatars.cache import Face
from lightning_gans.avatars.captions import caption, is_said
from lightning_gans.avatars.identities import LASTING, Population, Pose
from lightning_gans.avatars.parts import ATTRIBUTES, NAMED, Avatar, class_count, class_names, class_number, kinds
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.avatars import Avatars
from lightning_gans.data.translation.avatar_domains import WITH, AvatarDomains
from lightning_gans.data.translation.avatar_pairs import AvatarPairs

SMALL = {"image_size": 32, "channels": 3, "identities": 5, "expressions_per_identity": 2}
PAIRS = {**SMALL, "source_channels": 1}
PLAIN = Avatar(
    *("default", "default", "smile", "default", "#EDB98A", "short_flat", "#2C1B18", "none", "none", "none", "none"),
    *("hoodie", "#FF5C5C"),
)

PINNED = Avatar(
    *("default_natural", "x_dizzy", "eating", "default", "#FFDBB4", "frida", "#ECDCBF", "none", "none", "none", "none"),
    *("shirt_v_neck", "#FFFFFF"),
)


def lasting(avatars):
    return {tuple(getattr(one, name) for name in LASTING) for one in avatars}


def test_there_are_2028_expressions_of_which_1872_are_original():
    assert class_count("expression", "all") == 2028 == 13 * 12 * 13
    assert class_count("expression") == 1872
    assert class_count("expression", "all", "named") == 8


@pytest.mark.parametrize("which", ["avataaars", "all"])
def test_every_part_exists_and_looks_different(which):
    """All kinds of an attribute, on one face: no two pictures are alike."""
    base = PLAIN._replace(hat="winter_hat_1")  # for the colour of hats
    for name in ATTRIBUTES:
        start = base if name == "hat_color" else PLAIN
        wanted = [kind for kind in kinds(name, which) if name != "hat_color" or kind != "none"]
        seen = {render.picture(start._replace(**{name: kind}), 48).tobytes() for kind in wanted}
        assert len(seen) == len(wanted), name


def test_original_parts_are_not_those_of_blush():
    """Whose files name its namespace; all other parts of the package's that are used do not."""
    import python_avatars as art
    from python_avatars.core import _get_path

    kinds_of = {"brows": "EyebrowType", "eyes": "EyeType", "mouth": "MouthType", "nose": "NoseType"}
    kinds_of |= {"hair": "HairType", "hat": "HatType", "glasses": "AccessoryType", "beard": "FacialHairType"}
    for name, enum in {**kinds_of, "clothes": "ClothingType"}.items():
        for which, later in ((parts.ORIGINAL, False), (parts.EXTRA, True)):
            for kind in which.get(name, {}):
                if kind != "none":
                    text = Path(_get_path(getattr(art, enum), kind)).read_text(encoding="utf-8")
                    assert ("blush" in text) is later, kind


def test_a_label_is_the_attribute():
    face = PLAIN._replace(brows="angry", eyes="wink", mouth="tongue")
    assert class_names("mouth")[class_number(face, "mouth")] == "tongue-showing"
    assert (
        class_names("expression")[class_number(face, "expression")]
        == "lowered brows, winking eyes, tongue-showing mouth"
    )
    happy = face._replace(**dict(zip(("brows", "eyes", "mouth"), NAMED["happy"], strict=True)))
    assert class_names("expression", "all", "named")[class_number(happy, "expression", "all", "named")] == "happy"
    everyone = itertools.product(*(kinds(name, "all") for name in ("brows", "eyes", "mouth")))
    numbers = [class_number(PLAIN._replace(brows=b, eyes=e, mouth=m), "expression", "all") for b, e, m in everyone]
    assert numbers == list(range(2028))


def test_a_face_is_a_function_of_seed_and_number():
    few, many = Population(expressions_per_identity=3), Population(expressions_per_identity=3)
    assert [many.avatar(i) for i in range(30)][:7] == [few.avatar(i) for i in range(7)]
    faces = [few.avatar(i) for i in range(30)]
    assert all(faces[i][3:] == faces[i - i % 3][3:] for i in range(30))  # three of each identity
    assert len({one[:3] for one in faces}) > 20
    assert [Population(seed=1, expressions_per_identity=3).avatar(i) for i in range(30)] != faces
    assert faces[0] == PINNED  # on every machine


def test_identities_of_the_test_part_are_never_in_training():
    for seed in (0, 1):
        people = Population(seed=seed, expressions_per_identity=1)
        train = lasting(people.avatar(i) for i in range(1500))
        assert not train & lasting(people.avatar(i, "test") for i in range(300))
    domains = AvatarDomains(**{**PAIRS, "source_channels": 3})
    seen = domains.train_images
    trained = lasting([*seen.source.avatars, *seen.target.avatars])
    assert not trained & lasting(domains.example_images.source.avatars)


def test_attributes_have_the_shares_that_they_should():
    faces = [Population(expressions_per_identity=1).avatar(i) for i in range(2000)]
    for name, share in {"hat": 0.25, "glasses": 0.5, "beard": 0.3}.items():
        found = np.mean([getattr(one, name) != "none" for one in faces])
        assert abs(found - share) < 0.04  # three and a half standard deviations
    assert all(one.beard == "none" for one in faces if one.hat == "hijab")
    assert all((one.hat == "none") is (one.hat_color == "none") for one in faces)


def test_a_caption_says_all_that_is_seen_and_is_chosen_by_the_seed():
    face = PLAIN._replace(glasses="round", beard="beard_light", nose="wide")
    said = {caption(face, seed) for seed in range(40)}
    assert len(said) == 9  # three nouns, three orders
    assert caption(face, 3) == caption(face, 3)
    for text in said:
        assert re.fullmatch(r"A (face|person|cartoon character) with .*\.", text)
        for phrase in (
            "light skin",
            "short flat black hair",
            "round glasses",
            "a short beard",
            "curved brows",
            "open eyes",
        ):
            assert phrase in text
        assert "a laughing mouth" in text
        assert "a wide nose" in text
        assert "a red hoodie" in text
    plain = caption(face._replace(glasses="none", beard="none", nose="default", hair="no_hair"))
    assert not re.search("glasses|beard|nose|black", plain)
    assert "no hair" in plain
    hatted = caption(PLAIN._replace(hat="turban", hat_color="#FF488E"))
    assert "a pink turban" in hatted
    assert "hair" not in hatted
    assert "an ear-flapped" not in caption(PLAIN._replace(hat="winter_hat_1", hat_color="#FF488E"))


def test_a_caption_does_not_tell_the_hair_under_a_hat():
    def untold(**changes):
        face = PLAIN._replace(**changes)
        return {name for name, told in zip(face._fields, is_said(face), strict=True) if not told}

    assert untold(hair="bob") == set()
    assert untold(hair="no_hair") == {"hair_color"}
    assert untold(hair="bob", hat="turban", hat_color="#FF488E") == {"hair", "hair_color"}


def test_captions_tell_faces_apart():
    """Two faces that say the same look the same: hair beneath a hat is not seen, nor said."""
    by_text = {}
    for i in range(600):
        face = Population(expressions_per_identity=1, parts="all").avatar(i)
        hidden = {"hair", "hair_color"} if face.hat != "none" else {"hair_color"} if face.hair == "no_hair" else set()
        shown = tuple(part for name, part in face._asdict().items() if name not in hidden)
        words = frozenset(re.split(", | and | with |\\.", caption(face, i))[1:])
        assert by_text.setdefault(words, shown) == shown


def test_the_skin_is_where_it_should_be_and_the_ground_is_behind():
    image = render.picture(PLAIN, 240)  # a pixel a unit
    assert image.shape == (240, 240, 3)
    assert image.dtype == np.uint8
    assert tuple(image[145, 70]) == (0xED, 0xB9, 0x8A)  # a cheek
    assert tuple(image[3, 3]) == (0xB9, 0xE3, 0xF7)
    assert tuple(image[235, 120]) != (0xB9, 0xE3, 0xF7)


def test_a_pose_moves_picture_and_drawing_alike():
    """By what an affine map says: shifted by whole pixels they are the same, enlarged about the middle of the face."""
    for what in (render.picture, render.drawing):
        still, moved = what(PLAIN, 240), what(PLAIN, 240, Pose(right=10, down=-6))
        differs = np.abs(moved[30:200, 40:200].astype(int) - still[36:206, 30:190])
        assert differs.max() <= 8  # rounded coordinates change how much of a pixel is covered
    big = render.drawing(PLAIN, 240, Pose(scale=1.1)) > 0
    eyes = np.zeros((240, 240), bool)
    eyes[84:116, 80:160] = True
    middle = (116 - 4, 132 - 12)
    plain = np.argwhere((render.drawing(PLAIN, 240) > 128) & eyes) - middle
    target = np.rint(plain * 1.1 + middle).astype(int)
    near = big | np.roll(big, 1, 0) | np.roll(big, -1, 0) | np.roll(big, 1, 1) | np.roll(big, -1, 1)
    assert near[target[:, 0], target[:, 1]].mean() > 0.98
    turned = render.picture(PLAIN, 240, Pose(angle=10))
    assert np.abs(turned.astype(int) - render.picture(PLAIN, 240)).mean() > 5


def test_a_drawing_has_the_parts_and_nothing_else():
    """An eye is a ring where the circle of the artwork is; glasses, beards, colours and clothes change nothing."""
    lines = render.drawing(PLAIN, 240)
    assert lines.shape == (240, 240)
    assert set(np.unique(lines)) <= {0, 64, 128, 191, 255}  # of four pixels each
    x, y, radius = 76 + 30 - 12, 82 + 8 + 22 - 4, 6  # artwork: face at (76, 82), eyes at (0, 8), circle at (30, 22)
    rows, columns = np.mgrid[:240, :240] + 0.5
    away = np.hypot(columns - x, rows - y)
    assert lines[np.abs(away - radius) < 0.5].min() > 0
    assert lines[away < radius - 2].max() == 0
    assert lines[(away > radius + 2) & (away < radius + 4)].max() == 0
    other = PLAIN._replace(
        glasses="sunglasses", beard="beard_light", skin="#614335", hair_color="#E8E1E1", clothes="overall"
    )
    assert np.array_equal(render.drawing(other, 64), render.drawing(PLAIN, 64))
    for name, kind in {"brows": "angry", "eyes": "wink", "mouth": "sad", "nose": "wide", "hair": "fro"}.items():
        assert not np.array_equal(render.drawing(PLAIN._replace(**{name: kind}), 64), render.drawing(PLAIN, 64)), name


# ------------------------------------------------------------------------------------- the cache


def test_faces_are_drawn_once(tmp_path, monkeypatch):
    faces = [Face(Population().avatar(i)) for i in range(3)]
    monkeypatch.setattr(cache, "CHUNK", 2)
    made = cache.render(faces, "picture", 32, tmp_path)
    assert made.shape == (3, 3, 32, 32)
    assert np.array_equal(made[1], np.moveaxis(render.picture(faces[1].avatar, 32), -1, 0))
    assert len(list(tmp_path.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(cache, "draw", None)  # cannot be called
        assert np.array_equal(cache.render(faces, "picture", 32, tmp_path), made)
        assert np.array_equal(cache.render(faces[:2], "picture", 32, tmp_path), made[:2])
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:200])  # damaged: drawn anew
    assert np.array_equal(cache.render(faces, "picture", 32, tmp_path), made)
    for other in ({"kind": "drawing"}, {"size": 16}, {"faces": [faces[0]._replace(pose=Pose(angle=1)), *faces[1:]]}):
        before = len(list(tmp_path.iterdir()))
        cache.render(**{"faces": faces, "kind": "picture", "size": 32, "folder": tmp_path, **other})
        assert len(list(tmp_path.iterdir())) > before


def test_a_disk_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("")
    faces = [Face(PLAIN)]
    assert cache.render(faces, "picture", 16, tmp_path / "file" / "avatars").shape == (1, 3, 16, 16)


def test_two_processes_that_start_at_once_draw_the_same(tmp_path):
    script = (
        "import hashlib, sys; from pathlib import Path; from lightning_gans.avatars import cache, identities;"
        "cache.CHUNK = 4; faces = [cache.Face(identities.Population().avatar(i)) for i in range(16)];"
        "made = cache.render(faces, 'picture', 32, Path(sys.argv[1]));"
        "print(hashlib.sha256(made.tobytes()).hexdigest(), 'torch' in sys.modules)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0].decode().split() for process in running]
    assert said[0] == said[1]
    assert said[0][1] == "False"
    assert len(list(tmp_path.iterdir())) == 4


# ------------------------------------------------------------------------------------- the sets


def test_avatars_have_images_labels_names_and_attributes():
    data = Avatars(**SMALL, labels="glasses", num_classes=7)
    images = data.train_images
    assert images.images.shape == (10, 3, 32, 32)
    assert data.kind == "labelled"
    assert images.classes == class_names("glasses")
    for face, label, image in zip(images.avatars, images.labels.tolist(), images.images, strict=True):
        assert kinds("glasses")[label] == face.glasses
        assert np.array_equal(image.permute(1, 2, 0).numpy(), render.picture(face, 32))
    assert images.entries("identity").tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert Avatars(**SMALL).kind == "image"
    grey = Avatars(**{**SMALL, "channels": 1}).train_images.images
    assert torch.equal(grey[0, 0].float().round(), grey[0, 0].float())
    weighed = images.images[0].double().mul(torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]).sum(0)
    assert (grey[0, 0] - weighed).abs().max() <= 1


def test_scores_compare_with_identities_that_training_never_sees():
    data = Avatars(**SMALL)
    assert len(data.val().train_images) == 2  # a fifth of the identities
    assert data.val().description == "test part of 5 identities x 2 faces by seed 0"
    held = Avatars(**SMALL, val_fraction=0.4)
    trained, kept = (set(part.entries("identity").tolist()) for part in (held.train_images, held.val_images))
    assert len(trained) == 3
    assert len(kept) == 2
    assert not trained & kept
    assert len(held.train_images) == 6


def test_pairs_are_drawings_and_faces_of_one_pose():
    data = AvatarPairs(**PAIRS, pose=1.0)
    assert data.kind == "paired"
    pairs = data.train_images.fetch(torch.arange(10))
    assert pairs["source"].shape == (10, 1, 32, 32)
    assert pairs["target"].shape == (10, 3, 32, 32)
    people = data.source.faces.population
    assert torch.equal(pairs["source"][7, 0], torch.from_numpy(render.drawing(people.avatar(7), 32, people.place(7))))
    assert data.examples_of == "test"
    assert data.examples_match
    assert data.n_examples == 2
    assert len(AvatarPairs(**PAIRS, val_fraction=0.4).val_images) == 4


@pytest.mark.parametrize("domain", WITH)
def test_domains_differ_in_one_thing_and_test_faces_are_in_both(domain):
    data = AvatarDomains(**{**PAIRS, "source_channels": 3}, domain=domain)
    assert data.kind == "unpaired"
    source, target = data.train_images.source, data.train_images.target
    name = next(iter(WITH[domain]))
    assert {getattr(one, name) for one in source.avatars} == {"none"}
    assert {getattr(one, name) for one in target.avatars} == {WITH[domain][name]}
    assert not set(source.identities.tolist()) & set(target.identities.tolist())
    test = data.example_images
    assert data.examples_match
    for plain, worn in zip(test.source.avatars, test.target.avatars, strict=True):
        changed = {key for key in Avatar._fields if getattr(plain, key) != getattr(worn, key)}
        assert name in changed
        assert changed <= {*WITH[domain], "hat", "hat_color"}
    assert len(AvatarDomains(**{**PAIRS, "source_channels": 3}, val_fraction=0.5).val_images) == 4


def test_the_config_counts_the_classes():
    assert compose("data=avatars").data.num_classes is None
    assert compose("data=avatars", "data.labels=mouth").data.num_classes == 12
    assert compose("data=avatars", "data.labels=mouth", "data.parts=all").data.num_classes == 13
    assert compose("data=avatars", "data.labels=expression", "data.expressions=named").data.num_classes == 8


def test_what_is_not_drawn_is_refused(monkeypatch):
    wrong = [
        ({"labels": "glasses", "num_classes": 3}, "has 7"),
        ({"num_classes": 3}, "needs data.labels"),
        ({"image_size": [32, 64]}, "squares of 8 to 512"),
        ({"channels": 4}, "must be 1 or 3"),
    ]
    for options, rule in wrong:
        with pytest.raises(ConfigError, match=rule):
            Avatars(**{**SMALL, **options})
    monkeypatch.setattr(render.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "lightning_gans\[avatars\]"'):
        Avatars(**SMALL)
