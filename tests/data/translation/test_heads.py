"""Talking heads: K + 1 frames of a video, landmarks beside the frames, avatars."""

import json
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import command_here, tiny
from lightning_gans import build, compose
from lightning_gans.avatars.parts import EXPRESSION
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.datasets import BatchIndices, InMemoryImages
from lightning_gans.data.resize import fit
from lightning_gans.data.translation import landmark_extraction
from lightning_gans.data.translation.avatar_heads import AvatarHeads
from lightning_gans.data.translation.heads import HeadFrames, HeadVideos
from lightning_gans.data.translation.landmark_drawing import GROUPS, draw_landmarks, placed
from lightning_gans.data.translation.talking_heads import TalkingHeadVideos


def numbered(videos, k):
    """Frames whose pixels are their numbers, and drawings whose pixels are these and 100."""
    pixels = torch.arange(len(videos), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
    return HeadFrames(InMemoryImages(pixels), InMemoryImages(pixels + 100), torch.tensor(videos), k)


def numbers(images):
    return images[..., 0, 0, 0].long()


VIDEOS = [0, 1, 0, 1, 1, 0, 2, 2, 2, 1]


def check(batch, k):
    """The K are of the target's video, all different and none of them the target, and drawings belong to frames."""
    target, frames = numbers(batch["target"]), numbers(batch["frames"])
    assert torch.equal(numbers(batch["source"]), target + 100)
    assert torch.equal(numbers(batch["drawings"]), frames + 100)
    videos = torch.tensor(VIDEOS)
    assert torch.equal(batch["video"], videos[target])
    assert torch.equal(videos[frames], batch["video"][:, None].expand(-1, k))
    for one, others in zip(target.tolist(), frames.tolist(), strict=True):
        assert len({one, *others}) == k + 1


def request(indices, seed):
    draws = torch.rand(len(indices), 4, generator=torch.Generator().manual_seed(seed))
    none = torch.zeros(len(indices), dtype=torch.bool)
    return BatchIndices(torch.tensor(indices), none, torch.zeros(len(indices), 2), None, None, draws)


@pytest.mark.parametrize("k", [1, 2])
def test_the_target_is_never_among_the_frames(k):
    heads = numbered(VIDEOS, k)
    check(heads.fetch(torch.arange(10)), k)
    assert torch.equal(numbers(heads.fetch(torch.arange(10))["target"]), torch.arange(10))
    found = set()
    for seed in range(40):
        batch = HeadVideos(heads).get_batch(request([0, 1, 2], seed))
        check(batch, k)
        assert batch["video"].tolist() == [0, 1, 2]
        found |= set(numbers(batch["target"]).tolist())
    assert found == set(range(10))  # every frame is a target now and then


def test_what_is_drawn_is_a_function_of_the_random_numbers():
    videos = HeadVideos(numbered(VIDEOS, 2))
    one, two, other = (videos.get_batch(request([0, 1], seed)) for seed in (1, 1, 2))
    assert torch.equal(one["frames"], two["frames"])
    assert not torch.equal(
        torch.cat([one["target"][:, None], one["frames"]], 1), torch.cat([other["target"][:, None], other["frames"]], 1)
    )


def test_a_video_of_too_few_frames_is_told():
    with pytest.raises(ConfigError, match=r"data\.frames=3: a video has 3 frames; .* 2 at most"):
        numbered(VIDEOS, 3)


def test_held_out_videos_have_no_frame_in_training():
    heads = numbered(VIDEOS, 1)
    train, val = heads.take(torch.tensor([0, 2])), heads.take(torch.tensor([1]))
    assert set(numbers(train.fetch(torch.arange(len(train)))["target"]).tolist()) == {0, 2, 5, 6, 7, 8}
    assert set(val.fetch(torch.arange(len(val)))["video"].tolist()) == {1}


# ------------------------------------------------------------------------------------- avatars


@pytest.fixture(scope="module")
def avatars():
    how = {"image_size": 16, "channels": 3, "source_channels": 1, "identities": 4, "expressions_per_identity": 5}
    return AvatarHeads(**how, frames=2)


def test_avatars_of_an_identity_differ_in_their_expressions_alone(avatars):
    images, test = avatars.train_images, avatars.example_images
    assert images.videos.tolist() == [0, 1, 2, 3]
    assert avatars.kind == "heads"
    faces, others = images.frames.avatars, test.frames.avatars
    lasting = [face[len(EXPRESSION) :] for face in faces]
    for video in images.videos:
        own = [lasting[i] for i in (images.video == video).nonzero()[:, 0]]
        assert len(set(own)) == 1
    assert not set(lasting) & {face[len(EXPRESSION) :] for face in others}  # held-out identities
    assert len({(int(v), *face) for v, face in zip(images.video, faces, strict=True)}) == len(
        faces
    )  # none is there twice


def test_a_drawing_has_the_expression_and_nothing_of_the_identity(avatars):
    """Two identities in one expression have the same drawing."""
    faces = avatars.source.faces
    one, two = faces.population.avatar(0), faces.population.avatar(5)
    both = [one, two._replace(**dict(zip(EXPRESSION, one[:3], strict=True)))]
    from lightning_gans.data.translation.avatar_heads import BARE

    drawn = faces.images("drawing", [face._replace(**BARE) for face in both], torch.tensor([0, 5]), "train", 16, 1)
    assert torch.equal(drawn.images[0], drawn.images[1])


def test_batches_are_floats_by_entry(avatars, tmp_path):
    batch = avatars.examples([0, 3])
    shapes = {key: tuple(value.shape) for key, value in batch.items()}
    assert shapes == {
        **{"source": (2, 1, 16, 16), "target": (2, 3, 16, 16), "video": (2,)},
        **{"frames": (2, 2, 3, 16, 16), "drawings": (2, 2, 1, 16, 16)},
    }
    assert {key: value[1:] for key, value in shapes.items() if key != "video"} == avatars.shapes
    assert batch["frames"].min() >= -1
    assert batch["frames"].max() <= 1


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("data.frames=42", "must be below data.expressions_per_identity=42"),
        ("data.flip=true", "a mirrored person is another one"),
        ("data.num_videos=1", "must be data.identities=2"),
        ("data.expressions=named", "a video has 8 frames"),
    ],
)
def test_options_that_cannot_be(option, said, tmp_path):
    frames = ["data.frames=9"] if "named" in option else []
    with pytest.raises(ValueError, match=said):
        build(compose(*tiny("talking_heads"), option, *frames), tmp_path).fit()


