from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sgkit.errors import InputError, MissingDependencyError
from sgkit.store import StoreReader
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.faces import DlibLandmarker, Face, FileLandmarker, cut_face, face_quad
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import header_of

FACE = Face((40.0, 50.0), (70.0, 48.0), (45.0, 85.0), (66.0, 84.0))
points = st.tuples(st.floats(-200, 200), st.floats(-200, 200))


def published_quad(face: Face) -> list[tuple[float, float]]:
    """The paper's formula, number by number."""
    (lx, ly), (rx, ry) = face.left_eye, face.right_eye
    (ax, ay), (bx, by) = face.left_mouth, face.right_mouth
    ex, ey = rx - lx, ry - ly
    mx, my = (ax + bx) / 2 - (lx + rx) / 2, (ay + by) / 2 - (ly + ry) / 2
    x0, x1 = ex + my, ey - mx  # e minus m turned by a quarter
    length = math.hypot(x0, x1)
    reach = max(2.0 * math.hypot(ex, ey), 1.8 * math.hypot(mx, my))
    x0, x1 = x0 / length * reach, x1 / length * reach
    y0, y1 = -x1, x0
    cx, cy = (lx + rx) / 2 + 0.1 * mx, (ly + ry) / 2 + 0.1 * my
    return [(cx + i * x0 + j * y0, cy + i * x1 + j * y1) for i, j in ((-1, -1), (-1, 1), (1, 1), (1, -1))]


@given(points, points, points, points)
@settings(max_examples=200)
def test_the_square_is_the_published_one(a: object, b: object, c: object, d: object) -> None:
    face = Face(a, b, c, d)  # type: ignore[arg-type]
    (lx, ly), (rx, ry) = face.left_eye, face.right_eye
    mx = (face.left_mouth[0] + face.right_mouth[0] - lx - rx) / 2
    my = (face.left_mouth[1] + face.right_mouth[1] - ly - ry) / 2
    if math.hypot(rx - lx + my, ry - ly - mx) < 1e-3:
        return  # no direction
    np.testing.assert_allclose(face_quad(face), published_quad(face), atol=1e-6)


def test_a_straight_face_gives_an_upright_square() -> None:
    face = Face((40, 50), (60, 50), (42, 70), (58, 70))
    np.testing.assert_allclose(face_quad(face), [[10, 12], [10, 92], [90, 92], [90, 12]])


@given(st.floats(-3, 3), st.floats(0.5, 3), points)
@settings(max_examples=50)
def test_the_square_turns_and_grows_with_the_face(angle: float, scale: float, shift: tuple[float, float]) -> None:
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def moved(point: tuple[float, float]) -> tuple[float, float]:
        x, y = turn @ np.array(point) + shift
        return float(x), float(y)

    other = Face(*(moved(p) for p in (FACE.left_eye, FACE.right_eye, FACE.left_mouth, FACE.right_mouth)))
    np.testing.assert_allclose(face_quad(other), face_quad(FACE) @ turn.T + shift, atol=1e-6)


