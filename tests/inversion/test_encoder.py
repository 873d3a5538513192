"""Encoders: they learn, continue where they were stopped, belong to a model, and projections start from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import sgkit
from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.config.encoder import EncoderSettings
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.inversion import ProjectSettings, load_encoder, project, search, train_encoder
from sgkit.inversion.encoder_file import read_encoder_header
from sgkit.inversion.encoder_task import state_path
from sgkit.inversion.encoder_training import EncoderTraining
from sgkit.latents.files import load_latents
from sgkit.model import Encoder, Model, new_encoder
from sgkit.runtime.progress import Progress
from sgkit.tasks.info import FileSummary, info
from tests.builders import drawn_model
from tests.checkpoint.test_deltas import tuned_from
from tests.schemas import checked_result

QUICK = EncoderSettings(kimg=0.032, batch=8)


def test_it_begins_with_the_mean_w_and_the_layers_of_the_discriminator(each_model: Model) -> None:
    encoder = new_encoder(each_model, rows=each_model.num_ws)
    images = torch.randn(3, 3, 16, 16)
    ws = encoder(images)
    assert ws.shape == (3, each_model.num_ws, each_model.w_dim)
    torch.testing.assert_close(ws, encoder.middle.expand_as(ws))
    assert each_model.discriminator is not None
    mine, theirs = encoder.features(images, stop=3), each_model.discriminator.features(images, stop=3)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_an_image_is_encoded_by_itself() -> None:
    encoder = new_encoder(drawn_model(), rows=1)
    torch.nn.init.normal_(encoder.layer("b4_head").get_parameter("out.weight"))
    images = torch.randn(6, 3, 16, 16)
    torch.testing.assert_close(encoder(images)[2:3], encoder(images[2:3]))
    assert encoder(images).std(dim=0).max() > 0


def test_later_rows_are_offsets_from_the_first() -> None:
    model = drawn_model()
    encoder = new_encoder(model, rows=model.num_ws)
    head = encoder.layer("b4_head").get_parameter("out.bias")
    head.data[:8] = 1.0
    offsets = encoder.offsets(torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(offsets, torch.ones_like(offsets))
    with pytest.raises(UsageError, match="1 w or 6, one for each layer; 3 were asked for"):
        new_encoder(model, rows=3)


def test_the_distance_of_w_falls_by_half() -> None:
    model = drawn_model()
    job = EncoderTraining(model=model, settings=EncoderSettings(kimg=1.6, batch=16, lr=0.03, image_weight=0.0))
    before = job.measured()
    assert before["w"] == pytest.approx(1.0, abs=1e-4)
    while not job.is_finished:
        job.step()
    after = job.measured()
    assert after["w"] < 0.5
    assert after["psnr"] > before["psnr"] + 1


def test_images_alone_teach_it_and_the_losses_have_their_weights() -> None:
    model = drawn_model()
    only_images = EncoderSettings(kimg=1.6, batch=8, lr=0.02, latent_weight=0.0)
    job = EncoderTraining(model=model, settings=only_images)
    before = job.measured()["psnr"]
    losses = [job.step() for _ in range(40)]
    assert set(losses[0]) == {"image"}
    assert job.measured()["psnr"] > before + 0.5
    twice = EncoderTraining(model=model, settings=EncoderSettings(batch=8, image_weight=2.0, latent_weight=3.0))
    once = EncoderTraining(model=model, settings=EncoderSettings(batch=8))
    first, second = once.step(), twice.step()
    assert second == pytest.approx({"w": 3 * first["w"], "image": 2 * first["image"]})


@pytest.mark.parametrize(("name", "label_dim"), [("stylegan2-f", 2), ("progan", 0), ("stylegan3-t", 0)])
def test_other_architectures_and_classes(name: str, label_dim: int, tiny_model: object, tmp_path: Path) -> None:
    model = tiny_model(name, label_dim=label_dim)  # type: ignore[operator]
    result = train_encoder(model, tmp_path / "e.safetensors", QUICK)
    assert result.finished
    encoder = load_encoder(tmp_path / "e.safetensors", model)
    label = torch.eye(2)[:1] if label_dim else None
    settings = ProjectSettings(steps=2, w_samples=50, loss="pixels")
    targets = model(model.sample_z([1]), label)
    found = search(model, targets, settings, start=encoder(targets), label=label)
    assert found.w.shape == (1, model.w_dim)


# ------------------------------------------------------------------------------------------- training files


def stopped(model: Model, path: Path, after: int, settings: EncoderSettings, **options: object) -> None:
    """Train until so many images were seen, then interrupt."""

    def stop(progress: Progress) -> None:
        if progress.done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_encoder(model, path, settings, on_progress=stop, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    assert main(["prepare", str(folder), "--size", "16", "--out", str(folder / "store")]) == 0
    return folder / "store"


@pytest.mark.parametrize("with_data", [False, True])
def test_an_interrupted_training_continues_to_the_same_bits(with_data: bool, store: Path, tmp_path: Path) -> None:
    model = drawn_model(noise=0.1)
    data = {"data": store} if with_data else {}
    settings = EncoderSettings(kimg=0.04, batch=8, space="w+")
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_encoder(model, whole, settings, **data)  # type: ignore[arg-type]
    stopped(model, parts, 8, settings, **data)
    assert state_path(parts).is_file()
    assert not parts.exists()
    stopped(model, parts, 24, settings, **data)
    result = train_encoder(model, parts, settings, **data)  # type: ignore[arg-type]
    assert (result.resumed_from, result.images, result.finished) == (24, 40, True)
    assert whole.read_bytes() == parts.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.safetensors", "whole.safetensors"]


def test_when_the_time_is_up_the_encoder_is_written_and_continues(tmp_path: Path) -> None:
    model, path = drawn_model(), tmp_path / "e.safetensors"
    first = train_encoder(model, path, QUICK, max_seconds=1e-9)
    assert (first.images, first.finished) == (8, False)
    assert read_encoder_header(path).images == 8
    load_encoder(path, model)
    last = train_encoder(model, path, QUICK)
    assert (last.resumed_from, last.images, last.finished) == (8, 32, True)
    with pytest.raises(InputError, match="exists already"):
        train_encoder(model, path, QUICK)
    train_encoder(model, path, QUICK, overwrite=True)


def test_a_state_of_another_training_is_refused(store: Path, tmp_path: Path) -> None:
    model, path = drawn_model(), tmp_path / "e.safetensors"
    stopped(model, path, 16, QUICK)
    for changed, text in (
        (EncoderSettings(kimg=0.032, batch=8, seed=1), r"a different seed \(0, not 1\)"),
        (EncoderSettings(kimg=0.032, batch=8, space="w+"), r"a different space \(w, not w\+\)"),
    ):
        with pytest.raises(InputError, match=text):
            train_encoder(model, path, changed)
    with pytest.raises(InputError, match="a different data"):
        train_encoder(model, path, QUICK, data=store)
    with pytest.raises(InputError, match="a different model"):
        train_encoder(drawn_model(seed=1), path, QUICK)
    state = state_path(path)
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cut short"):
        train_encoder(model, path, QUICK)
    assert train_encoder(model, path, QUICK, overwrite=True).resumed_from == 0


def test_stores_and_names_that_do_not_fit_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"16x16 with 3 channels; the model makes 32x16"):
        train_encoder(drawn_model(image_size=(16, 32)), tmp_path / "e.safetensors", QUICK, data=store)
    with pytest.raises(UsageError, match="batch is 1"):
        train_encoder(drawn_model(), tmp_path / "e.safetensors", EncoderSettings(batch=1), data=store)
    with pytest.raises(UsageError, match=r"Use e\.safetensors"):
        train_encoder(drawn_model(), tmp_path / "e.npz", QUICK)


# ------------------------------------------------------------------------------------------------- using it


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its encoder, one of its images."""
    folder = tmp_path_factory.mktemp("encoder")
    model = drawn_model()
    save(model, folder / "m.safetensors")
    train_encoder(model, folder / "e.safetensors", EncoderSettings(kimg=1.6, batch=16, lr=0.03, image_weight=0.0))
    sgkit.load(folder / "m.safetensors").generate([40]).save(folder / "images")
    next((folder / "images").glob("*.png")).rename(folder / "photo.png")
    return folder


