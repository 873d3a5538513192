from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import SceneError
from sgkit.model import Model
from sgkit.render.files import read_sheet, sidecar, write_sheet
from sgkit.render.inputs import Inputs
from sgkit.render.parsing import parse_sheet
from sgkit.render.render import render
from sgkit.render.scene import VERSION, Scene, Sheet
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    return drawn_model(noise=0.3, seed=1)


@pytest.fixture
def alias_free(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan3-t")


@pytest.fixture
def here(model: Model, alias_free: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the model in it."""
    monkeypatch.chdir(tmp_path)
    sgkit.save(model, "m.safetensors")
    sgkit.save(drawn_model(label_dim=3), "c.safetensors")
    sgkit.save(alias_free, "t.safetensors")
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8)).save("map.png")
    return tmp_path


def run(command: str) -> None:
    assert main(shlex.split(command)) == 0


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


COMMANDS = {
    "alone": "generate m.safetensors --seeds 0-9 --psi 0.7 --psi-cutoff 3 --noise random --out d",
    "grid": "generate m.safetensors --seeds 0-8 --gap 2 --batch 4 --out a.png",
    "latents": "generate m.safetensors --latent d/seed0003.npz --out a.png",
    "mix": "mix m.safetensors --rows 0-2 --cols 7,8 --layers coarse --out a.png",
    "panorama": "panorama m.safetensors --seeds 0-3 --wrap --smooth 0.5 --noise random --seed 3 --out a.png",
    "plane": "panorama m.safetensors --endless 3 --grid 3x2 --wrap both --smooth 0.7 --psi 0.7 --out a.png",
    "map": "panorama c.safetensors --map map.png --legend red=0,blue=2 --out a.png",
    "pairs": "panorama m.safetensors --seeds 0-3 --mode pairs --blend soat --out a.png",
    "gif": "interpolate m.safetensors --seeds 0-3 --grid 2x1 --frames 11 --batch 3 --out a.gif",
    "classes": "generate c.safetensors --seeds 0,1 --class all --out a.webp",
    "random": "generate c.safetensors --seeds 0-3 --class random --out a.jpg",
    "placed": "generate t.safetensors --seeds 0,1 --translate 0.2,-0.1 --rotate 30 --out a.png",
    "webp": "interpolate m.safetensors --seeds 0-2 --loop --smooth cubic --frames 5 --out a.webp",
    "expand": "expand m.safetensors --seeds 0-4 --factor 2x1.5 --noise random --batch 2 --gap 1 --out a.png",
    "repeat": "expand m.safetensors --seeds 0-4 --repeat box:0,0.5,0.5,1,0.1 --times 4 --out d",
    "blend": "blend m.safetensors --seeds 0-2 --direction radial --noise random --seed 4 --out a.png",
    "masks": "blend m.safetensors --seeds 0-2 --shape 2=mask.png,0.1@coarse --shape 3=not:mask.png --out a.png",
    "collage": "blend m.safetensors --seeds 0,1 --shape ellipse:0.2,0.2,0.8,0.8 --mode suzuki --out a.png",
    "shift": "shift m.safetensors --seeds 0-2 --random 2 --parts-of 5 --at 8px --noise random --batch 4 --out a.png",
    "moved": "shift m.safetensors --seeds 0-4 --at 8px --move 'mask.png by 0.5,0' --mirror 'all:1 y' --out d",
    "frames": "interpolate m.safetensors --seeds 0,1 --space z --path spherical --frames 5 --out f",
}
MADE = {
    "classes": "a.webp",
    "random": "a.jpg",
    "alone": "d/seed0003.png",
    "repeat": "d/seed0003.png",
    "moved": "d/seed0003.png",
    "frames": "f/frame00002.png",
    "gif": "a.gif",
    "webp": "a.webp",
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_kind_of_picture_is_made_again_bit_for_bit(here: Path, kind: str) -> None:
    if kind == "latents":
        run("generate m.safetensors --seeds 3 --latents --space w --out d")
    mask = Image.new("L", (16, 16))
    mask.paste(255, (2, 0, 9, 16))
    mask.save("mask.png")
    run(COMMANDS[kind])
    made = Path(MADE.get(kind, "a.png"))
    again = Path(f"again{made.suffix}")
    run(f"replay {made} --out {again}")
    if made.suffix == ".png":
        assert np.array_equal(pixels(made), pixels(again))
        assert read_sheet(made) == read_sheet(again)
    else:
        assert made.read_bytes() == again.read_bytes()


def test_projections_are_made_again_from_their_folder(here: Path) -> None:
    run("generate m.safetensors --seeds 4,5 --out d")
    run("project m.safetensors d/seed0004.png d/seed0005.png --steps 3 --loss pixels --out p")
    for name in ("projection", "comparison"):
        run(f"replay p/seed0005/{name}.png --out {name}.png")
        assert np.array_equal(pixels(Path(f"p/seed0005/{name}.png")), pixels(Path(f"{name}.png")))


def test_a_scene_is_changed_by_its_keys_and_size(here: Path, model: Model) -> None:
    run("generate m.safetensors --seeds 3 --out a.png")
    run("replay a.png --set psi=0.5 --set noise.kind=none --out b.png")
    run("generate m.safetensors --seeds 3 --psi 0.5 --noise none --out c.png")
    assert np.array_equal(pixels(Path("b.png")), pixels(Path("c.png")))
    run("panorama m.safetensors --seeds 0,1 --out p.png")
    run("replay p.png --size 90x16 --out q.png")
    run("panorama m.safetensors --seeds 0,1 --width 90 --out r.png")
    assert np.array_equal(pixels(Path("q.png")), pixels(Path("r.png")))


@pytest.fixture
def made(here: Path) -> Path:
    run("generate m.safetensors --seeds 3 --latents --space w --out d")
    run("generate m.safetensors --latent d/seed0003.npz --out a.png")
    return here / "a.png"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    capsys.readouterr()
    assert main(["replay", *arguments, "--out", "again.png"]) == code
    assert not Path("again.png").exists()
    return " ".join(capsys.readouterr().err.split())


def test_another_model_is_refused_unless_it_is_wanted(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sgkit.save(drawn_model(seed=2), "other.safetensors")
    said = refused(capsys, "a.png", "--model", "other.safetensors")
    assert "This is a different model: the scene was made with hash" in said
    assert "last seen at m.safetensors" in said
    run("replay a.png --model other.safetensors --any-model --out again.png")


def test_a_missing_model_is_named_by_hash_and_path(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.safetensors").rename("moved.safetensors")
    said = refused(capsys, "a.png")
    assert "last seen at m.safetensors, which is not there. Name it: sgkit replay a.png --model MODEL" in said
    assert read_sheet(made).filled[0].models["model"].hash[:12] in said  # type: ignore[index]
    run("replay a.png --model moved.safetensors --out again.png")


def test_missing_and_changed_latents_are_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("generate m.safetensors --seeds 5 --latents --space w --out e")
    Path("d/seed0003.npz").unlink()
    said = refused(capsys, "a.png")
    assert "The latent file d/seed0003.npz (hash" in said
    assert "--set subjects.NAME.from.latent=FILE" in said
    Path("e/seed0005.npz").rename("d/seed0003.npz")
    assert "The latents in d/seed0003.npz have changed" in refused(capsys, "a.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scene": VERSION + 1}, f"version {VERSION + 1}; this sgkit reads versions up to {VERSION}. Install a newer"),
        ({"sizes": [1, 2]}, "unknown key 'sizes' in the scene. Did you mean 'size'?"),
        (
            {"arrangement": {"kind": "ring", "of": "seed0003"}},
            "it must be an arrangement of the kind",
        ),
        ({"arrangement": {"of": "seed0004"}}, "names the subject 'seed0004', which is not in the scene. Did you mean"),
        ({"batch": 10**9}, "batch is 1000000000; it must be less than or equal to 4096."),
        (
            {"subjects": {"seed0003": {"from": {"seed": 1}, "mix": [{"with": "seed0003"}]}}},
            "'seed0003' takes styles from a subject that is mixed itself; it must be a plain one.",
        ),
        (
            {"subjects": {"seed0003": {"from": {"through": ["seed0003", "seed0003"]}}}},
            "the curve of 'seed0003' goes through a curve; it must go through seeds or latents.",
        ),
        ({"batch": 0}, "batch is 0; it must be greater than or equal to 1."),
        ({"noise": {"kind": "loud"}}, "noise.kind is 'loud'; it must be 'const', 'random' or 'none'."),
        ({"subjects": {}}, "subjects is {}; it must be"),
    ],
)
def test_a_scene_that_was_edited_wrongly_says_where(
    made: Path, change: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads(read_sheet(made).to_json()) | change
    Path("edited.json").write_text(json.dumps(values))
    assert message in refused(capsys, "edited.json")


def test_files_without_a_scene_say_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (4, 4)).save("plain.png")
    assert "plain.png carries no scene: it was not made by sgkit, or" in refused(capsys, "plain.png")
    Path("list.json").write_text("[1]")
    assert "list.json holds no scene: a JSON object with the key 'scene' or 'sheet'" in refused(capsys, "list.json")
    Path("cut.json").write_text('{"scene":')
    assert "cut.json" in refused(capsys, "cut.json")


def test_keys_that_are_not_there_are_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "a.png", "--set", "psy=0.5", code=2)
    assert "Unknown key 'psy' of the scene. Did you mean 'psi'?" in said
    said = refused(capsys, "a.png", "--set", "noise.kind=loud", code=2)
    assert "--set: noise.kind is 'loud'; it must be 'const', 'random' or 'none'." in said


def test_show_prints_the_scene(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run("replay a.png --show")
    assert json.loads(capsys.readouterr().out) == json.loads(read_sheet(made).to_json())


def test_a_sheet_beside_its_file_is_found(made: Path) -> None:
    sheet = read_sheet(made)
    Image.new("RGB", (4, 4)).save("plain.png")
    write_sheet(sheet, sidecar(Path("plain.png")))
    assert read_sheet("plain.png") == sheet


def test_a_long_animation_keeps_its_scene_beside_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.setattr("sgkit.render.video.MAX_IN_MEMORY", 0)
    run("interpolate m.safetensors --seeds 0,1 --frames 3 --out a.webp")
    assert read_sheet("a.webp").frames == 3


def test_sheets_survive_json() -> None:
    scene = {"scene": 1, "subjects": {"a": {"from": {"seed": 3}}}, "arrangement": {"of": "a"}}
    lone = parse_sheet(scene, name="x")
    assert parse_sheet(json.loads(lone.to_json()), name="x") == lone
    sheet = Sheet(scenes=(None, *lone.filled), columns=2, gap=1)
    assert parse_sheet(json.loads(sheet.to_json()), name="x") == sheet
    with pytest.raises(SceneError, match="frames must be 0, or 2 or more of scenes with a curve"):
        parse_sheet(json.loads(sheet.to_json()) | {"frames": 3}, name="x")
    assert isinstance(lone.filled[0], Scene)


TWO_MODELS = {
    "scene": 1,
    "models": {"base": {"path": "m.safetensors"}, "target": {"path": "other.safetensors"}},
    "subjects": {"a": {"from": {"seed": 1}, "model": "base"}, "b": {"from": {"seed": 1}, "model": "target"}},
    "arrangement": {"kind": "masks", "of": "a", "over": [{"subject": "b", "shape": "ramp:x"}]},
}


@pytest.fixture
def two(here: Path) -> Path:
    """A scene of two models."""
    sgkit.save(drawn_model(noise=0.3, seed=2), "other.safetensors")
    Path("two.json").write_text(json.dumps(TWO_MODELS))
    return here


def test_a_scene_of_two_models_is_made_again_with_both(two: Path, model: Model) -> None:
    run("replay two.json --out a.png")
    run("replay a.png --out b.png")
    (scene,) = read_sheet("a.png").filled
    inputs = Inputs({"base": model, "target": sgkit.load("other.safetensors")})
    (one,) = render(scene, inputs)
    assert np.array_equal(pixels(Path("a.png")), one.pixels)
    assert np.array_equal(pixels(Path("b.png")), one.pixels)
    Path("other.safetensors").rename("moved.safetensors")
    run("replay a.png --model target=moved.safetensors --out c.png")
    assert np.array_equal(pixels(Path("c.png")), one.pixels)


@pytest.mark.parametrize(
    ("given", "message", "code"),
    [
        ("m.safetensors", "The scene has 2 models; say which one m.safetensors is: --model base=m.safetensors or", 2),
        ("aim=m.safetensors", "The scene has no model called 'aim'. Allowed: base, target", 2),
        ("base=gone.safetensors", "gone.safetensors", 1),
    ],
)
def test_models_that_the_scene_does_not_have_are_refused(
    two: Path, given: str, message: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "two.json", "--model", given, code=code)


def test_two_scenes_with_one_key_for_two_models_are_refused(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {**TWO_MODELS["models"], "target": {"path": "m.safetensors"}}  # type: ignore[dict-item]
    sheet = {"sheet": 1, "scenes": [TWO_MODELS, {**TWO_MODELS, "models": models}], "columns": 2}
    Path("sheet.json").write_text(json.dumps(sheet))
    assert "Two scenes of the file call different models 'target'" in refused(capsys, "sheet.json")