# ------------------------------------------------------------------------------------- landmarks


def points(seed=0, side=32):
    return np.random.default_rng(seed).uniform(2, side - 2, (68, 2))


def test_groups_are_drawn_in_their_colours_on_white():
    assert sorted(i for group in GROUPS for i in range(group.first, group.last + 1)) == list(range(68))
    spread = np.full((68, 2), -50.0)  # outside, but for one group
    for group in GROUPS:
        own = spread.copy()
        own[group.first : group.last + 1] = np.linspace([5, 5], [25, 20], group.last - group.first + 1)
        drawn = draw_landmarks(own, (32, 32))
        colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
        assert colours == {(255, 255, 255), group.colour}, group.name
        assert 2 * 20 <= (drawn != 255).any(2).sum() <= 3 * 25  # two pixels wide
    with pytest.raises(ValueError, match="68 finite points"):
        draw_landmarks(spread[:5], (32, 32))


@pytest.mark.parametrize("policy", ["cover", "contain", "stretch", "native"])
@pytest.mark.parametrize("whole", [(40, 64), (64, 40), (32, 32)])
def test_landmarks_move_as_pixels_do(policy, whole):
    """A bright spot of a picture is where its landmark is placed, within a pixel."""
    at = np.array([[whole[1] / 2 + 6, whole[0] / 2 - 5]])
    picture = np.zeros((*whole, 3), np.uint8)
    picture[int(at[0, 1]) - 1 : int(at[0, 1]) + 1, int(at[0, 0]) - 1 : int(at[0, 0]) + 1] = 255
    fitted = np.asarray(fit(Image.fromarray(picture), (32, 32), policy)).astype(float).sum(2)
    rows, columns = np.mgrid[:32, :32] + 0.5
    centre = np.array([(columns * fitted).sum(), (rows * fitted).sum()]) / fitted.sum()
    assert np.abs(placed(at, whole, (32, 32), policy)[0] - centre).max() < 1


def video(folder, n, without=(), landmarks="json"):
    """A folder of frames of 40x48 pixels, some of which have no face."""
    folder.mkdir(parents=True)
    listed = {}
    for i in range(n):
        Image.fromarray(np.full((40, 48, 3), 20 * i, np.uint8)).save(folder / f"{i}.png")
        face = {"size": [40, 48], "points": points(i, 40).tolist()}
        listed[f"{i}.png"] = None if i in without else face
    if landmarks == "json":
        (folder / "landmarks.json").write_text(json.dumps(listed))
    if landmarks == "npy":
        array = [one["points"] if one else np.full((68, 2), np.nan) for one in listed.values()]
        np.save(folder / "landmarks.npy", np.array(array))


HOW = {"image_size": 16, "channels": 3, "source_channels": 3}


@pytest.fixture
def videos(tmp_path):
    """As VoxCeleb1 has them: a person, a sampling, a video."""
    video(tmp_path / "a" / "1.6" / "x", 12, without=(3, 10))
    video(tmp_path / "b" / "1.6" / "y", 4, landmarks="npy", without=(0,))
    video(tmp_path / "b" / "1.6" / "z", 2)
    return tmp_path


