from __future__ import annotations

import json
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import InputError, UsageError
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model, ModelInfo
from sgkit.model.labels import label_vector
from sgkit.render.drawing import DrawSettings
from sgkit.render.files import read_sheet
from sgkit.render.generate import generate, generate_files, generate_grid
from sgkit.render.pictures import to_pixels
from sgkit.render.scene import Seed
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import Progress
from tests.builders import drawn_model


def tiny(**changes: object) -> Model:
    return drawn_model(noise=0.1, **changes)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    sgkit.save(model, path)
    return str(path)


def images(model: Model, sources: list, settings: DrawSettings | None = None, **options: int) -> np.ndarray:
    return np.stack([one.pixels for one in generate(model, sources, settings, **options)])


def test_samples_are_the_models_own_pictures(model: Model) -> None:
    ws = model.map(model.sample_z([5, 2]), truncation_psi=0.7, truncation_cutoff=3)
    expected = to_pixels(model.synthesize(ws))
    samples = list(generate(model, [5, 2], DrawSettings(truncation_psi=0.7, truncation_cutoff=3)))
    assert [one.scene.main() for one in samples] == [("seed0005",), ("seed0002",)]
    assert np.array_equal(np.stack([one.pixels for one in samples]), expected)


def test_samples_are_drawn_when_asked_for(model: Model) -> None:
    first = list(islice(generate(model, count(), batch=2), 3))
    assert [one.scene.main()[0] for one in first] == ["seed0000", "seed0001", "seed0002"]


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_picture_does_not_depend_on_its_batch(model: Model, noise: str) -> None:
    settings = DrawSettings(noise=noise)
    together, alone = images(model, [0, 1, 2], settings), images(model, [0, 1, 2], settings, batch=1)
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_noise_is_chosen(model: Model) -> None:
    drawn = {noise: images(model, [0], DrawSettings(noise=noise)) for noise in ("const", "random", "none")}
    assert not np.array_equal(drawn["const"], drawn["random"])
    assert not np.array_equal(drawn["const"], drawn["none"])


