"""A motion on somebody else's skeleton: joints in file units, and forward kinematics over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from kinesphere import rotations as rot
from kinesphere.errors import FormatError

Float = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class SourceHierarchy:
    """A take as its file tells it, in the file's units and axes.

    names, parents: J joints, parents before children, -1 for the root. offsets: [J,3] in the parent's frame.
    channels: for each joint the names of its columns in ``frames``, in file order. frames: [T,C]. fps: frames a second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float
    channels: tuple[tuple[str, ...], ...]
    frames: Float
    fps: float

    def index(self, name: str) -> int:
        """Index of the joint called ``name``. Raises FormatError naming the joint."""
        try:
            return self.names.index(name)
        except ValueError:
            raise FormatError("hierarchy", f"has no joint {name!r}") from None

    def global_transforms(self, joints: Collection[str] | None = None) -> dict[str, tuple[Float, Float]]:
        """World places [T,3] and rotation matrices [T,3,3] of ``joints`` (all by default) in file units.

        A position channel replaces that axis of the joint's offset, as the usual tools read BVH.
        """
        wanted = [self.index(name) for name in (self.names if joints is None else joints)]
        needed: set[int] = set()
        for joint in wanted:
            while joint >= 0 and joint not in needed:
                needed.add(joint)
                joint = self.parents[joint]
        starts = np.concatenate([[0], np.cumsum([len(c) for c in self.channels])])
        rotations = self._local_rotations(needed, starts)
        count = len(self.frames)
        places: dict[int, tuple[Float, Float]] = {}
        for joint in sorted(needed):
            local = np.broadcast_to(self.offsets[joint], (count, 3)).copy()
            for column, channel in enumerate(self.channels[joint], starts[joint]):
                if channel.endswith("position"):
                    local[:, "XYZ".index(channel[0])] = self.frames[:, column]
            rotation = rotations.get(joint)
            parent = self.parents[joint]
            if parent < 0:
                turned = np.broadcast_to(np.eye(3), (count, 3, 3)) if rotation is None else rotation
                places[joint] = (local, turned)
                continue
            origin, above = places[parent]
            place = origin + np.matmul(above, local[:, :, None])[:, :, 0]
            places[joint] = (place, above if rotation is None else np.matmul(above, rotation))
        return {self.names[joint]: places[joint] for joint in wanted}

    def rest_positions(self) -> dict[str, Float]:
        """[3] places of the joints with no rotation, file units, the root at the origin."""
        places: list[Float] = []
        for joint, parent in enumerate(self.parents):
            places.append(self.offsets[joint] + places[parent] if parent >= 0 else np.zeros(3))
        return dict(zip(self.names, places, strict=True))

    def local_rotations(self, joints: Sequence[str]) -> Float:
        """Rotations in the parents' frames, [T,len(joints),4] wxyz."""
        at = [self.index(name) for name in joints]
        starts = np.concatenate([[0], np.cumsum([len(c) for c in self.channels])])
        found = self._local_rotations(set(at), starts)
        still = np.broadcast_to(np.eye(3), (len(self.frames), 3, 3))
        return rot.from_matrix(np.stack([found.get(joint, still) for joint in at], axis=1))

    def _local_rotations(self, needed: set[int], starts: NDArray[np.int64]) -> dict[int, Float]:
        # One call a rotation order instead of one a joint: most rigs have one or two orders.
        orders: dict[str, list[tuple[int, list[int]]]] = {}
        for joint in sorted(needed):
            columns = [
                (channel[0], int(starts[joint]) + i)
                for i, channel in enumerate(self.channels[joint])
                if channel.endswith("rotation")
            ]
            if columns:
                order = "".join(axis for axis, _ in columns)
                orders.setdefault(order, []).append((joint, [column for _, column in columns]))
        result: dict[int, Float] = {}
        for order, users in orders.items():
            angles = np.stack([self.frames[:, columns] for _, columns in users])
            matrices = _euler(order, angles)
            for (joint, _), matrix in zip(users, matrices, strict=True):
                result[joint] = matrix
        return result


def _euler(order: str, degrees: Float) -> Float:
    """Intrinsic rotations in the order of the channels, [...,len(order)] degrees -> [...,3,3]."""
    shape = degrees.shape[:-1]
    flat = np.deg2rad(degrees.reshape(-1, len(order)))
    matrices = Rotation.from_euler(order, flat if len(order) > 1 else flat[:, 0]).as_matrix()
    return np.asarray(matrices, dtype=np.float64).reshape(*shape, 3, 3)