@pytest.mark.usefixtures("here")
def test_projections_start_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    model = sgkit.load("m.safetensors")
    encoder = load_encoder("e.safetensors", model)
    for space in ("w", "w+", "s", "p", "p+"):
        settings = ProjectSettings(space=space, steps=1, lr=0, w_samples=100)  # type: ignore[arg-type]
        _, plain = project(model, "photo.png", settings)
        _, found = project(model, "photo.png", settings, encoder=encoder)
        assert float(found.pixel_errors) < float(plain.pixel_errors), space  # the images given are within -1 to 1
    with pytest.raises(UsageError, match="A search in z cannot start from w"):
        project(model, "photo.png", ProjectSettings(space="z", steps=1, w_samples=50), encoder=encoder)
    many = ProjectSettings(steps=1, w_samples=50, starts=30)
    _, best = project(model, "photo.png", many, encoder=encoder)
    _, one = project(model, "photo.png", ProjectSettings(steps=1, w_samples=50), encoder=encoder)
    assert float(best.start_distances) <= float(one.start_distances)
    line = "project m.safetensors photo.png --encoder e.safetensors --steps 2 --out out"
    assert main([*line.split(), "--json"]) == 0
    (image,) = checked_result(["project"], capsys.readouterr().out)["images"]
    assert image["encoder"] == sgkit.model.content_hash(encoder)
    assert main(line.split()) == 0
    assert main(line.replace(" --encoder e.safetensors", "").split()) == 1
    assert "a different encoder" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_without_steps_its_latents_are_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    model = sgkit.load("m.safetensors")
    encoder = load_encoder("e.safetensors", model)
    assert (
        main(["project", "m.safetensors", "photo.png", "--encoder", "e.safetensors", "--steps", "0", "--out", "out"])
        == 0
    )
    latents = load_latents("out/photo/latent.npz")
    images = torch.from_numpy(np.array(Image.open("photo.png"))).permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(latents.only, encoder(images)[:, 0])
    assert latents.noise == {}
    assert not Path("out/photo/loss.png").exists()
    assert json.loads(Path("out/photo/metrics.json").read_text())["steps"] == 0
    torch.testing.assert_close(model.project("photo.png", encoder="e.safetensors", steps=0).only, latents.only)
    capsys.readouterr()
    assert main(["project", "m.safetensors", "photo.png", "--steps", "0", "--out", "x"]) == 2
    assert "--steps 0 leaves every latent at the mean" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_it_belongs_to_its_model_and_to_those_tuned_from_it(tmp_path: Path) -> None:
    model, other = sgkit.load("m.safetensors"), drawn_model(seed=1)
    text = rf"{model.content_hash()[:12]}, and the given one has {other.content_hash()[:12]}"
    with pytest.raises(InputError, match=text):
        load_encoder("e.safetensors", other)
    sgkit.save_delta(model, tuned_from(model), "d.safetensors")
    assert isinstance(sgkit.load_encoder("e.safetensors", sgkit.load("m.safetensors+d.safetensors")), Encoder)
    found = info("e.safetensors")
    assert isinstance(found, FileSummary)
    assert (found.kind, found.facts["space"], found.facts["model"]) == ("encoder", "w", model.content_hash())


DAMAGE = {
    "a tensor of another shape": ({"middle": torch.zeros(3)}, "middle"),
    "an unknown tensor": ({"more": torch.zeros(3)}, "more"),
    "a missing tensor": ({"middle": None}, "middle"),
    "NaN": ({"middle": torch.full((8,), torch.nan)}, "not finite"),
    "16 bits": ({"middle": torch.zeros(8).half()}, "F16"),
    "an unknown space": ({"space": "q"}, "unknown space 'q'"),
    "w+ in the header": ({"space": "w+"}, "b4_head"),
    "a newer version": ({"format_version": 2}, "format version 2"),
    "no count": ({"images": "many"}, "whole number"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.usefixtures("here")
def test_damage_is_named(damage: str) -> None:
    changes, text = DAMAGE[damage]
    with safe_open("e.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["sgkit.encoder"])
    for name, value in changes.items():
        if name in header:
            header[name] = value
        elif isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            tensors.pop(name)
    save_file(tensors, "e.safetensors", metadata={"sgkit.encoder": json.dumps(header)})
    with pytest.raises(CheckpointError, match=text) as caught:
        load_encoder("e.safetensors", sgkit.load("m.safetensors"))
    assert "e.safetensors" in str(caught.value)


@pytest.mark.usefixtures("here")
def test_the_command_trains_one(capsys: pytest.CaptureFixture[str]) -> None:
    line = "encoder train m.safetensors --out new.safetensors --kimg 0.016 --batch 8 --space w+"
    assert main([*line.split(), "--json"]) == 0
    found = checked_result(["encoder", "train"], capsys.readouterr().out)
    assert (found["images"], found["space"], found["finished"]) == (16, "w+", True)
    assert main([*line.split(), "--force", "--max-time", "0.001s"]) == 0
    assert "the same command continues" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_stopped_command_says_that_it_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "encoder train m.safetensors --out new.safetensors --kimg 0.032 --batch 8"
    step = EncoderTraining.step

    def interrupted(job: EncoderTraining) -> dict[str, float]:
        if job.images == 16:
            raise KeyboardInterrupt
        return step(job)

    monkeypatch.setattr(EncoderTraining, "step", interrupted)
    assert main(line.split()) == 130
    assert "new.safetensors.partial: the same command continues" in capsys.readouterr().err
    assert main([*line.split(), "--seed", "1"]) == 1
    shown = capsys.readouterr().err
    assert "a different seed (0, not 1)" in shown
    assert "continues." not in shown
