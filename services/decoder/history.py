"""A motion to go on from: what the networks need to know of it, and where in the world it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.representations.whole import position_features
from kinesphere.skeleton import FloatArray
from services.common.runtime import ModelRuntime
from services.decoder.frames import Place
from services.decoder.plan import FRAMES_PER_BLOCK, FRAMES_PER_LATENT, LATENTS_PER_BLOCK
from services.decoder.windows import HISTORY, History

MIN_SECONDS: Final = 0.2
# More than the networks can see; a longer history changes nothing.
_MAX_SECONDS: Final = 10.0
# A history whose lowest point lies between these heights is taken to live on the floor y = 0: a short one need not
# touch it. Else its lowest point is its floor.
_FLOOR_BELOW, _FLOOR_ABOVE = -0.05, 0.5


async def follow(runtime: ModelRuntime, motion: Motion, path: str, *, latents: bool) -> tuple[History, Place]:
    """What to continue ``motion`` from. latents: also those of the motion VAE (else zeros).

    Raises InputError(``path``) when the motion is shorter than 0.2 s.
    """
    positions = _end_aligned(motion, path)
    lowest = float(positions[..., 1].min())
    floor = 0.0 if _FLOOR_BELOW <= lowest <= _FLOOR_ABOVE else lowest
    uniform = positions if hml263.has_uniform_bones(positions) else hml263.uniform_positions(positions)
    # The retargeted body is as far above its own floor as its legs are long.
    scaled = floor * float(uniform[0, 0, 1] / positions[0, 0, 1]) if abs(positions[0, 0, 1]) > 1e-6 else floor
    features = position_features(uniform, scaled)
    place = _place(positions, uniform, features, floor)
    whole = len(features) // FRAMES_PER_LATENT * FRAMES_PER_LATENT
    features = features[len(features) - whole :]
    count = min(HISTORY, whole // FRAMES_PER_LATENT)
    missing = -whole % FRAMES_PER_BLOCK
    padded = np.concatenate([np.repeat(features[:1], missing, axis=0), features])[None]
    codes = await runtime.infer("tokenizer_encode", {"motion": padded})
    semantic = np.repeat(codes["semantic"][0], LATENTS_PER_BLOCK)[-count:]
    detail = codes["detail"][0][-count:]
    if latents:
        known = (await runtime.infer("vae_encode", {"motion": features[None]}))["latents"][0, -count:]
    else:
        known = np.zeros((0, 1), np.float32)
    return History(known, semantic, detail), place


def _end_aligned(motion: Motion, path: str) -> FloatArray:
    """Positions [T,22,3] at 20 frames a second whose last frame is the motion's last frame."""
    if motion.num_frames / motion.fps < MIN_SECONDS - 1e-6:
        raise InputError(
            path, f"lasts {motion.num_frames / motion.fps:.3g} s, at least {MIN_SECONDS:g} s are needed"
        )
    keep = int(np.ceil(_MAX_SECONDS * motion.fps)) + 1
    motion = motion.slice(max(0, motion.num_frames - keep), motion.num_frames)
    sampled = _reversed(_reversed(motion).resampled(hml263.FPS)).positions
    least = round(MIN_SECONDS * hml263.FPS)
    # 0.2 s of a fast recording can end just short of four frames.
    return np.concatenate([np.repeat(sampled[:1], max(0, least - len(sampled)), axis=0), sampled])


def _reversed(motion: Motion) -> Motion:
    return replace(
        motion,
        translation=motion.translation[::-1],
        rotations=motion.rotations[::-1],
        positions=motion.positions[::-1],
    )


def _place(positions: FloatArray, uniform: FloatArray, features: FloatArray, floor: float) -> Place:
    """Where and in which heading the frame after the last one stands."""
    integrator = hml263.Integrator()
    canonical = integrator.step(features)[-1].astype(np.float64)
    world = uniform[-1].astype(np.float64)
    # Both are one pose, turned about the vertical: the turn that fits all joints best.
    a, b = canonical[:, [0, 2]] - canonical[0, [0, 2]], world[:, [0, 2]] - world[0, [0, 2]]
    turn = float(np.arctan2((a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]).sum(), (a * b).sum()))
    step = np.asarray(integrator.ground) - canonical[0, [0, 2]]
    cos, sin = np.cos(turn), np.sin(turn)
    x = float(positions[-1, 0, 0] + cos * step[0] + sin * step[1])
    z = float(positions[-1, 0, 2] + cos * step[1] - sin * step[0])
    return Place(integrator.yaw + turn, (x, z), floor)