def test_frames_without_a_face_are_named_and_left_out(videos):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        heads = TalkingHeadVideos(root=str(videos), frames=2, **HOW).train_images
    said = " ".join(str(warning.message) for warning in caught)
    assert "3 frames without a face are left out: a/1.6/x/3.png, a/1.6/x/10.png, b/1.6/y/0.png" in said
    assert "1 videos of fewer than 3 frames are left out: b/1.6/z" in said
    assert torch.bincount(heads.video).tolist() == [10, 3]
    batch = heads.fetch(torch.tensor([3, 10]))  # after the frame that is left out
    assert (batch["target"][0] == 80).all()
    expected = draw_landmarks(placed(points(4, 40), (40, 48), (16, 16), "cover"), (16, 16))
    assert np.array_equal(batch["source"][0].permute(1, 2, 0).numpy(), expected)
    expected = draw_landmarks(placed(points(1, 40), (40, 48), (16, 16), "cover"), (16, 16))
    assert np.array_equal(batch["source"][1].permute(1, 2, 0).numpy(), expected)
    assert TalkingHeadVideos.learn({"root": str(videos), "frames": 2, **HOW}) == {"num_videos": 2}
    joined = TalkingHeadVideos(root=str(videos), frames=2, join=True, **HOW).train_images
    assert torch.bincount(joined.video).tolist() == [10, 5]  # both folders of b/1.6
    assert len(TalkingHeadVideos(root=str(videos), frames=2, limit=11, **HOW).train_images.videos) == 1


def test_a_folder_without_landmarks_says_how_to_find_them(tmp_path):
    video(tmp_path / "a", 4, landmarks=None)
    with pytest.raises(ConfigError, match=r"no folder has 3 frames with landmarks.*lightning_gans\.landmarks"):
        _ = TalkingHeadVideos(root=str(tmp_path), frames=2, **HOW).train_images


@pytest.mark.parametrize("text", ["[]", "{", '{"0.png": {"size": [4, 4], "points": [[1, 2]]}}', '{"0.png": 3}'])
def test_a_file_of_something_else_is_named(tmp_path, text):
    video(tmp_path / "a", 4)
    (tmp_path / "a" / "landmarks.json").write_text(text)
    with pytest.raises(ValueError, match=r"a/landmarks\.json: holds no landmarks"):
        _ = TalkingHeadVideos(root=str(tmp_path), frames=2, **HOW).train_images


def test_trains_on_videos_and_counts_them(videos, tmp_path):
    options = [f"data.root={videos}", "data.num_videos=null", "data.image_size=16", "data.num_workers=0"]
    kept = [option for option in tiny("talking_heads") if not option.startswith("data.")]
    kept = [option for option in kept if not option.startswith("data=")]
    made = build(
        compose(*kept, "data=talking_heads", *options, "data.frames=2", "trainer.max_steps=1"), tmp_path / "run"
    )
    assert made.model.discriminator.num_videos == 2
    made.fit()
    assert made.model.iteration == 1


STUB = """
import numpy as np

def stub(picture):
    faces = [np.random.default_rng(seed).uniform(2, side - 2, (68, 2)) for seed, side in ((7, 30), (8, 4))]
    level = int(picture[0, 0, 0])
    return faces[: 0 if level == 0 else 2 if level == 60 else 1]  # none in the darkest frame, two in the brightest

stub.licence = "made up"
"""


@pytest.fixture
def detector(tmp_path, monkeypatch):
    """A function of the user's own."""
    (tmp_path / "my_landmarks.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    yield "detector=my_landmarks.stub"
    sys.modules.pop("my_landmarks", None)


def test_the_command_writes_landmarks_and_tells_what_it_saw(detector, tmp_path, monkeypatch, capsys):
    video(tmp_path / "in" / "a", 4, landmarks=None)
    typed = ["input=in", detector]
    assert command_here("lightning_gans.landmarks", *typed, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "licence of detector=my_landmarks.stub: made up" in said
    assert "1 frames have no face and are left out: a/0.png" in said
    assert "1 frames have several, of which the largest is taken: a/3.png" in said
    found = json.loads((tmp_path / "in" / "a" / "landmarks.json").read_text())
    assert found["0.png"] is None
    assert found["3.png"] == {"size": [40, 48], "points": points(7, 30).round(2).tolist()}
    data = TalkingHeadVideos(root=str(tmp_path / "in"), frames=2, **HOW)
    assert len(data.train_images) == 3


def test_frames_of_mp4_files_are_written_and_read(detector, tmp_path, monkeypatch, capsys):
    from lightning_gans.images.files import animate

    folder = tmp_path / "mp4" / "id1" / "clip"
    folder.mkdir(parents=True)
    frames = [torch.full((3, 192, 192), 30 * i + 30, dtype=torch.uint8) for i in range(6)]
    animate(frames, folder / "00001.mp4", 100)
    typed = ["input=mp4", detector, "out=frames", "fps=5"]
    assert command_here("lightning_gans.landmarks", *typed, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    written = sorted((tmp_path / "frames" / "id1" / "clip" / "00001").glob("*.png"))
    assert [path.name for path in written] == ["000000.png", "000001.png", "000002.png"]  # every second one
    levels = [int(np.asarray(Image.open(path)).mean()) for path in written]
    assert levels == pytest.approx([30, 90, 150], abs=3)


@pytest.mark.parametrize("name", ["face_alignment", "dlib", "nothing", "no.such", "os.nothing"])
def test_an_extractor_that_is_not_there_is_told(name):
    with pytest.raises(ConfigError, match=f"detector={name}|weights"):
        landmark_extraction.detector_of(name, None)
