from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import SceneError, UsageError
from sgkit.latents.directions import Directions, load_directions, save_directions, unit
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.edit import EditSettings, edit, edit_file, moved_latents, slider
from sgkit.render.files import read_sheet
from sgkit.render.inputs import Inputs
from sgkit.render.moves import Along, Channel
from sgkit.render.render import render
from sgkit.render.scene import Alone, Curve, Line, Scene, Seed, Subject
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    return drawn_model(noise=0.2, seed=1)


def directions(model: Model, space: Any = "w", **changes: Any) -> Directions:
    """One direction of a space, of length 1 and step 2."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    styles = model.styles(model.generator.mapping.w_avg.expand(1, model.num_ws, -1))
    shapes = {
        "z": {"z": (config.z_dim,)},
        "w": {"w": (config.w_dim,)},
        "w+": {"w": (model.num_ws, config.w_dim)},
        "s": {name: value.shape[1:] for name, value in list(styles.items())[-2:]},
    }[space]
    values = {name: torch.randn(1, *shape, generator=generator) for name, shape in shapes.items()}
    flat = torch.cat([value.flatten() for value in values.values()]).norm()
    facts = {"names": ("up",), "signs": ("",), "method": "test", "model_hash": model.content_hash()}
    return unit(values, space=space, steps=2 / flat[None], **{**facts, **changes})


def by_hand(model: Model, found: Directions, strength: float, *, seed: int, psi: float = 1.0) -> torch.Tensor:
    """The image of a seed moved along the first direction, without scenes."""
    delta = {name: 2 * strength * value[0] for name, value in found.values.items()}
    z = model.sample_z([seed])
    ws = model.map(z + delta["z"] if found.space == "z" else z, psi=psi)
    if found.space in ("w", "w+"):
        kept = torch.zeros(model.num_ws, 1)
        kept[list(found.layers or range(model.num_ws))] = 1
        ws = ws + kept * delta["w"]
    styles = model.styles(ws)
    if found.space == "s":
        styles = {name: value + delta.get(name, 0) for name, value in styles.items()}
    from sgkit.model import Branch, walk

    with torch.no_grad():
        return walk([Branch(model.generator.synthesis, styles)])[0].image[0]


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_a_strip_moves_along_the_direction_in_even_steps(model: Model, space: str) -> None:
    found = directions(model, space)
    made = edit(model, [3, 4], [(found, None, 1.5)], DrawSettings(truncation_psi=0.7), by=EditSettings(steps=2))
    assert made.shares == (0.0, 0.5, 1.0)
    for seed, row in zip((3, 4), made.rows, strict=True):
        for share, one in zip(made.shares, row, strict=True):
            expected = by_hand(model, found, 1.5 * share, seed=seed, psi=0.7)
            assert torch.allclose(one.image, expected, atol=1e-5), (space, share)
    assert not torch.allclose(made.rows[0][0].image, made.rows[0][2].image, atol=1e-2)


@pytest.mark.parametrize("space", ["z", "w", "s"])
def test_every_architecture_is_edited(each_model: Model, space: str) -> None:
    found = directions(each_model, space)
    made = edit(each_model, [5], [(found, "up", 1.0)], by=EditSettings(steps=1)).rows[0]
    assert torch.allclose(made[1].image, by_hand(each_model, found, 1.0, seed=5), atol=1e-4)
    assert not torch.equal(made[0].image, made[1].image)


def test_both_ways_are_symmetric_around_the_image_before(model: Model) -> None:
    made = edit(model, [3], [(directions(model), None, 1.0)], by=EditSettings(steps=4, both=True))
    assert made.shares == (-1.0, -0.5, 0.0, 0.5, 1.0)
    assert torch.equal(
        made.rows[0][2].image, next(iter(edit(model, [3], [Channel(layer="b4_conv1", channel=0)]).rows))[0].image
    )


def test_layers_of_a_direction_and_of_the_edit(model: Model) -> None:
    own = directions(model, layers=(0, 1))
    image = edit(model, [3], [(own, None, 1.0)], by=EditSettings(steps=1)).rows[0][1].image
    assert torch.allclose(image, by_hand(model, own, 1.0, seed=3), atol=1e-5)
    asked = edit(model, [3], [(own, None, 1.0)], by=EditSettings(steps=1, layers="2-3")).rows[0][1].image
    assert torch.allclose(asked, by_hand(model, replace(own, layers=(2, 3)), 1.0, seed=3), atol=1e-5)


def test_several_moves_add_up(model: Model) -> None:
    one, two = directions(model), directions(model, "s")
    both = edit(model, [3], [(one, None, 1.0), (two, None, -1.0), "b8_conv0:3=2"], by=EditSettings(steps=1))
    ws = model.map(model.sample_z([3])) + 2 * one.values["w"][0]
    styles = {name: value - 2 * two.values.get(name, torch.zeros(1))[0] for name, value in model.styles(ws).items()}
    styles["b8_conv0"][:, 3] += 2
    s = Latents(space="s", values=styles)
    expected = edit(model, s, ["b4_conv1:0=0"], by=EditSettings(steps=1)).rows[0][0]
    assert torch.allclose(both.rows[0][1].image, expected.image, atol=1e-5)


def test_truncation_in_s_is_that_of_w_where_styles_are_affine(model: Model) -> None:
    in_s = edit(model, [3], [], by=EditSettings(steps=1, s_psi=0.4)).rows[0][1].image
    in_w = edit(model, [3], ["b4_conv1:0=0"], DrawSettings(truncation_psi=0.4)).rows[0][0].image
    assert torch.allclose(in_s, in_w, atol=1e-5)
    each = edit(model, [3], [], by=EditSettings(steps=1, s_psi=(0.4,) * model.num_ws)).rows[0][1].image
    assert torch.equal(each, in_s)


def test_a_mask_keeps_the_rest_of_the_image(model: Model) -> None:
    found = directions(model)
    by = EditSettings(steps=1, mask="box:0,0,0.5,1", mask_layers="from 16px")
    before, after = (one.image for one in edit(model, [3], [(found, None, 2.0)], by=by).rows[0])
    whole = edit(model, [3], [(found, None, 2.0)], by=EditSettings(steps=1)).rows[0][1].image
    change = (after - before).abs().mean(dim=(0, 1))
    assert float(change[:6].mean()) > 20 * float(change[10:].mean())
    assert not torch.equal(after, whole)


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_moved_latents_give_the_edited_images(model: Model, space: str) -> None:
    found = directions(model, space)
    latents = moved_latents(model, [3, 4], [(found, None, 1.0)], DrawSettings(truncation_psi=0.8))
    assert (latents.space, len(latents)) == ({"w": "w+"}.get(space, space), 2)
    again = edit(model, latents, ["b4_conv1:0=0"], DrawSettings(truncation_psi=0.8))
    edited = edit(model, [3, 4], [(found, None, 1.0)], DrawSettings(truncation_psi=0.8), by=EditSettings(steps=1))
    for one, other in zip(again.rows, edited.rows, strict=True):
        assert torch.allclose(one[0].image, other[1].image, atol=1e-5)


def test_a_slider_goes_there_and_back(model: Model) -> None:
    found = directions(model)
    on = drawing(model, None)
    sheet = slider(on, [3], [(found, None, 2.0)], EditSettings(), frames=5, fps=10.0)
    frames = [next(iter(render(sheet.filled[0].at(sheet.time(index)), on.inputs))).image for index in range(5)]
    for image, strength in zip(frames, (0.0, 1.0, 2.0, 1.0, 0.0), strict=True):
        assert torch.allclose(image, by_hand(model, found, strength, seed=3), atol=1e-5)


def test_keyframes_may_be_moved(model: Model) -> None:
    inputs = Inputs(model)
    up = inputs.along(directions(model), strength=1.0)
    subjects = {
        "a": Subject(source=Seed(seed=1), moves=(up,)),
        "b": Subject(source=Seed(seed=2)),
        "c": Subject(source=Curve(through=("a", "b"), at=0.5)),
    }
    image = next(iter(render(Scene(subjects=subjects, arrangement=Alone(of="c")), inputs))).image
    ws = (model.map(model.sample_z([1])) + 2 * directions(model).values["w"] + model.map(model.sample_z([2]))) / 2
    assert torch.allclose(image, model.synthesize(ws)[0], atol=1e-5)
    odd = {**subjects, "a": Subject(source=Seed(seed=1), moves=(Channel(layer="b4_conv1", channel=0),))}
    with pytest.raises(UsageError, match="a is moved in a space after w"):
        list(render(Scene(subjects=odd, arrangement=Alone(of="c")), inputs))


def test_scenes_without_moves_say_nothing_of_them(model: Model) -> None:
    (before, after) = edit(model, [3], [(directions(model), None, 1.0)], by=EditSettings(steps=1)).rows[0]
    assert not {"moves", "s_psi"} & before.scene.to_dict()["subjects"]["seed0003"].keys()
    assert after.scene.to_dict()["subjects"]["seed0003"]["moves"][0].keys() == {"direction", "name", "hash"}


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("moves", "settings", "message"),
    [
        (["b4_conv9:0=1"], {}, "no styled layer 'b4_conv9'. Did you mean"),
        (["b4_conv1:99=1"], {}, "has no channel 99: its style has 8 numbers, so 0 to 7"),
        ([], {}, "Nothing to do: give --move"),
        ([], {"s_psi": (0.5, 0.5)}, "2 values of truncation in s were given; give one, or one for each of 6 w"),
        (["b4_conv1:0=1"], {"mask": "box:0,0,1"}, "Not a shape"),
        (["b4_conv1:0=1"], {"mask": "all:0.5", "mask_layers": "from 999px"}, "no layers"),
        (["b4_conv1:0=1"], {"steps": 0}, "steps is 0; it must be 1 or more"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(
    model: Model, moves: list[str], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        edit(model, [3], moves, by=EditSettings(**settings))
    assert message in str(error.value)


@pytest.mark.parametrize(("space", "given"), [("z", "w"), ("z", "s"), ("w", "s"), ("w+", "s")])
def test_a_direction_of_an_earlier_space_is_refused(model: Model, space: str, given: str) -> None:
    ws = model.map(model.sample_z([1]))
    values = {"w": ws[:, 0]} if given == "w" else model.styles(ws)
    latents = Latents(space=given, values=values, names=("photo",))  # type: ignore[arg-type]
    with pytest.raises(UsageError) as error:
        edit(model, latents, [(directions(model, space), None, 1.0)])
    assert f"is of the space {space} and moves" in str(error.value)
    assert f"photo is of the space {given}" in str(error.value)


def test_layers_are_refused_for_directions_without_any(model: Model) -> None:
    with pytest.raises(UsageError, match="--layers has no effect on 'up'"):
        edit(model, [1], [(directions(model, "s"), None, 1.0)], by=EditSettings(layers="0"))


def test_moved_subjects_are_not_smoothed(model: Model) -> None:
    moved = Subject(source=Seed(seed=1), moves=(Channel(layer="b4_conv1", channel=0),))
    line = Line(kind="line", of=("a", "b"), smoothing=0.5)
    scene = Scene(subjects={"a": Subject(source=Seed(seed=2)), "b": moved}, arrangement=line)
    with pytest.raises(UsageError, match="b is moved, and smoothing averages z"):
        list(render(scene, model))
    assert list(render(scene.changed(arrangement=line.changed(smoothing=0.0)), model))


def test_directions_of_another_model_need_permission(model: Model) -> None:
    other = directions(drawn_model(seed=2))
    with pytest.raises(UsageError, match="made for a different model"):
        edit(model, [1], [(other, None, 1.0)])
    assert edit(Inputs(model, any_model=True), [1], [(other, None, 1.0)]).rows


# ------------------------------------------------------------------------------------------------- replay


@pytest.fixture
def here(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sgkit.save(model, "m.safetensors")
    save_directions(directions(model), "up.safetensors")
    save_directions(directions(model, "s", names=("sway",)), "s.safetensors")
    return tmp_path


def run(line: str) -> None:
    assert main(line.split()) == 0


LINES = {
    "strip": "--move up.safetensors=2 --channel b8_conv0:1=3 --steps 3 --gap 1 --out a.png",
    "both": "--move s.safetensors:sway=1 --both --s-psi 0.8 --noise random --out a.png",
    "mask": "--move up.safetensors=2 --mask box:0.2,0.2,0.8,0.8,0.2 --layers 0-2 --out a.png",
    "gif": "--move up.safetensors=2 --frames 5 --out a.gif",
    "masked gif": "--move up.safetensors=2 --frames 4 --mask ramp:x --out a.gif",
    "frames": "--channel b8_conv0:1=3 --frames 4 --out f",
}


@pytest.mark.parametrize("kind", LINES)
def test_edits_are_made_again_bit_for_bit(here: Path, kind: str) -> None:
    assert main(["edit", "m.safetensors", "--seeds", "3,5", *LINES[kind].split()]) == 0
    made = Path({"frames": "f/frame00002.png", "gif": "a.gif", "masked gif": "a.gif"}.get(kind, "a.png"))
    again = Path(f"again{made.suffix}")
    assert main(["replay", str(made), "--out", str(again)]) == 0
    if made.suffix == ".gif":
        assert made.read_bytes() == again.read_bytes()
    else:
        assert np.array_equal(np.asarray(Image.open(made)), np.asarray(Image.open(again)))
        assert read_sheet(made) == read_sheet(again)


def test_missing_and_changed_directions_are_named(here: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    edit_file(Inputs(model, path="m.safetensors"), [3], ["up.safetensors=1"], "a.png")
    save_directions(directions(model, names=("down",)), "up.safetensors")
    assert main(["replay", "a.png", "--out", "b.png"]) == 1
    assert "The directions in up.safetensors have changed" in capsys.readouterr().err
    Path("up.safetensors").unlink()
    assert main(["replay", "a.png", "--out", "b.png"]) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "The direction file up.safetensors (hash" in shown
    assert "--set subjects.NAME.moves.0.direction=FILE" in shown
    made = edit(model, [3], [(directions(model), None, 1.0)]).rows[0][-1].scene
    with pytest.raises(SceneError, match=r"made in Python.*sgkit\.save_directions"):
        list(render(made, model))


def test_commands_find_list_apply_and_edit(here: Path, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    run("directions find m.safetensors --samples 50 --count 3 --out d.safetensors")
    assert load_directions("d.safetensors").model_hash == model.content_hash()
    run("directions apply m.safetensors --seeds 3 --move d.safetensors:1=2 --out moved.npz")
    run("edit m.safetensors --seeds 3 --move d.safetensors:1=2 --steps 1 --out a.png")
    run("generate m.safetensors --latent moved.npz --out b.png")
    after = np.asarray(Image.open("a.png"))[:, 16:].astype(int)
    assert np.abs(after - np.asarray(Image.open("b.png")).astype(int)).max() <= 1
    assert load_latents("moved.npz").model_hash == model.content_hash()


def test_the_python_interface(here: Path) -> None:
    opened = sgkit.load("m.safetensors")
    found = opened.directions("sefa", samples=50, count=2)
    images = opened.edit([1, 2], [(found, 1, 2.0), "up.safetensors=1"], steps=2, psi=0.7)
    assert len(images) == 6
    moves = images[-1].scene.subjects["seed0002"].moves
    assert [move.direction for move in moves if isinstance(move, Along)] == [None, "up.safetensors"]


def test_unmoved_seeds_in_one_batch_stay_the_same(tiny_model: Callable[..., Model]) -> None:
    """A move of one picture of a batch leaves the others' bits alone."""
    model = tiny_model()
    inputs = Inputs(model)
    move = inputs.along(directions(model), strength=3.0)
    one, two = Subject(source=Seed(seed=1)), Subject(source=Seed(seed=2))
    alone = [Scene(subjects={"a": one, "b": two}, arrangement=Alone(of=name)) for name in "ab"]
    mixed = [alone[0], alone[1].changed(subjects={"a": one, "b": two.changed(moves=(move,))})]
    before, after = (list(render(scenes, inputs, batch=2)) for scenes in (alone, mixed))
    assert torch.equal(before[0].image, after[0].image)
    assert not torch.equal(before[1].image, after[1].image)
