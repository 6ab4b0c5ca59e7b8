"""Pictures: what is drawn where, not how it looks."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesphere.drawing.camera import Camera
from kinesphere.drawing.contact_sheet import MAP, PANEL, PANEL_TOGETHER, contact_sheet
from kinesphere.drawing.figure import PALETTES, aligned, body_points
from kinesphere.drawing.plots import plot_motion
from kinesphere.drawing.video import write_video
from kinesphere.drawing.viewer import write_viewer
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.scenes import Box, DistanceField, Scene


def walker(frames: int = 30, fps: float = 20.0, heading: float = 0.0) -> Motion:
    """Rest pose gliding 1 m/s along its heading (radians from +Z towards +X)."""
    seconds = np.arange(frames) / fps
    translation = np.stack(
        [np.sin(heading) * seconds, np.full(frames, 0.95), np.cos(heading) * seconds], axis=1
    )
    rotations = np.zeros((frames, 22, 4), dtype=np.float32)
    rotations[..., 0] = 1
    rotations[:, 0, 0], rotations[:, 0, 2] = np.cos(heading / 2), np.sin(heading / 2)
    return Motion.from_rotations(translation, rotations, fps)


def colour_share(image: Image.Image, colour: tuple[int, int, int]) -> float:
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return float((np.abs(pixels - colour).max(axis=-1) < 12).mean())


def test_contact_sheet_has_a_panel_a_pose_and_both_sides_in_their_colours(tmp_path: Path) -> None:
    path = contact_sheet(walker(), tmp_path / "sheet.png", "a person glides", poses=6)
    with Image.open(path) as image:
        assert image.width == 6 * PANEL[0] + MAP
        for panel in range(6):
            figure = image.crop((panel * PANEL[0], 80, (panel + 1) * PANEL[0], 370))
            assert colour_share(figure, PALETTES[0].left) > 0.005
            assert colour_share(figure, PALETTES[0].right) > 0.005


def test_left_is_at_the_viewers_right_when_the_person_faces_the_camera(tmp_path: Path) -> None:
    path = contact_sheet(walker(heading=0.7), tmp_path / "sheet.png", poses=2)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)[:, : PANEL[0]]
    columns = {
        side: np.nonzero(np.abs(pixels - getattr(PALETTES[0], side)).max(axis=-1) < 12)[1].mean()
        for side in ("left", "right")
    }
    assert columns["left"] > columns["right"] + 10


def test_several_motions_make_rows_or_one_scene(tmp_path: Path) -> None:
    two = [walker(), walker(20)]
    with Image.open(contact_sheet(two, tmp_path / "rows.png", poses=3)) as rows:
        with Image.open(contact_sheet(two, tmp_path / "together.png", poses=3, together=True)) as scene:
            assert rows.height == 2 * scene.height
            assert colour_share(scene, PALETTES[1].left) > 0.001


@pytest.mark.parametrize("poses", [1, 17])
def test_poses_out_of_range_are_refused(tmp_path: Path, poses: int) -> None:
    with pytest.raises(InputError, match="poses"):
        contact_sheet(walker(), tmp_path / "sheet.png", poses=poses)
    with pytest.raises(InputError, match="motions"):
        contact_sheet([], tmp_path / "sheet.png")


def test_camera_looks_at_its_target_and_keeps_up_up() -> None:
    camera = Camera(np.array([1.0, 0.9, 2.0]), 4.0, 0.3, 0.2, (640, 480))
    centre, depth = camera.project(np.array([1.0, 0.9, 2.0]))
    assert centre == pytest.approx([320, 240])
    assert depth == pytest.approx(4.0)
    above, _ = camera.project(np.array([1.0, 1.9, 2.0]))
    assert above[0] == pytest.approx(320)
    assert above[1] < 240


def test_nose_points_where_the_body_faces() -> None:
    points = body_points(walker(heading=1.0).positions)
    nose = points[0, 23] - points[0, 22]
    assert np.degrees(np.arctan2(nose[0], nose[2])) == pytest.approx(np.degrees(1.0), abs=3)


def test_aligned_interpolates_and_holds_the_shorter() -> None:
    points = aligned([walker(41), walker(21)], fps=40)
    assert [len(body) for body in points] == [81, 81]
    # The curve eases in and out within the first and last frame.
    assert points[0][2:-2, 0, 2] == pytest.approx(np.arange(2, 79) / 40, abs=1e-4)
    assert points[1][-1] == pytest.approx(points[1][42], abs=1e-5)


def test_gif_plays_at_the_motions_speed(tmp_path: Path) -> None:
    path = write_video(walker(21), tmp_path / "walk.gif", "walk", size=(128, 96))
    with Image.open(path) as image:
        assert image.size == (128, 96)
        frames = getattr(image, "n_frames", 1)
        assert frames * image.info["duration"] == pytest.approx(1050, abs=1)


def test_mp4_is_h264_with_a_frame_a_tick(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = write_video([walker(21), walker(21, heading=2.0)], tmp_path / "walk.mp4", size=(128, 96), fps=30)
    frames, seconds = ffmpeg.count_frames_and_secs(str(path))
    assert frames == 31
    assert seconds == pytest.approx(31 / 30, abs=0.05)


def test_video_refuses_other_suffixes_and_sizes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="path"):
        write_video(walker(), tmp_path / "walk.avi")
    with pytest.raises(InputError, match="size"):
        write_video(walker(), tmp_path / "walk.mp4", size=(101, 64))
    with pytest.raises(InputError, match="fps"):
        write_video(walker(), tmp_path / "walk.mp4", fps=1000)


def viewer_data(path: Path) -> dict[str, object]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL
    )
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_viewer_holds_the_positions_to_the_millimetre_and_loads_nothing(tmp_path: Path) -> None:
    motion = walker(heading=0.5)
    path = write_viewer([motion, walker()], tmp_path / "view.html", "two", names=["Ann", "Ben"])
    page = path.read_text()
    assert not re.search(r"https?://|<link|src=|import ", page)
    people = viewer_data(path)["people"]
    assert isinstance(people, list)
    assert [person["name"] for person in people] == ["Ann", "Ben"]
    values = np.frombuffer(base64.b64decode(people[0]["positions"]), dtype="<i2").reshape(30, -1, 3)
    points = values / 1000 + np.array(people[0]["origin"])
    assert points[:, :22] == pytest.approx(motion.positions, abs=0.00051)


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "__DATA__ __TITLE__", "\u2028 <!-- &amp; \"'"]
)
def test_viewer_text_is_never_markup(tmp_path: Path, text: str) -> None:
    path = write_viewer(walker(), tmp_path / "view.html", text, caption=text)
    data = viewer_data(path)
    assert data["title"] == text
    assert data["caption"] == text
    assert path.read_text().count("<script") == 2


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to check the script with")
def test_viewer_script_is_javascript(tmp_path: Path) -> None:
    page = write_viewer(walker(), tmp_path / "view.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    (tmp_path / "view.js").write_text(scripts[0])
    subprocess.run(["node", "--check", tmp_path / "view.js"], check=True, timeout=60)


def test_contact_sheet_names_the_time_of_the_last_frame() -> None:
    from kinesphere.drawing import contact_sheet as sheet

    drawn: list[str] = []
    text = sheet.Painter.text

    def noted(self: sheet.Painter, at: tuple[int, int], words: str, *rest: object, **more: object) -> None:
        drawn.append(words)
        text(self, at, words, *rest, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheet.Painter, "text", noted)
        sheet._row([walker(41)], 3)
    assert [words for words in drawn if words.endswith(" s")] == ["0.00 s", "1.00 s", "2.00 s"]


def test_viewer_refuses_what_does_not_fit_millimetres(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="motions"):
        write_viewer(walker(2000, fps=20), tmp_path / "view.html")


def test_plot_writes_a_picture_even_of_one_frame(tmp_path: Path) -> None:
    for frames in (1, 40):
        with Image.open(plot_motion(walker(frames), tmp_path / "plot.png", "glide")) as image:
            assert image.width > 800


@pytest.mark.parametrize("heading", [0.0, 0.8, -1.4, 2.5])
def test_two_who_face_each_other_are_seen_from_the_side(tmp_path: Path, heading: float) -> None:
    ahead = np.array([np.sin(heading), 0.0, np.cos(heading)], dtype=np.float32)
    first = walker(20, heading=heading)
    second = walker(20, heading=heading + np.pi)
    second = Motion.from_rotations(second.translation + 2.5 * ahead, second.rotations, 20.0)
    path = contact_sheet([first, second], tmp_path / "sheet.png", poses=2, together=True)
    with Image.open(path) as image:
        assert image.width == 2 * PANEL_TOGETHER[0] + MAP
        panel = np.asarray(image.convert("RGB").crop((0, 0, PANEL_TOGETHER[0], image.height))).astype(int)
    # In the first picture each one's limbs are in a half of their own.
    limbs = [
        np.concatenate(
            [
                np.argwhere(np.abs(panel - colour).max(axis=-1) < 8)[:, 1]
                for colour in (PALETTES[person].left, PALETTES[person].right)
            ]
        )
        for person in (0, 1)
    ]
    assert all(len(found) > 100 for found in limbs)
    left, right = sorted(limbs, key=np.median)
    assert np.median(right) - np.median(left) > 60
    assert np.percentile(left, 98) < np.percentile(right, 2)


@pytest.mark.parametrize("heading", [0.0, 0.8, -1.4, 2.5])
def test_the_viewer_first_shows_two_from_the_side_and_one_from_the_front(
    tmp_path: Path, heading: float
) -> None:
    ahead = np.array([np.sin(heading), 0.0, np.cos(heading)], dtype=np.float32)
    first = walker(20, heading=heading)
    second = walker(20, heading=heading + np.pi)
    second = Motion.from_rotations(second.translation + 2.5 * ahead, second.rotations, 20.0)
    both = viewer_data(write_viewer([first, second], tmp_path / "both.html"))["azimuth"]
    alone = viewer_data(write_viewer(first, tmp_path / "one.html"))["azimuth"]
    assert isinstance(both, float)
    assert isinstance(alone, float)
    assert abs(np.cos(both - heading)) < 0.1
    assert np.cos(alone - heading) == pytest.approx(np.cos(0.6), abs=0.05)


def test_names_of_people_are_written_in_sheets_and_films(tmp_path: Path) -> None:
    two = [walker(8), walker(8, heading=1.0)]
    plain, told = (
        contact_sheet(two, tmp_path / f"{number}.png", "two", poses=2, together=True, names=names)
        for number, names in enumerate([(), ("agent", "partner")])
    )
    colours = []
    for path in (plain, told):
        with Image.open(path) as image:
            corner = image.convert("RGB").crop((image.width - 400, 8, image.width - 8, 40))
            colours.append({tuple(pixel) for pixel in np.asarray(corner).reshape(-1, 3).tolist()})
    assert PALETTES[1].left not in colours[0]
    assert {PALETTES[0].left, PALETTES[0].right, PALETTES[1].left, PALETTES[1].right} <= colours[1]
    films = [
        write_video(two, tmp_path / f"{len(names)}.gif", names=names) for names in ((), ("agent", "partner"))
    ]
    pictures = []
    for film in films:
        with Image.open(film) as image:
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
    changed = np.argwhere(np.abs(pictures[1] - pictures[0]).max(axis=-1) > 60)
    # Something was written at the lower left, and nowhere else.
    assert len(changed) > 100
    assert changed[:, 0].min() > 440
    assert changed[:, 1].max() < 200


def test_things_are_drawn_where_they_stand(tmp_path: Path) -> None:
    filled = np.zeros((10, 10, 10), dtype=bool)
    filled[3:7, 0:6, 3:7] = True
    field = DistanceField.from_occupancy(filled, 0.1, np.array([0.5, 0.0, 0.5]))
    scene = Scene("room", (Box((-1.2, 0.4, 0.8), (0.5, 0.8, 0.5), 0.4),), field)
    plain = contact_sheet(walker(), tmp_path / "plain.png", poses=2)
    sheet = contact_sheet(walker(), tmp_path / "scene.png", poses=2, scene=scene)
    wood = (219, 209, 193)  # a box's top on the map
    with Image.open(plain) as empty, Image.open(sheet) as image:
        assert colour_share(empty, wood) < 0.001
        above = image.crop((2 * PANEL_TOGETHER[0], 0, image.width, image.height))
        brown = np.asarray(above.convert("RGB")).astype(int)
        # Both things are on the map: one to the person's right, one to the left, where the map has them too.
        columns = np.flatnonzero((np.abs(brown - np.array([220, 209, 193])).max(axis=-1) < 6).sum(axis=0) > 8)
    assert columns.min() < MAP / 2 < columns.max()
    assert np.diff(columns).max() > 20
