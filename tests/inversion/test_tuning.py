"""Pivotal tuning: what it gains, what it leaves alone, and the tuned model wherever a model is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.config.tune import TuneSettings
from sgkit.errors import ConfigError, InputError, UsageError
from sgkit.inversion import ProjectSettings, project_files
from sgkit.inversion.tune_task import read_pivots, tune_files
from sgkit.inversion.tuning import Tuning, shown, tune
from sgkit.latents.directions import save_directions, unit
from sgkit.latents.spaces import Latents, to_ws
from sgkit.model import Model
from tests.builders import drawn_model
from tests.schemas import checked_result

QUICK = TuneSettings(steps=12, lr=5e-3, loss="pixels")


def pivots(model: Model, seeds: tuple[int, ...] = (1, 2)) -> tuple[Latents, torch.Tensor]:
    """Latents of w, and other images than theirs."""
    ws = model.map(model.sample_z(seeds))[:, 0]
    targets = torch.rand(len(seeds), 3, *model.image_size, generator=torch.Generator().manual_seed(3)) - 0.5
    return Latents(space="w", values={"w": ws}, names=tuple(map(str, seeds))), targets


def error(model: Model, latents: Latents, targets: torch.Tensor) -> float:
    return float((shown(model, latents) - targets).square().mean())


def test_images_come_closer_and_only_synthesis_changes(each_model: Model) -> None:
    latents, targets = pivots(each_model)
    before = {name: value.clone() for name, value in each_model.state_dict().items()}
    tuned = tune(each_model, latents, targets, QUICK)
    assert error(tuned, latents, targets) < 0.97 * error(each_model, latents, targets)
    assert all(torch.equal(value, before[name]) for name, value in each_model.state_dict().items())
    changed = {
        name
        for name, value in tuned.generator.state_dict().items()
        if not torch.equal(value, before[f"generator.{name}"])
    }
    assert changed
    assert all(name.startswith("synthesis.") for name in changed)
    assert not any(weight.requires_grad for weight in tuned.parameters())


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_pivots_of_every_space(space: str) -> None:
    model = drawn_model(label_dim=2, noise=0.1)
    z, label = model.sample_z([1]), torch.eye(2)[:1]
    ws = model.map(z, label)
    values = {"z": {"z": z}, "w": {"w": ws[:, 0]}, "w+": {"w": ws}, "s": model.styles(ws)}[space]
    latents = Latents(space=space, values=values, label=label if space == "z" else None)  # type: ignore[arg-type]
    targets = torch.zeros(1, 3, 16, 16)
    tuned = tune(model, latents, targets, QUICK)
    assert error(tuned, latents, targets) < error(model, latents, targets)


def test_locality_keeps_other_images() -> None:
    model = drawn_model()
    latents, targets = pivots(model)
    z = model.sample_z(range(10, 18))

    def drift(weight: float) -> float:
        tuned = tune(model, latents, targets, TuneSettings(steps=25, lr=5e-3, loss="pixels", locality=weight))
        return float((tuned(z, psi=0.5) - model(z, psi=0.5)).square().mean())

    assert drift(50.0) < 0.7 * drift(0.0)


def test_the_same_seed_gives_the_same_weights_and_many_pivots_take_turns() -> None:
    model = drawn_model()
    latents, targets = pivots(model, (1, 2, 3, 4, 5))
    quick = TuneSettings(steps=3, loss="pixels", batch=2, seed=5)
    one, two = (tune(model, latents, targets, quick) for _ in range(2))
    assert one.content_hash() == two.content_hash()
    other = tune(model, latents, targets, TuneSettings(steps=3, loss="pixels", batch=2))
    assert other.content_hash() != one.content_hash()
    job = Tuning(before=model, latents=latents, targets=targets, settings=quick)
    seen = [row for step in range(5) for row in job._rows(step)]
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]


def test_noise_maps_of_the_projection_are_used() -> None:
    model = drawn_model(noise=0.5)
    latents, targets = pivots(model, (1,))
    plan = model.generator.synthesis.plan
    maps = {spec.name: torch.randn(1, 1, *spec.size) for spec in plan if spec.has_noise}
    noisy = Latents(space="w", values=latents.values, noise=maps)
    assert not torch.equal(shown(model, noisy), shown(model, latents))
    tuned = tune(model, noisy, targets, QUICK)
    assert error(tuned, noisy, targets) < error(model, noisy, targets)


def test_settings_that_do_not_fit_are_refused() -> None:
    model = drawn_model()
    latents, targets = pivots(model)
    with pytest.raises(UsageError, match="2 latents and 1 images"):
        tune(model, latents, targets[:1], QUICK)
    with pytest.raises(UsageError, match="loss is 'nice'"):
        TuneSettings(loss="nice")
    with pytest.raises(ConfigError, match="lr"):
        TuneSettings(lr=0)


# ----------------------------------------------------------------------------------------------- files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, two photos and their projections, a direction."""
    folder = tmp_path_factory.mktemp("tuning")
    model = drawn_model()
    save(model, folder / "m.safetensors")
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels.repeat(4, axis=0).repeat(4, axis=1)).save(folder / f"p{index}.png")
    quick = ProjectSettings(steps=3, w_samples=50)
    project_files(model, [folder / "p0.png", folder / "p1.png"], folder / "projected", quick)
    facts = {"names": ("up",), "signs": ("",), "method": "test", "model_hash": model.content_hash()}
    save_directions(unit({"w": torch.ones(1, 8)}, space="w", **facts), folder / "up.safetensors")
    return folder


