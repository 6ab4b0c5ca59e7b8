"""Scenes from the wire, as bodies look them up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import trimesh

from kinesphere.errors import InputError
from kinesphere.scenes import Raster
from kinesphere.v1 import scene_pb2 as pb
from services.reactor.scenes import SceneBuilder, unpacked

FORMATS = {"glb": pb.Mesh.FORMAT_GLB, "obj": pb.Mesh.FORMAT_OBJ, "ply": pb.Mesh.FORMAT_PLY}
SIZE, CENTRE = (1.0, 0.8, 0.6), (0.4, 0.4, 0.9)
AXES, ORIGIN = np.eye(3), np.array([0.1, 0.9, -0.1])


def mesh(format: str) -> pb.Mesh:
    """A box on the floor, ahead of a body at the origin."""
    box = trimesh.creation.box(SIZE)
    box.apply_translation(CENTRE)
    data = box.export(file_type=format)
    return pb.Mesh(format=FORMATS[format], data=data if isinstance(data, bytes) else data.encode())


def points(*values: tuple[float, float, float]) -> list[pb.Point]:
    return [pb.Point(x=x, y=y, z=z) for x, y, z in values]


async def read(scene: pb.Scene, scale: float = 1.0) -> Raster:
    raster = await unpacked(await SceneBuilder().packed(scene, "scene", scale))
    assert raster is not None
    return raster


async def refused(scene: pb.Scene) -> InputError:
    with pytest.raises(InputError) as caught:
        await SceneBuilder().packed(scene, "session.scene", 1.0)
    return caught.value


@pytest.mark.parametrize("format", FORMATS)
async def test_a_mesh_fills_what_its_box_fills(format: str) -> None:
    centre, size = points(CENTRE, SIZE)
    box = pb.Scene(objects=[pb.SceneObject(id="crate", center=centre, size=size)])
    wanted, found = [(await read(scene)).around(AXES, ORIGIN) for scene in (box, pb.Scene(mesh=mesh(format)))]
    assert wanted.sum() > 300
    # Cells that the surface goes through are filled, so a mesh is up to a cell larger.
    assert (found >= wanted).mean() > 0.995
    assert found.sum() < 1.35 * wanted.sum()


async def test_a_mesh_stands_beside_objects() -> None:
    centre, size = points((-0.9, 0.5, 0.5), (0.3, 1.0, 0.3))
    scene = pb.Scene(objects=[pb.SceneObject(id="post", center=centre, size=size)], mesh=mesh("glb"))
    cells = (await read(scene)).around(AXES, ORIGIN)
    assert cells[:9].any()
    assert cells[12:].any()


async def test_a_scene_is_told_in_the_bodys_units() -> None:
    centre, size = points((0.8, 0.4, 1.2), (0.8, 0.8, 0.4))
    large = pb.Scene(objects=[pb.SceneObject(id="crate", center=centre, size=size)])
    centre, size = points((1.0, 0.5, 1.5), (1.0, 1.0, 0.5))
    larger = pb.Scene(objects=[pb.SceneObject(id="crate", center=centre, size=size)])
    own, reference = await read(large, 0.8), await read(larger)
    assert reference.around(AXES, ORIGIN).sum() > 50
    # The same but for columns whose distance is rounded to the other side.
    assert (own.around(AXES, ORIGIN) != reference.around(AXES, ORIGIN)).sum() <= 24


async def test_nothing_is_nothing() -> None:
    assert await SceneBuilder().packed(pb.Scene(), "scene", 1.0) == b""
    assert await SceneBuilder().packed(pb.Scene(id="hall"), "scene", 1.0) == b""
    assert await unpacked(b"") is None


async def test_who_no_longer_waits_is_not_built_for() -> None:
    builder, scene = SceneBuilder(), pb.Scene(mesh=mesh("obj"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(5):
        await builder.packed(scene, "scene", 1.0)
    each = (loop.time() - began) / 5
    calls = [asyncio.create_task(builder.packed(scene, "scene", 1.0)) for _ in range(100)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for call in calls[:-1]:
        call.cancel()
    began = loop.time()
    assert await calls[-1]
    assert loop.time() - began < 50 * each


async def test_what_cannot_be_used_is_named() -> None:
    obj = pb.Mesh.FORMAT_OBJ
    for data, field in (
        (b"nonsense", "session.scene.mesh"),
        (b"v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", "session.scene.mesh.vertices"),
        (b"v 0 0 0\nv 1 0 0\nv 0 20000 0\nf 1 2 3\n", "session.scene.mesh.vertices"),
        (b"v 0 0 0\nv 900 0 0\nv 0 900 900\nf 1 2 3\n", "session.scene.mesh"),
    ):
        assert (await refused(pb.Scene(mesh=pb.Mesh(format=obj, data=data)))).field == field
    both = pb.Scene(
        mesh=mesh("obj"), occupancy=pb.OccupancyGrid(cell_size=0.1, size_x=1, size_y=1, size_z=8, filled=b"1")
    )
    assert (await refused(both)).field == "session.scene.mesh"
    centre, size = points((0, 1, 0), (9_000, 2, 9_000))
    wide = await refused(pb.Scene(objects=[pb.SceneObject(id="hall", center=centre, size=size)]))
    assert wide.field == "session.scene"
    assert "20000" in wide.reason
