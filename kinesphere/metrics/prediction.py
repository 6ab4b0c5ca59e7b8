"""Displacement errors of predicted and in-between motion, and the diversity of several predictions.

``reference_errors`` repeats MotionGPT's ``PredMetrics`` so that numbers compare with published tables. Its flaws: the
distance is the norm of the whole pose vector (it grows with the root of the number of joints), prediction is measured
to the padded end of the batch whatever the clip's length, and its APD compares one sample with itself, which is 0.
``displacement_errors`` is the corrected form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError

Task = Literal["prediction", "in-between"]


@dataclass(frozen=True)
class DisplacementErrors:
    """Metres. ade: mean over the predicted frames; fde: at the last predicted frame."""

    ade: float
    fde: float


def predicted_frames(frames: int, task: Task) -> slice:
    """Which frames of ``frames`` are predicted: the last 80 %, or all but the first and last 25 %."""
    if task == "prediction":
        return slice(int(frames * 0.2), frames)
    edge = int(frames * 0.25)
    return slice(edge, frames - edge)


def reference_errors(
    predicted: NDArray[np.floating], target: NDArray[np.floating], length: int, task: Task
) -> DisplacementErrors:
    """As published (see the module's note on its flaws). [T,J,3] padded, ``length`` valid frames."""
    _check(predicted, target, length)
    part = predicted_frames(length, task)
    if task == "prediction":
        part = slice(part.start, len(predicted))
    distance = np.linalg.norm((predicted - target).reshape(len(predicted), -1), axis=-1)[part]
    return DisplacementErrors(float(distance.mean()), float(distance[-1]))


def displacement_errors(
    predicted: NDArray[np.floating], target: NDArray[np.floating], length: int, task: Task
) -> DisplacementErrors:
    """Mean joint distance over the predicted frames of the valid ``length`` only, and at the last of them."""
    _check(predicted, target, length)
    distance = np.linalg.norm(predicted - target, axis=-1).mean(axis=-1)[predicted_frames(length, task)]
    return DisplacementErrors(float(distance.mean()), float(distance[-1]))


def average_pairwise_distance(samples: NDArray[np.floating]) -> float:
    """APD: mean over frames and pairs of the distance of whole-pose vectors, K samples [K,T,D], K of at least 2."""
    if samples.ndim != 3 or len(samples) < 2:
        raise InputError(
            "samples", f"has shape {list(samples.shape)}, expected [K, T, D] with K of at least 2"
        )
    first, second = np.triu_indices(len(samples), 1)
    return float(np.linalg.norm(samples[first] - samples[second], axis=-1).mean())


def _check(predicted: NDArray[np.floating], target: NDArray[np.floating], length: int) -> None:
    if predicted.shape != target.shape or predicted.ndim != 3:
        raise InputError(
            "predicted", f"shapes {list(predicted.shape)} and {list(target.shape)}; equal [T, J, 3]"
        )
    if not 2 <= length <= len(predicted):
        raise InputError("length", f"{length} is outside 2 to {len(predicted)} frames")