@pytest.mark.usefixtures("here")
def test_a_projection_becomes_a_delta_that_shows_it_better(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "20", "--lr", "0.005", "--out", "d.safetensors"]
    assert main(["tune", "m.safetensors", "projected", *words, "--json"]) == 0
    found = checked_result(["tune"], capsys.readouterr().out)
    assert [one["name"] for one in found["images"]] == ["p0", "p1"]
    assert all(one["psnr"] > one["psnr_before"] and one["distance"] < one["distance_before"] for one in found["images"])
    tuned = sgkit.load("m.safetensors+d.safetensors")
    assert tuned.content_hash() == found["tuned_hash"]
    latents, targets = read_pivots("projected", tuned)
    error = (shown(tuned, latents[0]).clamp(-1, 1) - targets[:1]).square().mean()
    psnr = -10 * np.log10(float(error) / 4)
    assert psnr == pytest.approx(found["images"][0]["psnr"], abs=1e-3)


@pytest.mark.usefixtures("here", "cheap_features")
def test_the_tuned_model_is_taken_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "m.safetensors", "projected/p0", "--steps", "2", "--out", "d+1.safetensors"]) == 0
    capsys.readouterr()
    tuned = "m.safetensors+d+1.safetensors"
    for line in (
        f"generate {tuned} --latent projected/p0 --out g.png",
        f"mix {tuned} --rows projected/p0/latent.npz --cols 0 --layers 0-1 --out mix.png",
        f"edit {tuned} --latent projected/p0 --move up.safetensors=1 --out e.png",
        f"panorama {tuned} --seeds 0,1 --out pan.png",
        f"directions find {tuned} --samples 20 --out found.safetensors",
        f"convert {tuned} whole.safetensors",
        f"info {tuned}",
        f"project {tuned} p0.png --steps 2 --out again",
        f"translate m.safetensors {tuned} --seeds 0 --out t.png",
        "prepare p0.png p1.png --size 16 --out store",
        f"metrics {tuned} --data store --metrics kd_effnet --num-images 2 --num-data 2 --no-cache",
        f"train store --init {tuned} --preset stylegan2-mini --out run --dry-run",
        f"encoder train {tuned} --kimg 0.008 --batch 8 --out e.safetensors",
    ):
        assert main(line.split()) == 0, capsys.readouterr().err
        shown = capsys.readouterr()
        assert "different model" not in shown.err, line
    whole = sgkit.load("whole.safetensors")
    assert whole.content_hash() == sgkit.load(tuned).content_hash()
    assert main(["generate", "whole.safetensors", "--latent", "projected/p0", "--out", "w.png"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open("g.png")), np.asarray(Image.open("w.png")))


@pytest.mark.usefixtures("here")
def test_scenes_record_model_and_delta_and_replay_finds_both(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "m.safetensors", "projected/p0", "--steps", "2", "--out", "d.safetensors"]) == 0
    assert main(["generate", "m.safetensors+d.safetensors", "--seeds", "0-1", "--grid", "2x1", "--out", "g.png"]) == 0
    assert main(["generate", "m.safetensors", "--seeds", "0-1", "--grid", "2x1", "--out", "plain.png"]) == 0
    assert main(["replay", "g.png", "--out", "again.png"]) == 0
    first, again, plain = (np.asarray(Image.open(name)) for name in ("g.png", "again.png", "plain.png"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, plain)
    Path("moved").mkdir()
    for name in ("g.png", "m.safetensors", "d.safetensors"):
        Path(name).rename(f"moved/{name}")
    assert main(["replay", "moved/g.png", "--out", "beside.png"]) == 0
    np.testing.assert_array_equal(first, np.asarray(Image.open("beside.png")))
    capsys.readouterr()
    assert main(["replay", "moved/g.png", "--out", "x.png", "--model", "moved/m.safetensors"]) == 1
    assert "This is a different model" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_projections_of_other_models_are_refused_with_both_hashes(tmp_path: Path) -> None:
    other, model = drawn_model(seed=1), sgkit.load("m.safetensors")
    text = rf"{model.content_hash()[:12]}, and the given one has {other.content_hash()[:12]}"
    with pytest.raises(InputError, match=text):
        tune_files(other, "projected/p0", "d.safetensors", QUICK)
    assert not Path("d.safetensors").exists()
    Path("projected/p1/target.png").unlink()
    with pytest.raises(InputError, match=r"no target\.png beside it"):
        tune_files(model, "projected", "d.safetensors", QUICK)
    with pytest.raises(UsageError, match="No projection"):
        tune_files(model, [], "d.safetensors", QUICK)


@pytest.mark.usefixtures("here")
def test_in_python() -> None:
    model = sgkit.load("m.safetensors")
    tuned = model.tune("projected/p0", out="d.safetensors", steps=2)
    assert isinstance(tuned, sgkit.Model)
    assert tuned.content_hash() == sgkit.load("m.safetensors+d.safetensors").content_hash()
    assert str(tuned.path) == "m.safetensors+d.safetensors"
    assert to_ws(read_pivots("projected/p0", tuned)[0], tuned).shape == (1, 6, 8)
    (image,) = tuned.generate("projected/p0/latent.npz")
    assert image is not None