def test_psi_of_each_layer(model: Model) -> None:
    psi = (0.0,) * model.num_ws
    average = images(model, [0, 1], DrawSettings(truncation_psi=psi))
    assert np.array_equal(average[0], average[1])
    with pytest.raises(UsageError, match=r"2 values of truncation psi were given; give one, or one for each of 6 w"):
        images(model, [0], DrawSettings(truncation_psi=(1.0, 0.5)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_channels_and_shape_of_the_model_are_those_of_the_file(tmp_path: Path, channels: int, mode: str) -> None:
    result = generate_files(tiny(image_channels=channels, image_size=(16, 28)), [0], tmp_path)
    with Image.open(result.files[0]) as image:
        assert (image.mode, image.size) == (mode, (28, 16))


def test_files_say_how_they_were_made(model: Model, tmp_path: Path) -> None:
    seen: list[Progress] = []
    settings = DrawSettings(truncation_psi=0.5, noise="none")
    result = generate_files(model, [7, 7, 8], tmp_path, settings, on_progress=seen.append)
    assert [path.name for path in result.files] == ["seed0007.png", "seed0007-2.png", "seed0008.png"]
    assert (result.count, result.model_hash, result.manifest) == (3, model.content_hash(), tmp_path / "manifest.json")
    rows = json.loads((tmp_path / "manifest.json").read_text())["pictures"]
    assert rows["seed0008.png"] == {
        "source": "seed0008",
        "seed": 8,
        "space": "z",
        "truncation_psi": 0.5,
        "truncation_cutoff": None,
        "label": None,
        "noise": "none",
        "precision": "fp32",
        "model": model.content_hash(),
    }
    (scene,) = read_sheet(tmp_path / "seed0008.png").filled
    assert scene.subjects["seed0008"].source == Seed(seed=8)
    assert (scene.subjects["seed0008"].psi, scene.noise.kind) == (0.5, "none")
    assert scene.models["model"].hash == model.content_hash()
    assert [point.done for point in seen] == [1, 2, 3]


def test_images_are_on_disk_before_the_manifest_names_them(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr("sgkit.runtime.files.flush", lambda path: flushed.append(path.name))
    generate_files(model, range(3), tmp_path / "new", batch=2)
    assert flushed[:4] == ["seed0000.png", "seed0001.png", "seed0002.png", "new"]
    assert ["manifest" in name for name in flushed[4:]] == [True, False]


def test_a_second_call_adds_to_the_manifest(model: Model, tmp_path: Path) -> None:
    generate_files(model, [0, 1], tmp_path)
    with pytest.raises(InputError, match=r"seed0001\.png exists already; nothing was changed"):
        generate_files(model, [2, 1], tmp_path)
    assert not (tmp_path / "seed0002.png").exists()
    generate_files(model, [1, 2], tmp_path, DrawSettings(truncation_psi=0.5), overwrite=True)
    rows = json.loads((tmp_path / "manifest.json").read_text())["pictures"]
    assert {name: row["truncation_psi"] for name, row in rows.items()} == {
        "seed0000.png": 1.0,
        "seed0001.png": 0.5,
        "seed0002.png": 0.5,
    }


def test_a_foreign_manifest_is_left_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(
        InputError, match=r"manifest\.json was not written by sgkit generate\. Choose a different folder"
    ):
        generate_files(model, [0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_processes_share_the_pictures(model: Model, tmp_path: Path) -> None:
    class Alone(DistributedContext):
        def barrier(self) -> None:
            """Nobody to wait for."""

    parts = [
        generate_files(model, range(5), tmp_path, overwrite=True, context=Alone(rank=rank, world_size=2)).files
        for rank in (1, 0)
    ]
    assert [[path.name for path in part] for part in parts] == [
        ["seed0001.png", "seed0003.png"],
        ["seed0000.png", "seed0002.png", "seed0004.png"],
    ]
    assert len(json.loads((tmp_path / "manifest.json").read_text())["pictures"]) == 5


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_written_latents_give_the_same_picture(model: Model, tmp_path: Path, space: str) -> None:
    settings = DrawSettings(truncation_psi=0.6)
    generate_files(model, [3, 4], tmp_path, settings, latents=space)
    latents = load_latents(tmp_path / "seed0003.npz")
    assert (latents.space, latents.names, latents.model_hash) == (space, ("seed0003",), model.content_hash())
    again = images(model, [tmp_path / "seed0003.npz"], settings)
    assert np.array_equal(again, images(model, [3], settings))


def test_a_projections_noise_is_used_in_any_company(model: Model) -> None:
    ws = model.map(model.sample_z([0]))
    specs = [spec for spec in model.generator.synthesis.plan if spec.has_noise]
    maps = {spec.name: torch.randn(1, 1, *spec.size) for spec in specs}
    own = Latents(space="w+", values={"w": ws}, noise=maps, names=("face",))
    drawn = images(model, [1, own, 0])
    assert np.array_equal(drawn[2], images(model, [0])[0])
    assert not np.array_equal(drawn[1], drawn[2])
    assert np.array_equal(
        images(model, [own], DrawSettings(noise="none")), images(model, [0], DrawSettings(noise="none"))
    )


def test_names_from_latent_files_cannot_leave_the_folder(model: Model, tmp_path: Path) -> None:
    values = {"z": model.sample_z([0, 1])}
    save_latents(Latents(space="z", values=values, names=("../../up", "..")), tmp_path / "a.npz")
    result = generate_files(model, [tmp_path / "a.npz"], tmp_path / "out")
    assert [path.name for path in result.files] == ["_.._up.png", "latent.png"]


def test_a_grid_holds_every_picture(model: Model, tmp_path: Path) -> None:
    result = generate_grid(model, range(5), tmp_path / "grid.png", latents="z")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (48, 32)
        pixels = np.asarray(image)
    sheet = read_sheet(tmp_path / "grid.png")
    assert (sheet.columns, sheet.rows, len(sheet.filled)) == (3, 2, 5)
    assert np.array_equal(pixels[16:, 16:32], images(model, [4])[0])
    assert len(load_latents(result.files[1])) == 5


def test_conditional_models_need_their_label(tmp_path: Path) -> None:
    model = tiny(label_dim=3)
    with pytest.raises(
        UsageError,
        match=r"conditional: choose a class with --class \(in Python: label\)\. Allowed: a class number from 0",
    ):
        images(model, [0])
    by_class, by_vector = (images(model, [0], DrawSettings(label=label)) for label in (1, (0.0, 1.0, 0.0)))
    assert np.array_equal(by_class, by_vector)
    assert not np.array_equal(by_class, images(model, [0], DrawSettings(label=2)))
    with pytest.raises(UsageError, match="Class 3 is out of range"):
        images(model, [0], DrawSettings(label=3))
    with pytest.raises(UsageError, match=r"label of length 2 was given\. Allowed: a class"):
        images(model, [0], DrawSettings(label=(1.0, 2.0)))
    generate_files(model, [0], tmp_path, DrawSettings(label=1), latents="z")
    assert np.array_equal(images(model, [tmp_path / "seed0000.npz"]), by_class)


def named_classes(*names: str) -> Model:
    model = tiny(label_dim=3)
    model.info = ModelInfo(provenance={"class_names": list(names)})
    return model


def test_labels_as_text_are_names_first_then_numbers_then_vectors() -> None:
    model = named_classes("tulip", "2", "0.5,1")
    for text, number in (("tulip", 0), ("2", 1), ("0.5,1", 2), ("0", 0), ("1", 1), ("1.0,0,0", 0)):
        assert torch.equal(label_vector(model, text), model.one_hot([number])), text
    assert torch.equal(label_vector(model, "0.5,0,-1"), torch.tensor([[0.5, 0.0, -1.0]]))
    assert torch.equal(label_vector(tiny(label_dim=1), "3"), torch.tensor([[3.0]]))  # a float label, not a class
    with pytest.raises(UsageError, match=r"'tulip' is not a class of this model: its file has no class names\."):
        label_vector(tiny(label_dim=3), "tulip")
    assert tiny(label_dim=3).class_names == named_classes("only", "two").class_names == ()


@pytest.mark.parametrize("text", ["", "cat", "1.5", "-1", "nan", "inf,0,0", "0.1,x"])
def test_texts_that_are_no_label_are_told_what_is(text: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"is not a class of this model.*\. Allowed: a class number from 0 to 2, a label vector of 3",
    ):
        label_vector(tiny(label_dim=3), text)
    with pytest.raises(UsageError, match=r"0 to 2 \(rose, tulip, lily\), a label"):
        label_vector(named_classes("rose", "tulip", "lily"), text)
    with pytest.raises(UsageError, match=r"unconditional: remove --class"):
        label_vector(tiny(), text)


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("lily,rose", ["seed0005-lily", "seed0005-rose", "seed0006-lily", "seed0006-rose"]),
        ("all", [f"seed000{seed}-{name}" for seed in (5, 6) for name in ("rose", "tulip", "lily")]),
        ("rose", ["seed0005", "seed0006"]),
        ("0.0,1,0", ["seed0005", "seed0006"]),
    ],
)
def test_a_list_of_classes_gives_every_seed_in_each(label: str, names: list[str], tmp_path: Path) -> None:
    model = named_classes("rose", "tulip", "lily")
    found = list(generate(model, [5, 6], DrawSettings(label=label)))
    assert [one.scene.main()[0] for one in found] == names
    if len(names) > 2:
        singly = [images(model, [5], DrawSettings(label=name.partition("-")[2]))[0] for name in names[:2]]
        assert np.allclose([one.pixels for one in found[:2]], singly, atol=1)
        generate_grid(model, [5, 6], tmp_path / "grid.png", DrawSettings(label=label))
        sheet = read_sheet(tmp_path / "grid.png")
        assert (sheet.columns, sheet.rows) == (len(names) // 2, 2)


def test_all_classes_without_names_are_numbers_and_a_slip_in_a_list_is_named() -> None:
    found = generate(tiny(label_dim=3), [5], DrawSettings(label="all"))
    assert [one.scene.main()[0] for one in found] == ["seed0005-0", "seed0005-1", "seed0005-2"]
    with pytest.raises(UsageError, match=r"'tulpi' is not a class of this model\. Did you mean 'tulip'"):
        images(named_classes("rose", "tulip", "lily"), [5], DrawSettings(label="rose,tulpi"))
    with pytest.raises(UsageError, match="unconditional"):
        images(tiny(), [5], DrawSettings(label="all"))


def test_a_strip_shows_each_seed_at_each_psi(model: Model, tmp_path: Path) -> None:
    settings = DrawSettings(psi_strip=(0.0, 0.5, 1.0))
    strip = images(model, [5, 6], settings)
    assert np.array_equal(strip[0], strip[3])  # psi 0 is the average, whatever the seed
    assert np.allclose(strip[1], images(model, [5], DrawSettings(truncation_psi=0.5))[0], atol=1)
    generate_grid(model, [5, 6], tmp_path / "strip.png", settings)
    sheet = read_sheet(tmp_path / "strip.png")
    assert (sheet.columns, sheet.rows) == (3, 2)
    saved = generate_files(model, [5], tmp_path, settings, latents="w")
    assert [file.name for file in saved.files if file.suffix == ".png"] == [
        "seed0005-psi0.png",
        "seed0005-psi0.5.png",
        "seed0005-psi1.png",
    ]
    latents = generate_files(model, [tmp_path / "seed0005-psi1.npz"], tmp_path / "again", settings)
    assert latents.count == 1  # a w is taken as it is


def test_a_missing_label_names_the_classes() -> None:
    with pytest.raises(UsageError, match=r"a class number from 0 to 2 \(rose, tulip, lily\)"):
        label_vector(named_classes("rose", "tulip", "lily"), None)


def test_a_model_without_labels_takes_none(model: Model) -> None:
    with pytest.raises(UsageError, match="unconditional: remove --class"):
        images(model, [0], DrawSettings(label=(1.0, 2.0)))


# ----------------------------------------------------------------------------------------- command line


def test_the_command_writes_a_folder(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["generate", file, "--seeds", "0-2,9", "--psi", "0.7", "--out", str(out), "--latents"]) == 0
    assert "4 images in" in capsys.readouterr().out
    assert sorted(path.suffix for path in out.iterdir()) == [".json", *[".npz"] * 4, *[".png"] * 4]


def test_the_command_writes_a_grid_and_json(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grid.png"
    arguments = ["--seeds", "0-4", "--grid", "5x1", "--gap", "1", "--json"]
    assert main(["generate", file, "--out", str(out), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 5
    with Image.open(out) as image:
        assert image.size == (84, 16)


def test_the_command_draws_sixteen_seeds_by_default(file: str, tmp_path: Path) -> None:
    assert main(["generate", file, "--out", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (64, 64)


def test_the_command_draws_latent_files(
    model: Model, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate_files(model, [3], tmp_path, latents="w")
    latent = str(tmp_path / "seed0003.npz")
    assert main(["generate", file, "--latent", latent, "--out", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), images(model, [3])[0])
    capsys.readouterr()
    assert main(["generate", file, "--latent", latent, "--psi", "0.5", "--out", str(tmp_path / "b.png")]) == 2
    assert "--psi has no effect here: it applies to seeds and latents of z" in capsys.readouterr().err
    save_latents(replace(load_latents(latent), model_hash="another"), latent)
    assert main(["generate", file, "--latent", latent, "--out", str(tmp_path / "b.png")]) == 0
    assert "was made with a different model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.gif"], "Images are written as .png, .jpg, .jpeg, .webp. Use --out a.png, or a folder."),
        (["--out", "a", "--grid", "2x2"], "--grid has no effect here: --out a is a folder"),
        (["--out", "a.png", "--grid", "2x2"], "A grid of 2x2 has room for 4 images, but 16 were given."),
        (["--out", "a.png", "--grid", "two"], "Not a grid: 'two'. Use COLUMNSxROWS, for example 4x3."),
        (["--out", "a.png", "--psi", "half"], "Not a truncation psi: 'half'."),
        (["--out", "a.png", "--psi-strip", "0,half"], "Not a truncation psi: '0,half'."),
        (["--out", "a.png", "--psi", "1,0.5"], "2 values of truncation psi were given"),
        (["--out", "a.png", "--psi", "0.5", "--psi-cutoff", "99"], "--psi-cutoff 99 is out of range"),
        (["--out", "a.png", "--space", "x"], "'--space': 'x' is not one of"),
        (["--out", "a.png", "--class", "1"], "unconditional: remove --class"),
        (["--out", "a.png", "--latent", "none.npz"], "There is no latent file none.npz."),
    ],
)
def test_the_command_refuses(
    file: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", file, *arguments]) in (1, 2)
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []
