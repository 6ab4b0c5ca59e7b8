"""Rotations, the few operations that are used everywhere: quaternions are unit, wxyz, and ``[..., 4]``.

Conversions go through scipy; what is written here is what scipy does not vectorise over leading axes or spells in
another order (xyzw).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.floating]

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)
_X, _Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product: the rotation that applies ``b`` first, then ``a``. [...,4] x [...,4] -> [...,4]."""
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    w = aw * bw - ax * bx - ay * by - az * bz
    product = np.empty((*w.shape, 4), dtype=w.dtype)
    product[..., 0] = w
    product[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    product[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    product[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return product


def cross(a: Array, b: Array) -> Array:
    """Vector product, [...,3] x [...,3] -> [...,3]; several times as fast as numpy's on short arrays."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    x = ay * bz - az * by
    product = np.empty((*x.shape, 3), dtype=x.dtype)
    product[..., 0] = x
    product[..., 1] = az * bx - ax * bz
    product[..., 2] = ax * by - ay * bx
    return product


def inverse(q: Array) -> Array:
    """Conjugate of a unit quaternion."""
    return q * np.array([1.0, -1.0, -1.0, -1.0], dtype=q.dtype)


def rotate(q: Array, v: Array) -> Array:
    """Turn vectors [...,3] by quaternions [...,4] (leading axes broadcast)."""
    u = q[..., 1:]
    t = 2.0 * cross(u, v)
    return v + q[..., :1] * t + cross(u, t)


def normalize(q: Array) -> Array:
    """Scale to unit length; a zero quaternion becomes the identity."""
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(norm > 1e-8, q / np.maximum(norm, 1e-8), IDENTITY.astype(q.dtype))


def between(a: Array, b: Array) -> Array:
    """The shortest rotation that turns direction ``a`` into direction ``b``, [...,3] x [...,3] -> [...,4]."""
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-12)
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    axis = cross(a, b)
    # Opposite directions: any axis at a right angle to ``a`` will do.
    helper = np.where(np.abs(a[..., :1]) < 0.9, _X, _Y).astype(a.dtype)
    axis = np.where(w < 1e-6, cross(a, helper), axis)
    return normalize(np.concatenate([np.where(w < 1e-6, 0.0, w), axis], axis=-1))


def about_y(angle: ArrayLike) -> Array:
    """Rotation about the vertical by ``angle`` radians (positive turns +Z towards +X). [...] -> [...,4]."""
    half = np.asarray(angle) / 2.0
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, np.sin(half), zero], axis=-1)


def _scipy(q: Array) -> Rotation:
    return Rotation.from_quat(q.reshape(-1, 4)[:, [1, 2, 3, 0]])


def to_matrix(q: Array) -> Array:
    """[...,4] -> [...,3,3]."""
    matrices: Array = _scipy(q).as_matrix().reshape(*q.shape[:-1], 3, 3).astype(q.dtype)
    return matrices


def from_matrix(m: Array) -> Array:
    """[...,3,3] -> [...,4] with w >= 0."""
    q: Array = Rotation.from_matrix(m.reshape(-1, 3, 3)).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    return q.reshape(*m.shape[:-2], 4).astype(m.dtype)


def to_axis_angle(q: Array) -> Array:
    """[...,4] -> [...,3] radians (SMPL's ``pose``)."""
    vectors: Array = _scipy(q).as_rotvec().reshape(*q.shape[:-1], 3).astype(q.dtype)
    return vectors


def from_axis_angle(v: Array) -> Array:
    """[...,3] radians -> [...,4]."""
    q: Array = Rotation.from_rotvec(v.reshape(-1, 3)).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    return q.reshape(*v.shape[:-1], 4).astype(v.dtype)


def to_6d(q: Array) -> Array:
    """[...,4] -> [...,6]: first column of the matrix, then the second (Zhou et al. 2019, arXiv:1812.07035)."""
    m = to_matrix(q)
    return np.concatenate([m[..., :, 0], m[..., :, 1]], axis=-1)


def from_6d(d: Array) -> Array:
    """[...,6] -> [...,4] by Gram-Schmidt. A first column of no length becomes X; a second along the first, any."""
    return from_matrix(matrix_from_6d(d))


def matrix_from_6d(d: Array) -> Array:
    """[...,6] -> [...,3,3], see ``from_6d``."""
    length = _length(d[..., :3])
    x = np.where(length > 1e-8, d[..., :3] / np.maximum(length, 1e-8), _X.astype(d.dtype))
    z = cross(x, d[..., 3:])
    length = _length(z)
    if (length <= 1e-8).any():
        helper = cross(x, np.where(np.abs(x[..., 1:2]) < 0.9, _Y, _X).astype(d.dtype))
        z = np.where(length > 1e-8, z, helper)
        length = _length(z)
    z = z / length
    return np.stack([x, cross(z, x), z], axis=-1)


def _length(v: Array) -> Array:
    """[...,3] -> [...,1]; what ``np.linalg.norm`` gives, in a third of its time on short arrays."""
    length: Array = np.sqrt(np.sum(v * v, axis=-1, keepdims=True))
    return length


def continuous(q: Array) -> Array:
    """Flip signs along axis 0 so that neighbours in time lie in the same hemisphere. [T,...,4]."""
    dots = np.sum(q[1:] * q[:-1], axis=-1, keepdims=True)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0).astype(q.dtype)
    return np.concatenate([q[:1], q[1:] * signs], axis=0)


def slerp(a: Array, b: Array, t: ArrayLike) -> Array:
    """Spherical interpolation on the shorter arc; ``t`` in [0,1] broadcasts against [...,1]."""
    t = np.asarray(t, dtype=a.dtype)
    dot = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sin = np.sin(angle)
    near = sin < 1e-6
    safe = np.where(near, 1.0, sin)
    wa = np.where(near, 1.0 - t, np.sin((1.0 - t) * angle) / safe)
    wb = np.where(near, t, np.sin(t * angle) / safe)
    return normalize(wa * a + wb * b)