def gradient(width: int, height: int) -> Image.Image:
    """A picture whose red is 2x and whose green is 2y."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 2, y * 2, x * 0], -1).astype(np.uint8))


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_the_cut_shows_the_square_to_sub_pixel_accuracy(angle: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    base = np.array([[-7.0, -8.0], [7.0, -8.0], [-5.0, 6.0], [5.0, 6.0]]) @ turn.T + 60.3
    face = Face(*((float(x), float(y)) for x, y in base))
    size = 16
    found = np.asarray(cut_face(gradient(120, 120), face, size, resample=Image.Resampling.BOX)).astype(float)
    upper_left, lower_left, _, upper_right = face_quad(face)
    step = (np.arange(size) + 0.5) / size
    expected = (
        upper_left + step[None, :, None] * (upper_right - upper_left) + step[:, None, None] * (lower_left - upper_left)
    )
    assert np.abs(found[..., :2] / 2 - expected).max() < 0.6
    assert np.abs(found[..., :2] / 2 - expected).mean() < 0.3


def test_what_sticks_out_is_mirrored_and_blurred() -> None:
    face = Face((5, 30), (25, 30), (8, 50), (22, 50))
    image = np.asarray(cut_face(gradient(60, 100), face, 32, resample=Image.Resampling.LANCZOS)).astype(int)
    assert image[16, 0, 0] > 10  # left of the edge, the mirrored picture grows brighter again
    assert np.abs(np.diff(image[..., 0], axis=1)).max() < 30


def test_large_pictures_are_shrunk_first_without_moving() -> None:
    face = Face((400, 500), (600, 500), (420, 700), (580, 700))
    y, x = np.mgrid[:1000, :1000]
    big = Image.fromarray(np.stack([x / 4, y / 4, x * 0], -1).astype(np.uint8))
    found = np.asarray(cut_face(big, face, 32, resample=Image.Resampling.BOX)).astype(float)
    centre = face_quad(face).mean(axis=0)
    assert found[15:17, 15:17, :2].mean(axis=(0, 1)) * 4 == pytest.approx(centre, abs=4)


def test_landmarks_on_one_point_are_no_face() -> None:
    with pytest.raises(BadImageError, match="no face"), np.errstate(invalid="ignore"):
        cut_face(gradient(20, 20), Face((5, 5), (5, 5), (5, 5), (5, 5)), 8, resample=Image.Resampling.BOX)
    with pytest.raises(BadImageError, match="outside"):
        cut_face(gradient(20, 20), Face((500, 5), (510, 5), (500, 15), (510, 15)), 8, resample=Image.Resampling.BOX)


def test_68_5_and_4_points_make_a_face() -> None:
    many = np.zeros((68, 2))
    many[36:42], many[42:48], many[48], many[54] = FACE.left_eye, FACE.right_eye, FACE.left_mouth, FACE.right_mouth
    assert Face.from_points(many) == FACE
    four = np.array([FACE.left_eye, FACE.right_eye, FACE.left_mouth, FACE.right_mouth])
    assert Face.from_points(four) == FACE
    assert Face.from_points(np.insert(four, 2, [55, 66], axis=0)) == FACE
    with pytest.raises(InputError, match="68, 5 or 4"):
        Face.from_points(np.zeros((7, 2)))


@pytest.mark.parametrize("form", ["csv", "json", "txt"])
def test_landmarks_from_a_file(tmp_path: Path, form: str) -> None:
    numbers = [v for p in (FACE.left_eye, FACE.right_eye, (55, 66), FACE.left_mouth, FACE.right_mouth) for v in p]
    names = [f"{axis}{i}" for i in range(5) for axis in "xy"]
    path = tmp_path / f"marks.{form}"
    if form == "csv":
        path.write_text(f"file,{','.join(names)}\na.png,{','.join(map(str, numbers))}\n")
    elif form == "txt":  # as CelebA's list_landmarks is
        path.write_text(f"1\n{' '.join(names)}\na.png {' '.join(map(str, numbers))}\n")
    else:
        path.write_text(json.dumps({"a.png": np.reshape(numbers, (5, 2)).tolist()}))
    marks = FileLandmarker(path)
    assert marks.find("faces/a.png", gradient(4, 4)) == [FACE]
    assert marks.find("b.png", gradient(4, 4)) == []


def test_a_wrong_landmark_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no landmark file"):
        FileLandmarker(tmp_path / "none.csv")
    (tmp_path / "m.csv").write_text("file,x0,y0\na.png,here,2\n")
    with pytest.raises(InputError, match="cannot be read as landmarks"):
        FileLandmarker(tmp_path / "m.csv")
    for value in ("nan", "inf", "1e300"):
        (tmp_path / "m.csv").write_text(f"file,a,b,c,d,e,f,g,h\na.png,1,2,3,4,5,6,7,{value}\n")
        with pytest.raises(InputError, match="not a finite number"):
            FileLandmarker(tmp_path / "m.csv")


def test_rows_for_one_image_are_its_faces_however_it_is_named(tmp_path: Path) -> None:
    rows = [("in\\a.png", FACE), ("./in/a.png", FACE), ("in/b.png", FACE)]
    numbers = [[*face.left_eye, *face.right_eye, *face.left_mouth, *face.right_mouth] for _, face in rows]
    lines = [",".join(map(str, (name, *some))) for (name, _), some in zip(rows, numbers, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    marks = FileLandmarker(tmp_path / "m.csv")
    assert [len(marks.find(name, gradient(4, 4))) for name in ("in/a.png", "in/b.png", "c.png")] == [2, 1, 0]


def test_faces_are_prepared_from_a_file_the_largest_first(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        gradient(120, 120).save(tmp_path / "in" / f"{name}.png")
    four = [FACE.left_eye, FACE.right_eye, FACE.left_mouth, FACE.right_mouth]
    shifted = [(x + 9, y) for x, y in four]
    (tmp_path / "m.json").write_text(json.dumps({"a": [four, shifted]}))
    for crop, count in (("face", 1), ("face:2", 2)):
        options = PrepareOptions(size=(16, 16), crop=crop, landmarks=str(tmp_path / "m.json"))
        header = header_of(prepare(tmp_path / "in", tmp_path / crop.replace(":", ""), options=options))
        assert (header.num_images, header.skipped) == (count, {"no face": 1})
    assert [StoreReader(tmp_path / "face2").meta(i)["name"] for i in range(2)] == ["a.png#0", "a.png#1"]


def test_without_dlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"stylegan-sgkit\[faces\]"):
        DlibLandmarker()


def test_dlib_finds_no_face_where_there_is_none() -> None:
    pytest.importorskip("dlib")
    assert DlibLandmarker().find("x", gradient(80, 60)) == []
