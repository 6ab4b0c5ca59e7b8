"""The published HumanML3D evaluator (Guo et al. 2022), for users who have its files, so that tables compare.

Files, as distributed with text-to-motion: ``text_mot_match/model/finest.tar`` (weights), ``mean.npy``/``std.npy`` of
its ``Comp_v6_KLD01/meta`` and ``glove/our_vab_{data.npy,idx.pkl,words.pkl}``. Weights are read as plain tensors and
the pickles by an unpickler that admits no class: a hostile file cannot run code. Needs torch (``kinesphere[train]``).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.errors import FormatError, InputError
from kinesphere.skeleton import FloatArray

_STRIDE: Final = 4  # frames a movement snippet
_MAX_WORDS: Final = 20
_TAGS: Final = (
    "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV",
    "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER",
)  # fmt: skip
# Words that the published text encoder was trained to see under a class of their own instead of their part of speech.
_CLASSES: Final = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
_CLASS_OF: Final = {word: name for name, words in _CLASSES.items() for word in words.split()}


class GuoEvaluator:
    """``Evaluator`` on the published weights. Embeddings of 512.

    checkpoint: ``finest.tar``. statistics: folder with mean.npy and std.npy. glove: folder with ``our_vab_*``.
    tags: caption -> "word/TAG word/TAG ..." as in HumanML3D's ``texts/*.txt`` (see ``read_tags``); sentences that are
    not in it are tagged by spaCy (``en_core_web_sm``) when that is installed, as the data set was.
    Raises FormatError for files that are not what they should be.
    """

    name = "published HumanML3D evaluator (Guo et al. 2022)"

    def __init__(
        self,
        checkpoint: Path | str,
        statistics: Path | str,
        glove: Path | str,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        import torch

        self._torch = torch
        try:
            weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
            self._movement = _MovementEncoder(weights["movement_encoder"])
            self._motion = _BiGru(weights["motion_encoder"])
            self._text = _BiGru(weights["text_encoder"])
            self._tag_weights = (
                weights["text_encoder"]["pos_emb.weight"],
                weights["text_encoder"]["pos_emb.bias"],
            )
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, ValueError) as error:
            raise FormatError(
                "checkpoint", f"{checkpoint} is not the evaluator's finest.tar: {error}"
            ) from error
        self._mean = np.load(Path(statistics) / "mean.npy", allow_pickle=False).astype(np.float32)
        self._std = np.load(Path(statistics) / "std.npy", allow_pickle=False).astype(np.float32)
        self._vectors = np.load(Path(glove) / "our_vab_data.npy", allow_pickle=False).astype(np.float32)
        words, places = _plain(Path(glove) / "our_vab_words.pkl"), _plain(Path(glove) / "our_vab_idx.pkl")
        if not isinstance(words, list) or not isinstance(places, dict) or "unk" not in places:
            raise FormatError(
                "glove", "our_vab_words.pkl, our_vab_idx.pkl: a list and a dict with 'unk' are expected"
            )
        self._places: dict[str, int] = places
        self._tags = dict(tags or {})
        self._tagger: Any = None

    def motions(self, motions: Sequence[FloatArray]) -> FloatArray:
        """[N,512] of raw hml263 motions; each is cut to a multiple of 4 frames, of which it needs at least 8."""
        rows = []
        for motion in motions:
            usable = len(motion) // _STRIDE * _STRIDE
            if usable < 2 * _STRIDE or motion.shape[1:] != self._mean.shape:
                raise InputError(
                    "motions", f"shape {list(motion.shape)}, expected [T, 263] with T of at least 8"
                )
            normal = (motion[:usable] - self._mean) / self._std
            with self._torch.no_grad():
                # Without the four contacts, as published. One clip at a time: no padding to mask.
                snippets = self._movement(self._torch.from_numpy(normal[None, :, :-4].astype(np.float32)))
                rows.append(self._motion(snippets)[0].numpy())
        return np.stack(rows)

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """[N,512] of the sentences."""
        weight, bias = self._tag_weights
        rows = []
        for text in texts:
            tokens = self._tagged(text).split()[:_MAX_WORDS]
            pairs = [("sos", "OTHER"), *(_split(token) for token in tokens), ("eos", "OTHER")]
            words = np.stack(
                [self._vectors[self._places.get(word, self._places["unk"])] for word, _ in pairs]
            )
            onehot = np.zeros((len(pairs), len(_TAGS)), dtype=np.float32)
            for row, (word, tag) in zip(onehot, pairs, strict=True):
                known = word in self._places
                row[_TAGS.index(_CLASS_OF.get(word, tag) if known else "OTHER")] = 1
            with self._torch.no_grad():
                tagged = self._torch.from_numpy(onehot) @ weight.T + bias
                rows.append(self._text((self._torch.from_numpy(words) + tagged)[None])[0].numpy())
        return np.stack(rows)

    def _tagged(self, text: str) -> str:
        if text in self._tags:
            return self._tags[text]
        if self._tagger is None:
            try:
                import spacy  # type: ignore[import-not-found, unused-ignore]

                self._tagger = spacy.load("en_core_web_sm")
            except (ImportError, OSError) as error:
                raise InputError(
                    "texts",
                    f"'{text[:60]}' has no part-of-speech tags, and spaCy with en_core_web_sm is not installed",
                ) from error
        words = self._tagger(text.replace("-", ""))
        # As the data set was prepared: base forms of nouns and verbs, "left" kept.
        return " ".join(
            f"{word.lemma_ if word.pos_ in ('NOUN', 'VERB') and word.text != 'left' else word.text}/{word.pos_}"
            for word in words
            if word.text.isalpha()
        )


def read_tags(texts: Path | str) -> dict[str, str]:
    """Caption -> tagged words, from a HumanML3D ``texts`` folder (lines ``caption#tagged#start#end``)."""
    found = {}
    for path in sorted(Path(texts).glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            parts = line.split("#")
            if len(parts) == 4:
                found[parts[0].strip()] = parts[1].strip()
    return found


def _split(token: str) -> tuple[str, str]:
    word, _, tag = token.rpartition("/")
    return word, tag if tag in _TAGS else "OTHER"


class _NoClasses(pickle.Unpickler):
    """Lists, dicts, strings and numbers need no class; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not admitted")


def _plain(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _NoClasses(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, ValueError) as error:
        raise FormatError("glove", f"{path.name} holds more than lists of words: {error}") from error


class _MovementEncoder:
    """Two strided convolutions, frames [1,T,259] -> snippets [1,T/4,512] (dropout is off when evaluating)."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = {name: tensor.float() for name, tensor in state.items()}
        # Fail here rather than at the first motion.
        for name in (
            "main.0.weight",
            "main.0.bias",
            "main.3.weight",
            "main.3.bias",
            "out_net.weight",
            "out_net.bias",
        ):
            self._state[name]

    def __call__(self, frames: Any) -> Any:
        from torch.nn import functional

        s = self._state
        x = frames.transpose(1, 2)
        for layer in ("main.0", "main.3"):
            x = functional.conv1d(x, s[f"{layer}.weight"], s[f"{layer}.bias"], stride=2, padding=1)
            x = functional.leaky_relu(x, 0.2)
        return functional.linear(x.transpose(1, 2), s["out_net.weight"], s["out_net.bias"])


class _BiGru:
    """Linear, bidirectional GRU from a learned start, last states -> two-layer head. [1,L,in] -> [1,out]."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        import torch

        self._state = {name: tensor.float() for name, tensor in state.items()}
        width = self._state["input_emb.weight"].shape[0]
        self._gru = torch.nn.GRU(width, self._state["hidden"].shape[-1], batch_first=True, bidirectional=True)
        self._gru.load_state_dict(
            {
                name.removeprefix("gru."): tensor
                for name, tensor in self._state.items()
                if name.startswith("gru.")
            }
        )
        for layer in ("output_net.0", "output_net.1", "output_net.3"):
            self._state[f"{layer}.weight"], self._state[f"{layer}.bias"]

    def __call__(self, sequence: Any) -> Any:
        import torch
        from torch.nn import functional

        s = self._state
        embedded = functional.linear(sequence, s["input_emb.weight"], s["input_emb.bias"])
        _, last = self._gru(embedded, s["hidden"])
        x = functional.linear(
            torch.cat([last[0], last[1]], dim=-1), s["output_net.0.weight"], s["output_net.0.bias"]
        )
        x = functional.layer_norm(x, x.shape[-1:], s["output_net.1.weight"], s["output_net.1.bias"])
        x = functional.leaky_relu(x, 0.2)
        return functional.linear(x, s["output_net.3.weight"], s["output_net.3.bias"])
