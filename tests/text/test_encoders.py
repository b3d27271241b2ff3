"""Encoders of captions: closed forms, their own training, files, and packages that may be missing."""

import math
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import command_here
from lightning_gans.data.captions import CaptionedImages, number_captions
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.networks.char_cnn_rnn import SYMBOLS, ByteConvolution, CharCNNRNN, as_bytes
from lightning_gans.text.foreign import Transformer, WordLlama
from lightning_gans.text.table import Table
from lightning_gans.text.trained import Trained, accuracy, contrastive_loss, correlation, structured_loss

SMALL = {"dim": 6, "channels": 1, "length": 20, "widths": [12, 12], "image_size": 8, "image_width": 6, "batch_size": 16}


def blobs(n=64, labels=None):
    """Pictures of two kinds, with two captions each, and classes if they are given."""
    kinds = torch.arange(n) % 2
    images = torch.where(kinds[:, None, None, None] == 0, 30, 220).expand(-1, 1, 8, 8).clone().to(torch.uint8)
    captions = number_captions(
        [[f"a {word} square", f"{word}"] for word in (("dark", "light")[k] for k in kinds.tolist())]
    )
    return CaptionedImages(InMemoryImages(images, torch.arange(n)), captions, labels), captions


def test_looked_up_bytes_are_a_convolution_of_one_hot_vectors(float64):
    layer = ByteConvolution(3)
    captions = torch.randint(SYMBOLS, (2, 9))
    kernel = layer.weight.view(SYMBOLS, 4, 3).permute(2, 0, 1)  # (channels, 257, 4)
    expected = F.conv1d(F.one_hot(captions, SYMBOLS).transpose(1, 2).double(), kernel, layer.bias)
    torch.testing.assert_close(layer(captions), expected)


def test_the_network_is_convolutions_maxima_and_a_recurrent_mean(float64):
    torch.manual_seed(0)
    network = CharCNNRNN(dim=4, length=24, channels=[3, 5])
    captions = torch.randint(SYMBOLS, (2, 24))
    convolution = network.layers[3]
    x = F.max_pool1d(F.relu(network.layers[0](captions)), 3)  # 21 steps, 7
    x = F.max_pool1d(F.relu(F.conv1d(x, convolution.weight, convolution.bias)), 3)  # 4 steps, 1
    rnn, state, states = network.recurrent, torch.zeros(2, 5), []
    for step in x.unbind(2):
        state = torch.tanh(step @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + state @ rnn.weight_hh_l0.T + rnn.bias_hh_l0)
        states.append(state)
    expected = network.out(torch.stack(states).mean(0))
    torch.testing.assert_close(network(captions), expected)


def test_captions_of_any_script_become_bytes_and_long_ones_pieces():
    rows, owners = as_bytes(["Ab", "птица", "x" * 45], 20)
    assert owners.tolist() == [0, 1, 2, 2, 2]
    assert rows[0, :3].tolist() == [98, 99, 0]
    assert bytes((rows[1, :10] - 1).tolist()).decode() == "птица"
    assert (rows[4, :5] == ord("x") + 1).all()
    assert (rows[4, 5:] == 0).all()


def test_the_structured_loss_is_a_sum_of_hinges():
    scores = torch.tensor([[2.0, 1.5, 0.0], [0.5, 1.0, 3.0], [0.0, 0.0, 4.0]])
    same = torch.eye(3).bool()
    same[0, 1] = True  # caption 1 is true of picture 0
    total = 0.0
    for i in range(3):
        for j in range(3):
            if not same[i, j]:
                total += max(0, 1 + scores[i, j] - scores[i, i]) + max(0, 1 + scores[i, j] - scores[j, j])
    assert structured_loss(scores, same) == pytest.approx(float(total) / 9)


