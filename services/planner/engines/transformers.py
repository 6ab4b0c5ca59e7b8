"""Any causal language model of Hugging Face transformers, by path, on torch: an 8-billion Qwen3 on a GPU, or a test's.

Optional: needs ``torch`` and ``transformers``. Rows are padded on the left to the longest, hidden by the attention
mask; positions are each row's own, so a row's logits do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray

if TYPE_CHECKING:
    from torch import Tensor


class TransformersLanguageModel:
    """``LanguageModel`` on a Hugging Face folder; nothing is downloaded and no code of the folder is run.

    device: ``auto`` takes a GPU when there is one, and then the checkpoint's own precision. Raises FileNotFoundError
    without the folder or its weights, RuntimeError without torch.
    """

    name = "transformers"

    def __init__(
        self,
        folder: Path,
        *,
        threads: int | None = None,
        max_rows: int = 16,
        max_length: int | None = None,
        device: str = "auto",
    ) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ImportError as error:
            raise RuntimeError("the transformers engine needs the packages torch and transformers") from error
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} is not a Hugging Face model: it has no config.json")
        if not any(next(folder.glob(f"*{kind}"), None) for kind in (".safetensors", ".bin")):
            raise FileNotFoundError(
                f"{folder} holds no weights for the transformers engine (model.safetensors): the shipped planner has"
                " them only as ONNX (KINESPHERE_PLANNER_ENGINE=onnx); `kinesphere train sft` writes both"
            )
        self._torch = torch
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._model = cast(Any, AutoModelForCausalLM).from_pretrained(
            folder,
            dtype=torch.float32 if device == "cpu" else "auto",
            local_files_only=True,
            trust_remote_code=False,
        )
        self._model.to(self._device).eval()
        limit = int(getattr(self._model.config, "max_position_embeddings", 2048))
        self.max_length = min(max_length or limit, limit)
        self.max_rows = max_rows
        self.width = int(self._model.get_input_embeddings().embedding_dim)
        self._rows: list[int] = []
        self._lengths: list[int] = []
        self._cache: list[tuple[Tensor, Tensor]] = []  # [B, Hkv, longest, hd] a layer, keys and values
        self._handles = count()

    def embed(self, ids: Sequence[int]) -> FloatArray:
        with self._torch.inference_mode():
            rows = self._model.get_input_embeddings()(self._torch.tensor(list(ids), device=self._device))
        embeds: FloatArray = rows.float().cpu().numpy()
        return embeds

    def prefill(self, embeds: FloatArray) -> tuple[int, FloatArray]:
        length = len(embeds)
        if not 0 < length <= self.max_length:
            raise InputError("prompt", f"takes {length} positions, 1 to {self.max_length} fit the model")
        if len(self._rows) == self.max_rows:
            raise RuntimeError(f"{self.max_rows} rows are open, no more fit")
        torch = self._torch
        with torch.inference_mode():
            out = self._model(
                inputs_embeds=torch.from_numpy(np.ascontiguousarray(embeds[None])).to(
                    self._device, self._model.dtype
                ),
                use_cache=True,
                logits_to_keep=1,
            )
            new = _layers(out.past_key_values)
            longest = max(length, *self._lengths) if self._lengths else length
            new = [(_pad(k, longest), _pad(v, longest)) for k, v in new]
            if self._rows:
                old = [(_pad(k, longest), _pad(v, longest)) for k, v in self._cache]
                new = [
                    (torch.cat([a, c]), torch.cat([b, d])) for (a, b), (c, d) in zip(old, new, strict=True)
                ]
            self._cache = new
        row = next(self._handles)
        self._rows.append(row)
        self._lengths.append(length)
        logits: FloatArray = out.logits[0, -1].float().cpu().numpy()
        return row, logits

    def step(self, tokens: Mapping[int, int]) -> dict[int, FloatArray]:
        if tokens.keys() != set(self._rows):
            raise ValueError("a step feeds a token to every open row")
        if not self._rows:
            return {}
        if max(self._lengths) >= self.max_length:
            raise InputError("prompt", f"a sequence is longer than {self.max_length} positions")
        torch = self._torch
        from transformers import DynamicCache

        with torch.inference_mode():
            lengths = torch.tensor(self._lengths, device=self._device)
            longest = int(max(self._lengths)) + 1
            columns = torch.arange(longest, device=self._device)
            mask = (columns[None] >= longest - 1 - lengths[:, None]).long()
            cache = DynamicCache()
            for i, (keys, values) in enumerate(self._cache):
                cache.update(keys, values, i)
            out = self._model(
                input_ids=torch.tensor([[tokens[row]] for row in self._rows], device=self._device),
                attention_mask=mask,
                position_ids=lengths[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            self._cache = _layers(out.past_key_values)
            logits = out.logits[:, -1].float().cpu().numpy()
        self._lengths = [length + 1 for length in self._lengths]
        return dict(zip(self._rows, logits, strict=True))

    def release(self, row: int) -> None:
        at = self._rows.index(row)
        kept = [slot for slot in range(len(self._rows)) if slot != at]
        self._rows.pop(at)
        self._lengths.pop(at)
        longest = max(self._lengths, default=0)
        self._cache = (
            [(k[kept][:, :, -longest:], v[kept][:, :, -longest:]) for k, v in self._cache] if kept else []
        )


def _layers(cache: Any) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _pad(cache: Tensor, longest: int) -> Tensor:
    """Zeros on the left of the positions, up to ``longest``."""
    from torch.nn import functional

    return functional.pad(cache, (0, 0, longest - cache.shape[2], 0))
