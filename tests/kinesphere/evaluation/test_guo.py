"""The published evaluator's files: random weights in their layout, against networks built from the paper."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.errors import FormatError, InputError
from kinesphere.evaluation.guo import GuoEvaluator, read_tags

torch = pytest.importorskip("torch")
nn = torch.nn

WORDS = ["unk", "sos", "eos", "a", "person", "walk", "slowly", "wave"]
TAGS = {
    "a person walks slowly": "a/DET person/NOUN walk/VERB slowly/ADV",
    "a person somersaults": "a/DET person/NOUN somersault/VERB",
}


def movement() -> Any:
    """Frames [B,259,T] -> snippets: two convolutions over 4 frames, each halving the rate (channels first)."""
    layers = nn.Sequential(
        nn.Conv1d(259, 512, 4, 2, 1), nn.Dropout(0.2), nn.LeakyReLU(0.2),
        nn.Conv1d(512, 512, 4, 2, 1), nn.Dropout(0.2), nn.LeakyReLU(0.2),
    )  # fmt: skip
    return nn.ModuleDict({"main": layers, "out_net": nn.Linear(512, 512)})


def bigru(inputs: int, hidden: int, tags: bool) -> Any:
    head = nn.Sequential(
        nn.Linear(2 * hidden, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 512)
    )
    parts = {
        "input_emb": nn.Linear(inputs, hidden),
        "gru": nn.GRU(hidden, hidden, batch_first=True, bidirectional=True),
        "output_net": head,
    }
    if tags:
        parts["pos_emb"] = nn.Linear(15, 300)
    module = nn.ModuleDict(parts)
    module.register_parameter("hidden", nn.Parameter(torch.randn(2, 1, hidden)))
    return module.eval()


def run_bigru(module: Any, sequence: Any) -> Any:
    _, last = module["gru"](module["input_emb"](sequence), module.hidden)
    return module["output_net"](torch.cat([last[0], last[1]], dim=-1))


@dataclass
class Published:
    checkpoint: Path
    statistics: Path
    glove: Path
    networks: dict[str, Any]
    vectors: np.ndarray

    def load(self) -> GuoEvaluator:
        return GuoEvaluator(self.checkpoint, self.statistics, self.glove, TAGS)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """finest.tar, mean.npy, std.npy and GloVe files as text-to-motion distributes them."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    networks = {
        "movement_encoder": movement().eval(),
        "motion_encoder": bigru(512, 1024, tags=False),
        "text_encoder": bigru(300, 512, tags=True),
    }
    torch.save(
        {**{name: network.state_dict() for name, network in networks.items()}, "epoch": 57, "iter": 30000},
        folder / "finest.tar",
    )
    rng = np.random.default_rng(0)
    np.save(folder / "mean.npy", rng.normal(size=263).astype(np.float32))
    np.save(folder / "std.npy", rng.uniform(0.5, 2, 263).astype(np.float32))
    vectors = rng.normal(size=(len(WORDS), 300))
    np.save(folder / "our_vab_data.npy", vectors)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(WORDS))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps({word: i for i, word in enumerate(WORDS)}))
    return Published(folder / "finest.tar", folder, folder, networks, vectors.astype(np.float32))


def test_motions_are_embedded_as_by_the_published_networks(published: Published) -> None:
    rng = np.random.default_rng(1)
    motions = [rng.normal(size=(frames, 263)).astype(np.float32) for frames in (40, 63, 196)]
    found = published.load().motions(motions)
    mean, std = (np.load(published.statistics / f"{name}.npy") for name in ("mean", "std"))
    for motion, embedding in zip(motions, found, strict=True):
        # Without foot contacts, cut to snippets of 4 frames.
        normal = ((motion - mean) / std)[: len(motion) // 4 * 4, :259]
        network = published.networks["movement_encoder"]
        with torch.no_grad():
            snippets = network["main"](torch.from_numpy(normal[None]).float().transpose(1, 2)).transpose(1, 2)
            assert snippets.shape[1] == len(motion) // 4
            expected = run_bigru(published.networks["motion_encoder"], network["out_net"](snippets))
        np.testing.assert_allclose(embedding, expected[0].numpy(), atol=1e-4)
    assert found.shape == (3, 512)


@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        # VERB 0, NOUN 1, DET 2, ...; words of their own classes take those: walk Act_VIP 12, slowly Desc_VIP 13.
        ("a person walks slowly", ["sos", "a", "person", "walk", "slowly", "eos"], [14, 2, 1, 12, 13, 14]),
        # What GloVe lacks is "unk", and OTHER.
        ("a person somersaults", ["sos", "a", "person", "unk", "eos"], [14, 2, 1, 14, 14]),
    ],
)
def test_texts_are_embedded_as_by_the_published_networks(
    published: Published, text: str, words: list[str], tags: list[int]
) -> None:
    network = published.networks["text_encoder"]
    vectors = torch.from_numpy(published.vectors[[WORDS.index(word) for word in words]])
    onehot = nn.functional.one_hot(torch.tensor(tags), 15).float()
    with torch.no_grad():
        expected = run_bigru(network, (vectors + network["pos_emb"](onehot))[None])
    np.testing.assert_allclose(published.load().texts([text])[0], expected[0].numpy(), atol=1e-4)


def test_tags_are_read_from_humanml3d_texts(tmp_path: Path) -> None:
    (tmp_path / "000001.txt").write_text(
        "a person walks slowly#a/DET person/NOUN walk/VERB slowly/ADV#0.0#0.0\n\nbroken line\n"
    )
    assert read_tags(tmp_path) == {"a person walks slowly": TAGS["a person walks slowly"]}


def test_sentences_without_tags_need_a_tagger(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(InputError, match="no part-of-speech tags"):
        published.load().texts(["an untagged sentence"])


@pytest.mark.parametrize("shape", [(7, 263), (40, 262)])
def test_motions_of_other_shapes_are_refused(published: Published, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="motions"):
        published.load().motions([np.zeros(shape, np.float32)])


class Touching:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT)


@pytest.mark.parametrize("name", ["finest.tar", "our_vab_words.pkl", "our_vab_idx.pkl"])
def test_files_that_would_run_code_are_refused(published: Published, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "was here"
    for file in published.glove.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(pickle.dumps(Touching(mark)))
    with pytest.raises(FormatError):
        GuoEvaluator(tmp_path / "finest.tar", tmp_path, tmp_path)
    assert not mark.exists()


def test_a_checkpoint_without_its_parts_is_refused(published: Published, tmp_path: Path) -> None:
    weights = torch.load(published.checkpoint, weights_only=True)
    del weights["motion_encoder"]["output_net.3.weight"]
    torch.save(weights, tmp_path / "finest.tar")
    with pytest.raises(FormatError, match="checkpoint"):
        GuoEvaluator(tmp_path / "finest.tar", published.statistics, published.glove)