def test_the_contrastive_loss_is_of_finding_either_by_the_other():
    cosines = torch.tensor([[0.9, 0.2, 0.1], [0.3, 0.8, -0.4], [0.0, 0.5, 0.7]])
    same = torch.eye(3).bool()
    same[0, 1] = True  # caption 1 is true of picture 0: no mistake, and no caption of its own
    found = [math.exp(cosines[i, i] / 0.1) for i in range(3)]
    total = 0.0
    for i in range(3):
        others = [
            sum(math.exp(c / 0.1) for c, k in zip(row, held, strict=True) if not k)
            for row, held in ((cosines[i].tolist(), same[i].tolist()), (cosines[:, i].tolist(), same[:, i].tolist()))
        ]
        total -= sum(math.log(found[i] / (found[i] + rest)) for rest in others)
    assert contrastive_loss(cosines, same) == pytest.approx(total / 6, rel=1e-5)


def test_correlation_is_zero_of_white_vectors_whatever_their_scale_and_grows_with_what_is_shared():
    white = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert correlation(7 * white + 3) == pytest.approx(0, abs=1e-6)
    line = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    assert correlation(line) == pytest.approx(1)  # off the diagonal 1 twice, over two directions
    uneven = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # variances 2 and 0 after scaling
    assert correlation(uneven) == pytest.approx(1)


@pytest.mark.parametrize("how", [{}, {"loss": "contrastive"}, {"loss": "contrastive", "decorrelation": 0.05}])
def test_it_learns_which_captions_fit_which_pictures(how):
    images, captions = blobs()
    encoder = Trained(**SMALL, **how, updates=60, lr=1e-2)
    with pytest.raises(ValueError, match="has not learnt yet"):
        encoder.embed(["dark"])
    losses = encoder.fit(images, captions)
    assert sum(losses[-10:]) < (0.3 if not how else 0.8) * sum(losses[:10])
    assert accuracy(encoder, images, captions) == 1.0
    vectors = encoder.embed(captions.texts)
    torch.testing.assert_close(vectors.mean(0), torch.zeros(6), rtol=0, atol=1e-4)
    assert vectors.var(0, correction=0).mean() == pytest.approx(1, abs=0.02)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_captions_of_the_class_are_no_mistakes_unless_it_is_told_to_learn_them():
    images, captions = blobs(labels=torch.zeros(64, dtype=torch.int64))
    assert Trained(**SMALL, updates=3).fit(images, captions) == [0, 0, 0]
    assert min(Trained(**SMALL, updates=3, by_class=False).fit(images, captions)) > 0.1


