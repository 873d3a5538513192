from __future__ import annotations

import importlib.util
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import InputError, UsageError
from sgkit.latents.spaces import Latents, convert, save_latents
from sgkit.model import Model
from sgkit.render.curves import points
from sgkit.render.drawing import DrawSettings
from sgkit.render.interpolate import Interpolation, interpolate, interpolate_file
from sgkit.render.pictures import to_pixels
from sgkit.render.scene import Alone, Curve, Scene, Seed, Sheet, Subject
from sgkit.runtime.progress import Progress
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    return drawn_model()


def curve_of(**options: object) -> Curve:
    return Curve(through=("a", "b"), **options)


EVERY_CURVE = [
    Curve(through=("a", "b"), path=path, smooth=smooth, loop=loop)
    for path in ("linear", "spherical")
    for smooth in ("none", "cubic")
    for loop in (False, True)
]


@pytest.mark.parametrize("curve", EVERY_CURVE, ids=str)
def test_every_curve_passes_its_keyframes(curve: Curve) -> None:
    keys = np.random.default_rng(0).standard_normal((5, 2, 3, 6))
    assert np.allclose(points(curve, keys, np.arange(5.0)), keys)


@pytest.mark.parametrize("curve", EVERY_CURVE, ids=str)
def test_two_keyframes_are_enough(curve: Curve) -> None:
    keys = np.random.default_rng(0).standard_normal((2, 6))
    assert np.isfinite(points(curve, keys, np.linspace(0, 1, 7))).all()


def test_times_are_even_and_a_loop_does_not_repeat_its_start() -> None:
    def times(frames: int, *, loop: bool) -> list[float]:
        keys = {name: Subject(source=Seed(seed=0)) for name in "abc"}
        moving = Subject(source=Curve(through=tuple(keys), loop=loop))
        sheet = Sheet(scenes=(Scene(subjects={**keys, "d": moving}, arrangement=Alone(of="d")),), frames=frames)
        return [sheet.time(frame) for frame in range(frames)]

    assert times(5, loop=False) == [0, 0.5, 1, 1.5, 2]
    assert times(6, loop=True)[2:] == [1, 1.5, 2, 2.5]


def test_a_loop_leads_back_to_its_start() -> None:
    keys = np.random.default_rng(0).standard_normal((4, 6))
    for smooth in ("none", "cubic"):
        near_end = points(curve_of(loop=True, smooth=smooth), keys, np.array([3.9999]))
        assert np.allclose(near_end, keys[:1], atol=1e-2)


def test_spherical_paths_keep_their_distance_and_speed() -> None:
    keys = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    found = points(curve_of(path="spherical"), keys, np.linspace(0, 1, 5))
    assert np.allclose(np.linalg.norm(found, axis=1), 2.0)
    assert np.allclose(found[1], [2 * np.cos(np.pi / 8), 2 * np.sin(np.pi / 8), 0])
    assert np.allclose(points(curve_of(), keys, np.array([0.5])), [[1, 1, 0]])


def test_opposite_and_equal_keyframes_give_numbers() -> None:
    for other in (-1.0, 1.0, 0.0):
        keys = np.array([[1.0, 1.0], [other, other]])
        found = points(curve_of(path="spherical"), keys, np.linspace(0, 1, 4))
        assert np.isfinite(found).all()


def test_cubic_walks_have_no_corners() -> None:
    keys = np.array([[0.0], [1.0], [0.0], [2.0]])
    step = 1e-4
    for loop, knot in ((False, 2.0), (True, 1.0)):
        before, at, after = points(
            curve_of(smooth="cubic", loop=loop), keys, np.array([knot - step, knot, knot + step])
        )
        assert (after - at) / step == pytest.approx((at - before) / step, abs=1e-2)


@pytest.mark.parametrize("space", ["z", "w"])
def test_first_and_last_frame_are_the_keyframes_pictures(model: Model, space: str) -> None:
    settings = DrawSettings(truncation_psi=0.7)
    frames = list(interpolate(model, [3, 4], settings, curve=Interpolation(space=space), frames=4, batch=3))
    expected = to_pixels(model.synthesize(model.map(model.sample_z([3, 4]), truncation_psi=0.7)))
    assert len(frames) == 4
    assert np.abs(frames[0].astype(int) - expected[0]).max() <= 1
    assert np.abs(frames[-1].astype(int) - expected[1]).max() <= 1
    assert not np.array_equal(frames[1], frames[2])


def test_halfway_in_w_is_the_mean_w(model: Model) -> None:
    ws = model.map(model.sample_z([3, 4]))
    frames = list(interpolate(model, [3, 4], curve=Interpolation(space="w"), frames=3))
    expected = to_pixels(model.synthesize(ws.mean(dim=0, keepdim=True)))[0].astype(int)
    assert np.abs(frames[1].astype(int) - expected).max() <= 1


def test_spherical_walks_in_w_turn_about_the_average(model: Model) -> None:
    keys = model.map(model.sample_z([3, 4])).double().numpy()
    centre = model.generator.mapping.w_avg.double().numpy()
    middle = points(curve_of(path="spherical"), keys - centre, np.array([0.5])) + centre
    expected = to_pixels(model.synthesize(torch.from_numpy(middle).float()))[0].astype(int)
    frames = list(interpolate(model, [3, 4], curve=Interpolation(path="spherical"), frames=3))
    assert np.abs(frames[1].astype(int) - expected).max() <= 1


