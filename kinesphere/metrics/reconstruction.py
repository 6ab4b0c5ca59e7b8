"""Reconstruction errors in millimetres: MPJPE, PA-MPJPE, acceleration; as MotionGPT's ``MRMetrics`` reports them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError


@dataclass(frozen=True)
class ReconstructionError:
    """Millimetres (acceleration: millimetres a frame squared)."""

    mpjpe: float
    pa_mpjpe: float
    acceleration: float


def reconstruction(
    predicted: NDArray[np.floating], target: NDArray[np.floating], *, align_root: bool = True
) -> ReconstructionError:
    """Errors of one clip, [T,J,3] metres twice, T of at least 3.

    mpjpe: mean joint distance, both poses moved to their root first unless ``align_root`` is False. pa_mpjpe: after the
    best similarity transform a frame. acceleration: distance of second differences, roots not aligned.
    """
    if predicted.shape != target.shape or predicted.ndim != 3 or len(predicted) < 3:
        raise InputError(
            "predicted",
            f"shapes {list(predicted.shape)}, {list(target.shape)}; equal [T, J, 3], T of at least 3",
        )
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(target, dtype=np.float64)
    rooted = (guess - guess[:, :1], truth - truth[:, :1]) if align_root else (guess, truth)
    return ReconstructionError(
        mpjpe=_mean_distance(*rooted),
        pa_mpjpe=_mean_distance(procrustes(guess, truth), truth),
        acceleration=_mean_distance(np.diff(guess, 2, axis=0), np.diff(truth, 2, axis=0)),
    )


def procrustes(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """``source`` moved, turned and scaled onto ``target`` frame by frame (Umeyama 1991). [T,J,3] twice -> [T,J,3]."""
    centre_s, centre_t = source.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    s, t = np.asarray(source - centre_s, dtype=np.float64), np.asarray(target - centre_t, dtype=np.float64)
    u, values, vt = np.linalg.svd(np.swapaxes(s, 1, 2) @ t)
    # A reflection would fit a mirrored pose: flip the weakest axis where the rotation would be improper.
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[:, :, -1] *= sign[:, None]
    values[:, -1] *= sign
    scale = values.sum(axis=1) / np.maximum((s**2).sum(axis=(1, 2)), 1e-12)
    return np.asarray(scale[:, None, None] * (s @ (u @ vt)) + centre_t)


def _mean_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean() * 1000)