def test_training_is_a_function_of_the_seed_and_disturbs_no_other_numbers():
    images, captions = blobs()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    made = []
    for seed in (0, 0, 1):
        encoder = Trained(**SMALL, updates=3)
        state = torch.random.get_rng_state()
        encoder.learn(images, captions, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        made.append(encoder.embed(captions.texts))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert expected.shape == (3,)


def test_a_vector_is_a_function_of_its_caption_alone():
    images, captions = blobs()
    encoder = Trained(**SMALL, updates=2)
    encoder.fit(images, captions)
    long = "a caption that is longer than what is read at once"
    alone = encoder.embed([long])
    torch.testing.assert_close(
        encoder.embed(["dark", long, "x", long])[1:4:2], alone.expand(2, -1), rtol=0, atol=1e-3
    )  # whitened: 30 times


def test_train_encoder_writes_what_a_training_reads(tmp_path, monkeypatch, capsys):
    options = ["data=digit_captions", "data.drawings=1", "data.limit=40", "encoder.dim=6", "encoder.widths=[4,4]"]
    options += ["encoder.length=32", "encoder.updates=2", "encoder.image_size=8", "encoder.image_width=2"]
    assert (
        command_here("lightning_gans.train_encoder", *options, "out=e.pt", cwd=tmp_path, monkeypatch=monkeypatch) == 0
    )
    assert "train with: model.text_encoder.weights=e.pt model.generator.text_dim=6" in capsys.readouterr().out
    how = {"dim": 6, "channels": 1, "length": 32, "widths": [4, 4], "image_size": 8, "image_width": 2}
    encoder = Trained(**how, weights=str(tmp_path / "e.pt"))
    encoder.learn(*blobs())
    assert encoder.embed(["a seven"]).shape == (1, 6)
    with pytest.raises(ValueError, match="not of python -m lightning_gans.train_encoder"):
        Trained(**{**how, "widths": [4, 5]}, weights=str(tmp_path / "e.pt")).learn(*blobs())
    assert (
        command_here("lightning_gans.train_encoder", *options, "out=e.pt", cwd=tmp_path, monkeypatch=monkeypatch) == 1
    )


def test_a_table_has_the_captions_it_has(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, texts=np.array(["a", "b"]), vectors=np.arange(6).reshape(2, 3))
    table = Table(weights=str(path), dim=3)
    assert table.embed(["b", "a", "b"]).tolist() == [[3, 4, 5], [0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="none of the 2 captions"):
        table.embed(["c"])
    assert table.state_dict() == {}
    np.savez(path, texts=np.array(["a", "b"], dtype=object), vectors=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must be an .npz file"):
        Table(weights=str(path), dim=3).embed(["a"])
    with pytest.raises(FileNotFoundError, match="no such file"):
        Table(weights=str(tmp_path / "none.npz"), dim=3).embed(["a"])


class FakeLlama:
    calls = 0

    @classmethod
    def load(cls, name, **options):
        assert options["disable_download"]
        return cls()

    def embed(self, texts, norm):
        FakeLlama.calls += 1
        return np.array([[len(text), 1.0] for text in texts])


def test_vectors_of_wordllama_are_kept_by_content(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stub = types.ModuleType("wordllama")
    stub.WordLlama, stub.__file__ = FakeLlama, str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "wordllama", stub)
    first = WordLlama(dim=2)
    assert first.embed(["abc", "d"]).tolist() == [[3, 1], [1, 1]]
    assert WordLlama(dim=2).embed(["abc", "d"]).tolist() == [[3, 1], [1, 1]]
    assert FakeLlama.calls == 1
    next((tmp_path / "lightning_gans" / "captions").glob("*.npy")).write_bytes(b"damaged")
    assert WordLlama(dim=2).embed(["abc", "d"]).tolist() == [[3, 1], [1, 1]]
    assert first.state_dict() == {}
    with pytest.raises(ValueError, match="makes vectors of 2; model.generator takes 3|reshape"):
        WordLlama(dim=3, cache=False).embed(["abc"])


def test_sentence_encoders_average_their_last_states(monkeypatch):
    states = torch.tensor([[[3.0, 4.0], [9.0, 12.0]], [[1.0, 0.0], [50.0, 50.0]]])

    def tokenizer(texts, **options):
        return {"attention_mask": torch.tensor([[1, 1], [1, 0]])}

    class Network:
        def eval(self):
            return self

        def __call__(self, **tokens):
            return types.SimpleNamespace(last_hidden_state=states)

    def made(kind):
        def from_pretrained(name, **options):
            assert options["trust_remote_code"] is False
            return kind

        return types.SimpleNamespace(from_pretrained=from_pretrained)

    stub = types.ModuleType("transformers")
    stub.AutoModel, stub.AutoTokenizer = made(Network()), made(tokenizer)
    monkeypatch.setitem(sys.modules, "transformers", stub)
    found = Transformer(name="any", dim=2, cache=False).embed(["a", "b"])
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))


@pytest.mark.parametrize(
    ("make", "package"),
    [
        (lambda: WordLlama(dim=2, cache=False), "wordllama"),
        (lambda: Transformer(name="x", dim=2, cache=False), "transformers"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, make, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf'needs the package {package}: pip install "lightning_gans\[{package}\]"'):
        make().embed(["a"])