def test_frames_are_drawn_when_asked_for(model: Model) -> None:
    assert len(list(islice(interpolate(model, [0, 1], frames=10**9, batch=2), 3))) == 3


def test_several_walks_stand_side_by_side(model: Model) -> None:
    grid = list(interpolate(model, [0, 1, 2, 3], frames=3, grid=(2, 1), gap=1, batch=5))
    one, two = (list(interpolate(model, keys, frames=3)) for keys in ([0, 1], [2, 3]))
    assert grid[0].shape == (16, 33, 3)
    for frame, left, right in zip(grid, one, two, strict=True):
        assert np.abs(frame[:, :16].astype(int) - left).max() <= 1
        assert np.abs(frame[:, 17:].astype(int) - right).max() <= 1


def test_latents_are_walked_in_w_but_not_in_z(model: Model) -> None:
    seeds = Latents(space="z", values={"z": model.sample_z([7])}, names=("face",))
    w_plus = convert(seeds, model, "w+")
    assert len(list(interpolate(model, [0, w_plus], frames=2))) == 2
    with pytest.raises(
        UsageError, match=r"face is a latent of the space w\+, so it cannot be interpolated in z\. Use --space w"
    ):
        interpolate(model, [0, w_plus], curve=Interpolation(space="z"))
    with pytest.raises(
        UsageError, match=r"space s, so it cannot be interpolated in w\. Give latents of the space z, w"
    ):
        interpolate(model, [0, convert(seeds, model, "s")])


def test_labels() -> None:
    model = drawn_model(label_dim=2)
    for space in ("z", "w"):
        frames = list(interpolate(model, [0, 1], DrawSettings(label=1), curve=Interpolation(space=space), frames=2))
        assert frames[0].shape == (16, 16, 3)
    latents = Latents(space="z", values={"z": model.sample_z([0, 1])}, label=torch.eye(2))
    with pytest.raises(UsageError, match=r"different labels.*Use --space w"):
        interpolate(model, [latents], curve=Interpolation(space="z"))
    assert len(list(interpolate(model, [latents], frames=2))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 1}, "frames is 1 and batch is"),
        ({"grid": (3, 1)}, "Interpolation needs at least 2 seeds or latents, so a grid of 3 needs 6; 4 were given"),
        ({"grid": (4, 1)}, "a grid of 4 needs 8; 4 were given"),
        ({"batch": 0}, "they must be at least 2 and 1"),
    ],
)
def test_what_cannot_be_walked(model: Model, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        interpolate(model, [0, 1, 2, 3], **options)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UsageError, match=r"path is 'linnear'\. Did you mean 'linear'\? Allowed: linear, spherical"):
        Interpolation(path="linnear")


def test_a_walk_is_written_with_progress(model: Model, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = interpolate_file(model, [0, 1], tmp_path / "walk.webp", frames=5, on_progress=seen.append)
    assert (result.frames, result.keyframes) == (5, ("seed0000", "seed0001"))
    assert [point.done for point in seen] == [1, 2, 3, 4, 5]
    with Image.open(tmp_path / "walk.webp") as image:
        assert image.n_frames == 5


def test_a_failure_leaves_no_file(model: Model, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interpolate_file(model, [0, 1], tmp_path / "walk.gif", frames=5, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_frames_do_not_mix_with_what_is_in_a_folder(model: Model, tmp_path: Path) -> None:
    (tmp_path / "frame00099.png").touch()
    with pytest.raises(InputError, match="exists already"):
        interpolate_file(model, [0, 1], tmp_path, frames=2)


# ----------------------------------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    sgkit.save(model, path)
    return str(path)


def test_the_command_writes_a_gif(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "walk.gif"
    options = ["--space", "z", "--path", "spherical", "--smooth", "cubic", "--loop", "--frames", "6", "--psi", "0.7"]
    assert main(["interpolate", file, "--seeds", "0-3", "--grid", "2x1", *options, "--out", str(out)]) == 0
    assert "6 frames in" in capsys.readouterr().out
    with Image.open(out) as image:
        assert (image.n_frames, image.size) == (6, (32, 16))


def test_the_command_writes_frames_from_files(
    model: Model, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latents = Latents(space="z", values={"z": model.sample_z([9])}, names=("face",))
    save_latents(convert(latents, model, "w+"), tmp_path / "face.npz")
    keys = f"0,{tmp_path / 'face.npz'}"
    arguments = ["--frames", "3", "--out", str(tmp_path / "frames"), "--json"]
    assert main(["interpolate", file, "--seeds", keys, *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["keyframes"] == ["seed0000", "face"]
    assert len(list((tmp_path / "frames").glob("frame*.png"))) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "a.avi"], 2, "Unsupported extension .avi of --out a.avi"),
        (["--out", "a.gif", "--fps", "0"], 2, "0 frames per second is out of range"),
        (["--out", "a.mp4"], 1, "MP4 needs the package av"),
        (["--out", "a.gif", "--seeds", "3"], 2, "Interpolation needs at least 2 seeds or latents; 1 was given"),
        (["--out", "a.gif", "--frames", "1"], 2, "frames"),
    ],
)
def test_the_command_refuses(
    file: str,
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["interpolate", file, *arguments]) == code
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []
