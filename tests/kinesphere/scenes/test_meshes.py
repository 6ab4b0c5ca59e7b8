"""Meshes in files of every format, hostile ones too, and the space that they fill."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from kinesphere.errors import FormatError, InputError
from kinesphere.scenes import Box, Scene, meshes, store
from kinesphere.scenes.meshes import Mesh, field, load, parse, surface_points, surroundings


def box_file(format: str) -> bytes:
    """A box of 1 x 0.5 x 2 m that stands on the floor at (1, -1), in the bytes of a file."""
    box = trimesh.creation.box((1.0, 0.5, 2.0))
    box.apply_translation((1.0, 0.25, -1.0))
    data = box.export(file_type=format)
    return data if isinstance(data, bytes) else data.encode()


@pytest.mark.parametrize("format", ["glb", "obj", "ply"])
def test_every_format_holds_the_same_box(format: meshes.MeshFormat, tmp_path: Path) -> None:
    path = tmp_path / f"box.{format}"
    path.write_bytes(box_file(format))
    mesh = load(path)
    assert len(mesh.faces) == 12
    assert mesh.vertices.min(axis=0) == pytest.approx([0.5, 0.0, -2.0], abs=1e-6)
    assert mesh.vertices.max(axis=0) == pytest.approx([1.5, 0.5, 0.0], abs=1e-6)


def test_z_up_is_turned_and_not_mirrored() -> None:
    # A Z-up body's front (-Y) is +Z here; its left (+X) stays +X.
    mesh = parse(b"v 0 0 0\nv 0.3 0 0\nv 0 -0.2 0.9\nf 1 2 3\n", "obj", up="z")
    assert mesh.vertices[1] == pytest.approx([0.3, 0, 0])
    assert mesh.vertices[2] == pytest.approx([0, 0.9, 0.2])


def test_field_is_the_distance_to_the_box() -> None:
    mesh = parse(box_file("obj"), "obj")
    box = Box((1.0, 0.25, -1.0), (1.0, 0.5, 2.0))
    points = np.random.default_rng(0).uniform([0.1, 0.0, -2.4], [1.9, 0.9, 0.4], (400, 3))
    found = field(mesh, 0.05).distance(points)
    # A cell that the surface touches is filled, so that solids are up to a cell too large.
    assert np.abs(found - box.distance(points)).max() < 0.09
    inside = box.distance(points) < -0.1
    assert inside.sum() > 20
    hollow = field(mesh, 0.05, solid=False).distance(points)
    assert (found[inside] < 0).all()
    assert (hollow[inside] > 0).all()


def put(*parts: tuple[tuple[float, float, float], tuple[float, float, float]], open: bool = False) -> Mesh:
    """Boxes of sizes and centres as one surface; ``open``: without the triangles that look up."""
    shapes = []
    for size, centre in parts:
        shape = trimesh.creation.box(size)
        shape.apply_translation(centre)
        if open:
            shape.update_faces(shape.face_normals[:, 1] < 0.5)
        shapes.append(shape)
    whole = trimesh.util.concatenate(shapes)
    return Mesh(np.array(whole.vertices), np.array(whole.faces))


def test_rooms_are_stood_in_and_furniture_is_not() -> None:
    room = ((5.0, 3.0, 4.0), (0.0, 1.5, 0.0))
    chest = ((1.0, 0.6, 0.6), (1.0, 0.3, 0.5))
    distance = surroundings(put(room, chest), 2_000_000).distance
    # The room is 60 m3, the chest 0.36 m3; the floor that both have is none of the scene's.
    assert distance(np.array([0.0, 1.0, 0.0])) > 0.5
    assert distance(np.array([1.0, 0.3, 0.5])) < -0.2
    assert distance(np.array([-1.5, 0.0625, -1.0])) > 0.5
    assert abs(distance(np.array([2.5, 1.0, 0.0]))) < 0.06
    box = Box(chest[1], chest[0])
    points = np.random.default_rng(0).uniform([0.0, 0.1, -0.3], [1.6, 1.0, 0.9], (300, 3))
    assert np.abs(distance(points) - box.distance(points)).max() < 0.09


def test_an_open_surface_is_as_thick_as_a_cell() -> None:
    crate = ((1.0, 0.6, 0.6), (1.0, 0.3, 0.5))
    distance = surroundings(put(crate, open=True), 2_000_000).distance
    assert distance(np.array([1.0, 0.35, 0.5])) > 0.1
    assert distance(np.array([0.5, 0.35, 0.5])) < 0.03


def test_places_get_the_cells_that_they_need() -> None:
    small, large = ((1.0, 1.0, 1.0), (0.0, 0.5, 0.0)), ((30.0, 2.0, 30.0), (0.0, 1.0, 0.0))
    assert surroundings(put(small), 2_000_000).cell == 0.05
    assert surroundings(put(large), 2_000_000).cell == 0.125
    with pytest.raises(InputError, match="are more than 2000000 cells of 0.125 m") as caught:
        surroundings(put(small, ((1.0, 1.0, 1.0), (70.0, 0.5, 70.0))), 2_000_000)
    assert caught.value.field == "mesh"


def test_triangles_without_area_are_points() -> None:
    mesh = parse(b"v 0 0.5 0\nv 0 0.5 0\nv 1 0.5 0\nf 1 1 1\nf 1 2 3\n", "obj")
    assert surroundings(mesh, 2_000_000).distance(np.array([0.5, 0.5, 0.0])) < 0.03


def test_points_cover_the_surface() -> None:
    mesh = parse(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "obj")
    points = surface_points(mesh, 0.1)
    wanted = np.random.default_rng(0).dirichlet([1, 1, 1], 100)[:, :2]
    nearest = np.linalg.norm(points[None, :, :2] - wanted[:, None], axis=-1).min(axis=1)
    assert nearest.max() < 0.1
    assert (points >= -1e-9).all()


@pytest.mark.parametrize("format", ["glb", "obj", "ply"])
@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"\xff" * 400, b"ply\nformat ascii 1.0\nelement vertex 999999999\n"]
)
def test_what_is_no_mesh_is_refused(format: meshes.MeshFormat, data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data, format)
    assert caught.value.field.startswith("mesh")


def test_cut_files_are_refused_or_hold_less() -> None:
    for format in meshes.FORMATS:
        whole = box_file(format)
        for share in (0.3, 0.6, 0.9):
            try:
                mesh = parse(whole[: int(len(whole) * share)], format)
            except FormatError:
                continue
            assert len(mesh.faces) <= 12


def test_nan_and_far_vertices_are_refused() -> None:
    for number in ("nan", "inf", "1e30"):
        with pytest.raises(FormatError, match="vertices"):
            parse(f"v 0 0 0\nv 1 0 0\nv 0 {number} 0\nf 1 2 3\n".encode(), "obj")


def test_part_that_stands_at_too_many_places_is_refused() -> None:
    data = bytearray(box_file("glb"))
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    binary = bytes(data[20 + length :])
    mesh = next(index for index, node in enumerate(document["nodes"]) if "mesh" in node)
    node = document["nodes"][mesh]
    count = meshes.MAX_PARTS + 10
    document["nodes"] += [{**node, "name": f"copy{index}"} for index in range(count)]
    first = len(document["nodes"]) - count
    document["scenes"][0]["nodes"] = list(range(first, first + count))
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + len(binary)
    hostile = (
        struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON") + text + binary
    )
    with pytest.raises(FormatError, match="parts"):
        parse(hostile, "glb")


def test_nothing_that_a_file_points_to_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"byteLength": 36, "uri": "secret.bin"}],
    }  # fmt: skip
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data = struct.pack("<4sII", b"glTF", 2, 20 + len(text)) + struct.pack("<I4s", len(text), b"JSON") + text
    with pytest.raises(FormatError):
        parse(data, "glb")


def test_grid_or_surface_too_large_is_refused() -> None:
    huge = parse(b"v 0 0 0\nv 900 0 0\nv 0 900 900\nf 1 2 3\n", "obj")
    with pytest.raises(InputError) as caught:
        field(huge, 0.05)
    assert caught.value.field == "cell"
    with pytest.raises(InputError) as caught:
        surface_points(huge, 0.02)
    assert caught.value.field == "mesh"


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mesh.blend"
    path.write_bytes(b"x")
    with pytest.raises(FormatError) as caught:
        load(path)
    assert caught.value.field == "path"


def test_scene_comes_back_from_its_file(tmp_path: Path) -> None:
    mesh = parse(box_file("ply"), "ply")
    chair = Box((0, 0.2, 2.0), (0.4, 0.4, 0.4), 0.3, "chair", ("sit",))
    scene = Scene("room", (chair,), field(mesh, 0.1))
    again = store.load(store.save(scene, tmp_path / "room.npz"))
    assert again.boxes == scene.boxes
    assert again.id == "room"
    points = np.random.default_rng(0).uniform(-2, 3, (200, 3))
    assert again.distance(points) == pytest.approx(scene.distance(points), abs=1e-6)


def test_broken_scene_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "room.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(FormatError):
        store.load(path)
    with path.open("wb") as file:
        np.savez(file, about=np.frombuffer(b'{"id": "a", "boxes": [{}]}', dtype=np.uint8))
    with pytest.raises(FormatError):
        store.load(path)
    about = {"id": "a", "boxes": [], "shape": [10**6, 10**6, 10**6], "cell": 0.1}
    with path.open("wb") as file:
        np.savez(
            file, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
            filled=np.zeros(4, dtype=np.uint8), origin=np.zeros(3),
        )  # fmt: skip
    with pytest.raises(FormatError, match="cells"):
        store.load(path)


def test_mirror_turns_left_and_right_round() -> None:
    mesh = parse(box_file("obj"), "obj")
    scene = Scene("room", (Box((0.5, 0.5, 1.0), (0.2, 1, 1), 0.4),), field(mesh, 0.1))
    points = np.random.default_rng(1).uniform(-2, 2, (200, 3))
    seen = points * np.array([-1.0, 1.0, 1.0])
    assert scene.mirrored().distance(seen) == pytest.approx(scene.distance(points), abs=1e-5)


@pytest.mark.shared_data
def test_real_furniture_is_of_human_size(shared_data: Path) -> None:
    for name, height in (("bed", 0.6), ("table", 1.0), ("office_chair", 1.3), ("sofa", 0.74)):
        mesh = load(shared_data / "formats" / "trumans" / f"{name}.glb")
        assert mesh.vertices[:, 1].max() == pytest.approx(height, abs=0.05)
        assert mesh.vertices[:, 1].min() == pytest.approx(0.0, abs=0.05)
        assert field(mesh).occupancy.mean() > 0.01


def test_arrays_that_are_only_announced_are_refused() -> None:
    told = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"componentType": 5126, "type": "VEC3", "count": 20_000_000}],
    }  # fmt: skip
    text = json.dumps(told).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A)
    with pytest.raises(FormatError, match="accessor without data"):
        meshes.parse(head + text, "glb")
    told["accessors"][0]["bufferView"] = 0  # type: ignore[index]
    text = json.dumps(told).encode()
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A)
    with pytest.raises(FormatError, match="announces"):
        meshes.parse(head + text, "glb")


def test_copies_count(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box()
    for place in range(4):
        scene.add_geometry(
            box, geom_name="box", transform=trimesh.transformations.translation_matrix([place, 0, 0])
        )
    data = scene.export(file_type="glb")
    assert len(meshes.parse(data, "glb").faces) >= 12
    monkeypatch.setattr(meshes, "MAX_VERTICES", 7)
    with pytest.raises(FormatError, match=r"mesh\.vertices"):
        meshes.parse(data, "glb")
