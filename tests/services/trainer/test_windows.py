"""How a window's frames are put together, and what the VAE's start is worth."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from services.trainer.networks.vae import MotionVAE, VAEConfig  # noqa: E402
from services.trainer.stages.decoder import join_patches  # noqa: E402


def test_even_movement_passes_and_a_step_between_patches_is_halved() -> None:
    ramp = torch.arange(16.0)[None, :, None].expand(2, -1, 3)
    torch.testing.assert_close(join_patches(ramp, torch.ones(2, 3)), ramp)
    stepped = ramp + (torch.arange(16) >= 8)[None, :, None]
    joined = join_patches(stepped, torch.ones(2, 3))
    steps = joined.diff(dim=1)[0, :, 0]
    # The two frames beside the border share the correction; their other neighbours take up what it leaves.
    torch.testing.assert_close(steps[6:9], torch.tensor([1.25, 1.5, 1.25]))
    torch.testing.assert_close(join_patches(stepped, torch.tensor([[1.0, 0.0, 1.0]] * 2)), stepped)


def test_principal_components_already_code_what_varies_little() -> None:
    torch.manual_seed(0)
    # Eight numbers move all of it.
    motion = torch.randn(64, 4, 8) @ torch.randn(8, 263) + torch.randn(263)
    motion = motion.repeat_interleave(4, dim=1)
    vae = MotionVAE(VAEConfig(width=8, latent=8)).eval()
    vae.normalizer.set(motion.mean((0, 1)), motion.std((0, 1)))
    vae.start_from_components(motion)
    with torch.no_grad():
        latents = vae.encode(motion)
        torch.testing.assert_close(vae.decode(latents), motion, atol=1e-3, rtol=1e-3)
    assert latents.shape == (64, 4, 8)
    assert 0.5 < float(latents.std()) < 2.0
