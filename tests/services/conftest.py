"""Networks of the right shapes with random weights, exported by the real exporter: a service but for its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def motion_models(models: Path, request: pytest.FixtureRequest) -> Path:
    """The shipped networks; in a checkout without them, random ones of the same shapes."""
    if (models / "decoder_window" / "config.pbtxt").is_file():
        return models
    tiny: Path = request.getfixturevalue("tiny_models")
    return tiny


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the tokenizer's, the decoder's and the VAE's graphs (needs the train extra)."""
    pytest.importorskip("torch")
    pytest.importorskip("vector_quantize_pytorch")
    return _export(tmp_path_factory.mktemp("models"))


def _export(folder: Path) -> Path:
    import torch

    from services.trainer.export import export_onnx
    from services.trainer.networks.denoiser import Denoiser, DenoiserConfig
    from services.trainer.networks.tokenizer import MotionTokenizer, TokenizerConfig
    from services.trainer.networks.vae import MotionVAE, VAEConfig
    from services.trainer.stages import decoder, tokenizer, vae

    torch.manual_seed(0)
    mean, std = _statistics()
    # Two blocks, as in the shipped network: they set how far a token reaches.
    coder = MotionTokenizer(TokenizerConfig(width=16, semantic_width=16, blocks=2))
    autoencoder = MotionVAE(VAEConfig(width=16))
    denoiser = Denoiser(DenoiserConfig(width=32, layers=1, heads=2, steps=2))
    for network in (coder, autoencoder):
        network.normalizer.set(torch.from_numpy(mean), torch.from_numpy(std))
    # Adaptive norms start at zero, where a block does nothing.
    for parameter in denoiser.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    motion = torch.from_numpy(mean) + torch.from_numpy(std) * torch.randn(8, 64, 263)
    coder.train()
    coder.detail_quantizer(coder.detail_features(motion))  # a first look at data fills the codebooks
    coder.semantic_quantizer(coder.semantic_features(motion, torch.ones(8, 64)))
    for network in (coder, autoencoder, denoiser):
        network.eval().requires_grad_(False)

    frames, blocks, codes = {1: "frames"}, {1: "blocks"}, {1: "codes"}
    export_onnx(
        tokenizer._Encode(coder), {"motion": motion[:2]},
        ["semantic", "detail", "semantic_features", "detail_features"], folder / "tokenizer_encode",
        dynamic={"motion": frames, "semantic": blocks, "detail": codes, "semantic_features": blocks,
                 "detail_features": codes}, tolerance=np.inf,
    )  # fmt: skip
    semantic, detail = torch.randint(0, 512, (2, 4)), torch.randint(0, 512, (2, 16))
    export_onnx(
        tokenizer._Decode(coder), {"semantic": semantic, "detail": detail}, ["motion"], folder / "tokenizer_decode",
        dynamic={"semantic": blocks, "detail": codes, "motion": frames},
    )  # fmt: skip
    export_onnx(
        tokenizer._EmbedMotion(coder), {"motion": motion[:2]}, ["embedding"], folder / "embed_motion",
        dynamic={"motion": frames}, tolerance=np.inf,
    )  # fmt: skip
    export_onnx(
        tokenizer._EmbedText(coder), {"text_features": torch.randn(2, 9, 384), "text_mask": torch.ones(2, 9)},
        ["embedding"], folder / "embed_text",
        dynamic={"text_features": {1: "tokens"}, "text_mask": {1: "tokens"}},
    )  # fmt: skip
    export_onnx(
        vae._Encode(autoencoder), {"motion": motion[:2]}, ["latents"], folder / "vae_encode",
        dynamic={"motion": frames, "latents": codes}, tolerance=np.inf,
    )  # fmt: skip
    inputs = {
        "semantic": torch.randint(0, 512, (2, 20)), "detail": torch.randint(0, 512, (2, 20)),
        "valid": torch.ones(2, 20), "history": torch.randn(2, 8, 32), "history_mask": torch.ones(2, 8),
        "noise": torch.randn(2, 20, 32),
    }  # fmt: skip
    export_onnx(
        decoder.WindowSampler(denoiser, coder, autoencoder), inputs, ["motion", "latents"],
        folder / "decoder_window", dynamic={}, tolerance=5e-2,
    )  # fmt: skip
    return folder


def _statistics() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a body that walks on the spot: [263] each."""
    from kinesphere.motion import Motion
    from kinesphere.representations import hml263
    from kinesphere.rotations import from_axis_angle

    time = np.arange(80) / 20.0
    turns = np.zeros((80, 22, 3), np.float32)
    turns[:, 1, 0], turns[:, 2, 0] = 0.3 * np.sin(6 * time), -0.3 * np.sin(6 * time)
    root = np.stack([np.zeros(80), np.full(80, 0.95), 0.5 * time], axis=1)
    features = hml263.encode(Motion.from_rotations(root, from_axis_angle(turns), 20.0).positions)
    return features.mean(0), np.maximum(0.3 * features.std(0), 1e-3)
