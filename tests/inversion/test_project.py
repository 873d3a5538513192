from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import InputError, UsageError
from sgkit.inversion import Fitting, ProjectSettings, project, project_files, read_targets
from sgkit.inversion.curve import draw_curve
from sgkit.inversion.measures import MEASURES
from sgkit.latents.files import load_latents
from sgkit.model import Model, build
from sgkit.render.generate import generate
from sgkit.render.pictures import to_pixels, write_png
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import Progress

QUICK = ProjectSettings(steps=4, w_samples=50)
FILES = ["comparison.png", "latent.npz", "loss.png", "metrics.json", "projection.png", "target.png"]


def tiny(size: tuple[int, int] = (16, 16), channels: int = 3) -> Model:
    config = ModelConfig(
        image_size=size,
        image_channels=channels,
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
    )
    return build(config, seed=1)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(model, path)
    return path


@pytest.fixture
def pictures(model: Model, tmp_path: Path) -> Path:
    """A folder with three pictures of the model's own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, pixels in enumerate(to_pixels(model.synthesize(model.map(model.sample_z([0, 1, 2]))))):
        write_png(pixels, folder / f"p{seed}.png")
    return folder


def test_a_folder_for_each_picture_holds_all_there_is_to_know(model: Model, pictures: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    out = tmp_path / "out"
    result = project_files(model, [pictures], out, QUICK, batch=2, on_progress=told.append)
    assert [image.name for image in result.images] == ["p0", "p1", "p2"]
    assert [(point.done, point.total) for point in told] == [(done, 8) for done in range(1, 9)]
    assert told[0].fields["image"] == "p0 to p1"
    assert told[-1].fields["image"] == "p2"
    for image in result.images:
        folder = out / image.name
        assert sorted(path.name for path in folder.iterdir()) == FILES
        assert json.loads((folder / "metrics.json").read_text())["psnr"] == image.psnr
        target = read(folder / "target.png").astype(float) / 255
        found = read(folder / "projection.png").astype(float) / 255
        assert image.mse == pytest.approx(np.square(found - target).mean(), rel=0.05)
        assert image.psnr == pytest.approx(-10 * np.log10(image.mse))
        assert image.model_hash == model.content_hash()
        assert image.settings["steps"] == 4
        assert read(folder / "comparison.png").shape == (256, 2 * 256 + 64, 3)


def test_the_latent_file_draws_the_projection_again(model: Model, pictures: Path, tmp_path: Path) -> None:
    project_files(model, [pictures / "p1.png"], tmp_path / "out", QUICK)
    latent = tmp_path / "out" / "p1" / "latent.npz"
    found = load_latents(latent)
    assert (found.space, found.names, found.model_hash) == ("w", ("p1",), model.content_hash())
    (sample,) = generate(model, [latent])
    np.testing.assert_array_equal(sample.pixels, read(tmp_path / "out" / "p1" / "projection.png"))


def test_finished_pictures_are_skipped(model: Model, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = project_files(model, [pictures / "p0.png"], out, QUICK)
    before = (out / "p0" / "latent.npz").stat().st_mtime_ns
    again = project_files(model, [pictures], out, QUICK)
    assert again.num_skipped == 1
    assert again.images[0] == first.images[0]
    assert [image.name for image in again.images] == ["p0", "p1", "p2"]
    assert (out / "p0" / "latent.npz").stat().st_mtime_ns == before


def test_several_images_are_reported_by_quality(
    model: Model, file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    settings = ProjectSettings(steps=3, w_samples=50, prior="gaussian", loss="features=1,l1=2")
    (pictures / "p3.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    result = project_files(model, [pictures], out, settings, command="sgkit project & co", video="gif")
    best, _, worst = result.by_quality
    assert best.psnr >= worst.psnr
    for image in result.images:
        assert image.terms.keys() == {"features", "l1"}
        total = image.terms["features"] + 2 * image.terms["l1"]
        assert image.distance == pytest.approx(total, rel=1e-4)
        assert image.measures["l1"] > 0
        assert image.log_likelihood == -(image.prior or 0) / 2
        with Image.open(out / image.name / "search.gif") as film:
            assert film.size == (32, 16)
    assert result.report == out / "report.html"
    page = result.report.read_text(encoding="utf-8")
    assert page.index(f"{best.name}: ") < page.index(f"{worst.name}: ")
    for words in ("<span>&amp;</span>", f"Worst: {worst.name}", "log-likelihood", "p3.png", "features=1,l1=2"):
        assert words in page
    with pytest.raises(InputError, match=r"1 of 4 images could not be projected: .*p3\.png cannot be used: truncated"):
        result.raise_unusable()
    assert main(["project", str(file), str(pictures), "--out", str(tmp_path / "o"), "--steps", "1"]) == 1
    said = capsys.readouterr()
    assert "Best: " in said.out
    assert "1 of 4 images could not be projected" in said.err


def test_one_image_has_no_report(model: Model, pictures: Path, tmp_path: Path) -> None:
    assert project_files(model, [pictures / "p0.png"], tmp_path / "out", QUICK).report is None
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_measure_is_added_by_name(
    model: Model, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MEASURES, "red", lambda images, targets, model: images[:, 0].mean(dim=(1, 2)))
    monkeypatch.setitem(MEASURES, "absent", lambda images, targets, model: None)
    (image,) = project_files(model, [pictures / "p0.png"], tmp_path / "out", QUICK).images
    found = read(tmp_path / "out" / "p0" / "projection.png")[:, :, 0] / 127.5 - 1
    assert image.measures["red"] == pytest.approx(found.mean(), abs=0.01)
    assert "absent" not in image.measures


def test_an_interrupted_call_leaves_whole_folders_only(model: Model, pictures: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        project_files(model, [pictures], out, QUICK, batch=1, on_progress=stop)
    assert [path.name for path in out.iterdir()] == ["p0"]
    assert project_files(model, [pictures], out, QUICK, batch=1).num_skipped == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("settings", r"different steps \(4, not 5\)"),
        ("picture", "different image"),
        ("model", "different model"),
        ("folder", "is not a projection"),
        ("crop", r"different crop \(center, not none\)"),
        ("precision", r"different precision \(fp32, not bf16\)"),
    ],
)
def test_another_projection_of_the_name_is_not_touched(
    model: Model, pictures: Path, tmp_path: Path, change: str, message: str
) -> None:
    out = tmp_path / "out"
    project_files(model, [pictures / "p0.png"], out, QUICK)
    settings, other = QUICK, model
    if change == "settings":
        settings = ProjectSettings(steps=5, w_samples=50)
    elif change == "picture":
        (pictures / "p1.png").replace(pictures / "p0.png")
    elif change == "model":
        other = build(model.config, seed=9)
    elif change == "folder":
        (out / "p0" / "metrics.json").write_text("{}")
    fitting = Fitting(crop="none" if change == "crop" else "center")
    precision: ResolvedPrecision = "bf16" if change == "precision" else "fp32"
    with pytest.raises(InputError, match=message):
        project_files(other, [pictures / "p0.png"], out, settings, fitting=fitting, precision=precision)
    assert (out / "p0" / "latent.npz").exists()


def test_the_library_gives_latents_without_files(model: Model, pictures: Path) -> None:
    latents, found = project(model, [pictures / "p0.png"], ProjectSettings(steps=3, w_samples=50, space="w+"))
    assert latents.space == "w+"
    assert latents.values["w"].shape == (1, model.num_ws, 8)
    assert found.images.shape == (1, 3, 16, 16)


# --------------------------------------------------------------------------------------------- targets


def test_pictures_of_another_shape_are_cropped_and_resized_and_it_is_said(model: Model, tmp_path: Path) -> None:
    pixels = np.zeros((40, 90, 3), np.uint8)
    pixels[:, 15:75] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (target,) = read_targets([tmp_path / "wide.png"], model)
    assert target.adapted == "90x40, cropped in the middle to 40x40 and resized to the model's 16x16"
    assert target.pixels.shape == (16, 16, 3)
    assert (target.pixels == 200).all()


def test_images_of_12_bits_are_not_dark(model: Model, tmp_path: Path) -> None:
    for name, value in (("a.png", 4095), ("b.png", 2048)):
        Image.fromarray(np.full((16, 16), value, np.uint16)).save(tmp_path / name)
    for given in ([tmp_path / "a.png", tmp_path / "b.png"], [tmp_path]):
        found = list(read_targets(given, model))
        assert [int(target.pixels.max()) for target in found] == [255, 128]
        assert found[0].adapted == "read as 12-bit data"


def test_a_picture_that_fits_is_taken_as_it_is(model: Model, pictures: Path) -> None:
    (target,) = read_targets([pictures / "p0.png"], model)
    assert target.adapted is None
    assert np.array_equal(target.pixels, read(pictures / "p0.png"))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_colours_are_brought_to_the_model_s(tmp_path: Path, channels: int, mode: str) -> None:
    Image.new("RGB", (32, 48), (10, 20, 30)).save(tmp_path / "a.png")
    model = tiny((48, 32), channels)
    (target,) = read_targets([tmp_path / "a.png"], model)
    assert target.pixels.shape == (48, 32, channels)
    result = project_files(model, [tmp_path / "a.png"], tmp_path / "out", ProjectSettings(steps=1, w_samples=20))
    with Image.open(tmp_path / "out" / "a" / "projection.png") as drawn:
        assert (drawn.mode, drawn.size) == (mode, (32, 48))
    assert len(result.images) == 1


def test_names_are_unique_and_fit_for_folders(model: Model, pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(pictures / "p0.png", "one/p0.png")
        zipped.write(pictures / "p1.png", "p0.png")
    named = [target.name for target in read_targets([pictures / "p0.png", archive], model)]
    assert named == ["p0", "one_p0", "p0-2"]


@pytest.mark.parametrize(
    ("given", "options", "code", "message"),
    [
        ("empty", "", 1, "empty holds no images, but no files at all"),
        ("words", "", 1, "words holds no images, but 1 other file"),
        ("words/a.png.txt", "", 1, "words/a.png.txt"),
        ("text.png", "", 1, "1 of 1 image could not be projected: text.png cannot be used: not an image (a text file)"),
        ("photos/p0.png", "--steps 0", 2, "--steps 0 leaves every latent at the mean"),
        ("photos/p0.png", "--steps=-1", 2, "it must be greater than or equal to 0"),
        ("photos/p0.png", "--out words/a.png.txt", 1, "a.png.txt is a file. Give --out the name of a folder"),
        ("photos", "--out photos", 1, "photos is in the folder of images photos"),
        ("photos", "--out photos/results", 1, "Give --out a folder outside of it"),
        ("photos/p0.png", "--mask wide.png", 2, "The mask wide.png is 20x10, and the picture's proportions are 1:1"),
        ("photos/p0.png", "--mask black.png", 1, "black.png is black all over"),
        ("photos/p0.png", "--mask none.png", 1, "none.png"),
        ("photos/p0.png", "--mask box:2,2,3,3", 2, "'box:2,2,3,3' is outside the picture"),
        ("photos/p0.png", "--downscale 5", 2, "does not divide 16x16. Allowed: 1, 2, 4, 8, 16"),
        ("photos/p0.png", "--crop middle", 2, "'center', 'none', 'celeba'"),
        ("photos/p0.png", "--video avi", 2, "'mp4', 'webp', 'gif'"),
        ("photos/p0.png", "--crop face --landmarks none.csv", 1, "none.csv"),
        ("model.safetensors", "", 1, "is not a source of images"),
        ("done", "", 1, "done holds results of 'sgkit project'. Give the images themselves"),
        ("done/p0", "", 1, "done/p0 holds results of 'sgkit project'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    given: str,
    options: str,
    code: int,
    message: str,
    model: Model,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures.rename("photos")
    save(model, "model.safetensors")
    for name in ("empty", "words", "done/p0"):
        Path(name).mkdir(parents=True)
    for name in ("words/a.png.txt", "text.png", "done/p0/latent.npz"):
        Path(name).write_text("no picture")
    Image.new("L", (20, 10), 255).save("wide.png")
    Image.new("L", (16, 16), 0).save("black.png")
    before = sorted(tmp_path.rglob("*"))
    assert main(["project", "model.safetensors", given, "--out", "out", "--steps", "1", *options.split()]) == code
    said = capsys.readouterr()
    assert (said.out, message in said.err) == ("", True), said.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_latent_of_a_different_model_is_told(
    model: Model, file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project_files(model, [pictures / "p0.png"], tmp_path / "out", QUICK)
    save(build(model.config, seed=5), tmp_path / "other.safetensors")
    command = ["--latent", str(tmp_path / "out" / "p0"), "--out"]
    assert main(["generate", str(file), *command, str(tmp_path / "a")]) == 0
    assert "different model" not in capsys.readouterr().err
    assert main(["generate", str(tmp_path / "other.safetensors"), *command, str(tmp_path / "b")]) == 0
    said = capsys.readouterr().err
    assert said.count("latents of a different model (hash") == 1
    assert "project the image again: sgkit project" in said


def test_what_cannot_be_read_is_named(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file or folder"):
        list(read_targets([tmp_path / "none.png"], model))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    with pytest.raises(InputError, match=r"broken\.png cannot be used: truncated"):
        list(read_targets([tmp_path / "broken.png"], model))


# ----------------------------------------------------------------------------------------------- curve


@pytest.mark.parametrize("values", [[1.0], [0.5, 0.5], [3.0, 0.1, 0.02], list(np.geomspace(7, 0.3, 500)), [1e-15, 1.0]])
def test_curves_of_any_values_are_drawn_inside_the_picture(values: list[float]) -> None:
    drawn = draw_curve(values, title="distance", mark=len(values) - 1)
    assert drawn.shape == (360, 640, 3)
    blue = (drawn == (38, 99, 175)).all(axis=2)
    rows, columns = np.nonzero(blue)
    assert rows.min() >= 32
    assert rows.max() <= 322
    assert columns.min() >= 62
    assert columns.max() <= 622


def test_a_falling_curve_falls() -> None:
    blue = (draw_curve([1.0, 0.1], title="") == (38, 99, 175)).all(axis=2)
    assert np.nonzero(blue[:, 80])[0].mean() < np.nonzero(blue[:, 600])[0].mean()


# --------------------------------------------------------------------------------------------- command


def test_the_command_projects_reports_and_skips(
    file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["project", str(file), str(pictures / "p0.png"), str(pictures / "p1.png"), "--out", str(out)]
    assert main([*command, "--steps", "2"]) == 0
    assert "2 images in" in capsys.readouterr().out
    assert main([*command, "--steps", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_skipped"] == 2
    assert [image["name"] for image in report["images"]] == ["p0", "p1"]
    assert main(["generate", str(file), "--latent", str(out / "p0" / "latent.npz"), "--out", str(tmp_path / "g")]) == 0
    assert np.array_equal(read(tmp_path / "g" / "p0.png"), read(out / "p0" / "projection.png"))


def test_the_command_says_once_how_many_pictures_were_fitted(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
    command = ["project", str(file), *(str(tmp_path / f"{name}.png") for name in ("a", "b", "c"))]
    assert main([*command, "--out", str(tmp_path / "out"), "--steps", "1", "--loss", "pixels"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "a.png and 2 more: 20x20, resized to the model's 16x16." in told
    assert told.count("resized to") == 1


def test_the_command_says_what_is_wrong(
    model: Model, file: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.safetensors"
    save(Model(config=model.config, generator=model.generator), bare)
    picture, out = str(pictures / "p0.png"), str(tmp_path / "out")
    assert main(["project", str(bare), picture, "--out", out]) == 2
    assert "Use the loss 'pixels'" in capsys.readouterr().err
    assert main(["project", str(bare), picture, "--out", out, "--loss", "pixels", "--steps", "1"]) == 0
    assert main(["project", str(file), str(tmp_path / "none.png"), "--out", out]) == 1
    assert "none.png" in capsys.readouterr().err
    with pytest.raises(UsageError, match="batch is 0"):
        project_files(model, [picture], out, batch=0)


def test_one_path_is_not_iterated_by_letters(model: Model, pictures: Path) -> None:
    path = sorted(pictures.glob("*.png"))[0]
    for given in (path, str(path)):
        assert [target.name for target in read_targets(given, model)] == [path.stem]
    with pytest.raises(InputError, match=r"There is no file or folder me\.jpg"):
        project(model, "me.jpg")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "v"}, r"space is 'v'\. Allowed: z, w, w\+, s, p, p\+"),
        ({"loss": "pixel"}, r"loss is 'pixel'\. Did you mean 'pixels'\? Allowed: both, features, pixels, l1"),
        ({"lr": float("nan")}, "lr is nan; it must be a number"),
        ({"noise_weight": float("inf")}, "noise_weight is inf; it must be a number"),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number"),
        ({"seed": "x"}, "seed is 'x'; it must be a whole number"),
        ({"steps": -1}, "steps is -1; it must be 0 or more"),
    ],
)
def test_settings_that_do_not_exist_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProjectSettings(**values)


def test_case_is_forgiven() -> None:
    settings = ProjectSettings(space="W+", loss="Pixels")  # type: ignore[arg-type]
    assert (settings.space, settings.loss) == ("w+", "pixels")


def test_a_mask_is_a_shape_or_an_image_and_belongs_to_the_projection(tmp_path: Path, model: Model) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.new("RGB", (16, 16), "red").save(photo)
    half = Image.new("L", (16, 16))
    half.paste(255, (0, 0, 8, 16))
    half.save(mask)
    quick = ProjectSettings(steps=3, w_samples=50, loss="pixels")
    by_shape, _ = project(model, photo, quick, mask="box:0,0,0.5,1")
    by_image, _ = project(model, photo, quick, mask=str(mask))
    assert torch.equal(by_shape.only, by_image.only)
    assert not torch.equal(by_shape.only, project(model, photo, quick)[0].only)
    project_files(model, photo, tmp_path / "out", quick, mask=str(mask))
    assert project_files(model, photo, tmp_path / "out", quick, mask=str(mask)).num_skipped == 1
    with pytest.raises(InputError, match="holds a projection with a different mask"):
        project_files(model, photo, tmp_path / "out", quick)
    half.paste(255, (0, 0, 4, 4))
    half.putpixel((15, 15), 255)
    half.save(mask)
    with pytest.raises(InputError, match="holds a projection with a different mask"):
        project_files(model, photo, tmp_path / "out", quick, mask=str(mask))
