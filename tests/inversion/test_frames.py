"""Frames that follow each other, and classes that are searched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.config import ModelConfig
from sgkit.errors import InputError, UsageError
from sgkit.inversion import ProjectSettings, project, project_files, read_targets, search, target_images
from sgkit.inversion.classes import search_classes
from sgkit.inversion.distributions import LatentDistribution
from sgkit.inversion.spaces import search_space, with_place
from sgkit.latents.files import load_latents
from sgkit.model import Model, build
from sgkit.render.pictures import to_pixels, write_png
from sgkit.render.video import write_animation
from sgkit.runtime.progress import Progress

FRAMES = ProjectSettings(steps=24, w_samples=50, loss="pixels", smooth=0.05)


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan2-f")


@pytest.fixture
def film(model: Model, tmp_path: Path) -> Path:
    """Five frames on the way from one image to another."""
    folder = tmp_path / "film"
    folder.mkdir()
    first, last = model.map(model.sample_z([1, 2]))
    ws = torch.stack([first.lerp(last, 0.1 * index) for index in range(5)])
    for index, pixels in enumerate(to_pixels(model.synthesize(ws))):
        write_png(pixels, folder / f"{index}.png")
    return folder


def latents_of(folder: Path, count: int = 5) -> torch.Tensor:
    return torch.cat([load_latents(folder / str(index)).only for index in range(count)])


def test_frames_start_from_the_one_before_and_stay_close(model: Model, film: Path, tmp_path: Path) -> None:
    result = project_files(model, film, tmp_path / "out", FRAMES)
    assert [image.steps for image in result.images] == [24, 6, 6, 6, 6]
    project_files(model, film, tmp_path / "still", replace(FRAMES, smooth=100.0))
    still, out = (latents_of(tmp_path / name).diff(dim=0).norm(dim=1).sum() for name in ("still", "out"))
    assert still < 0.01 < out
    given = project_files(model, film, tmp_path / "given", replace(FRAMES, frame_steps=9))
    assert [image.steps for image in given.images] == [24, 9, 9, 9, 9]


def test_a_film_continues_as_if_it_had_not_stopped(model: Model, film: Path, tmp_path: Path) -> None:
    told = []

    def stop(progress: object) -> None:
        told.append(progress)
        if len(told) == 24 + 6 + 6 + 2:
            raise KeyboardInterrupt

    project_files(model, film, tmp_path / "out", FRAMES)
    with pytest.raises(KeyboardInterrupt):
        project_files(model, film, tmp_path / "again", FRAMES, on_progress=stop)
    assert project_files(model, film, tmp_path / "again", FRAMES).num_skipped == 3
    assert torch.equal(latents_of(tmp_path / "out"), latents_of(tmp_path / "again"))


def test_a_frame_that_cannot_be_read_is_passed_over(model: Model, film: Path, tmp_path: Path) -> None:
    (film / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    result = project_files(model, film, tmp_path / "out", FRAMES)
    assert [image.steps for image in result.images] == [24, 6, 6, 6]
    assert [one.source.rpartition(" ")[2] for one in result.unusable] == ["1.png"]


def test_videos_are_films_of_their_own(model: Model, film: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    frames = [np.full((16, 16, 3), level, np.uint8) for level in (40, 60)]
    for name in ("a.mp4", "b.mp4"):
        write_animation(iter(frames), tmp_path / name, count=2)
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    result = project_files(model, paths, tmp_path / "out", replace(FRAMES, steps=8))
    assert [image.name for image in result.images] == ["frame00000", "frame00001", "frame00000-2", "frame00001-2"]
    assert [image.steps for image in result.images] == [8, 2, 8, 2]


@pytest.mark.parametrize("space", ["z", "w", "w+", "s", "p", "p+"])
@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan3-r"])
def test_saved_latents_are_read_back_into_their_space(
    tiny_model: Callable[..., Model], name: str, space: str, tmp_path: Path
) -> None:
    model = tiny_model(name)
    settings = ProjectSettings(space=space, steps=3, w_samples=50, loss="pixels")  # type: ignore[arg-type]
    target = model.synthesize(model.map(model.sample_z([4]))).clamp(-1, 1)
    latents = search(model, target, settings).latents()
    found = with_place(search_space(settings.space, LatentDistribution(model=model, samples=50)), model)
    point = found.read(latents)
    for key, value in found.values(point).items():
        torch.testing.assert_close(value, latents.values[key], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.change(point, point), torch.zeros(1))
    moved = {key: value + 2 * (found.deviations[key] or 1.0) / value[0].numel() ** 0.5 for key, value in point.items()}
    rows = {key: value.shape[1] if value.ndim == 3 else 1 for key, value in point.items()}
    expected = sum(4 / rows[key] for key in point) / len(point)
    torch.testing.assert_close(found.change(moved, point), torch.tensor([expected]), rtol=1e-3, atol=1e-3)
    again = search(model, target, replace(settings, steps=1), previous=latents)
    torch.testing.assert_close(again.start_distances, search(model, target, settings).distances, rtol=1e-3, atol=1e-4)


# --------------------------------------------------------------------------------------------- classes


def test_classes_are_found_and_said(tiny_config: Callable[..., ModelConfig], tmp_path: Path) -> None:
    model = build(tiny_config("stylegan2-f", label_dim=8), seed=1)
    for name, parameter in model.generator.synthesis.named_parameters():
        if "rgb" in name and name.endswith("weight") and "affine" not in name:
            parameter.mul_(0.2)  # images from -1 to 1, as those of trained models
    wanted = [5, 2, 5]
    distributions = [LatentDistribution(model=model, label=model.one_hot([number])).w.mean for number in wanted]
    images = model.synthesize(torch.stack(distributions)[:, None].expand(-1, model.num_ws, -1))
    assert images.abs().max() < 1
    settings = ProjectSettings(steps=4, w_samples=50, loss="pixels")
    assert search_classes(model, images, settings) == wanted
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, pixels in enumerate(to_pixels(images)):
        write_png(pixels, folder / f"{index}.png")
    said: list[Progress] = []
    result = project_files(model, folder, tmp_path / "out", settings, label="search", on_progress=said.append)
    compared = [one for one in said if "comparing classes" in one.fields]
    assert compared[0].fields == {"image": "0 to 2", "comparing classes": "1 of 8"}
    assert compared[-1].fields["comparing classes"] == f"{len(compared)} of {len(compared)}"
    assert said.index(compared[-1]) == len(compared) - 1  # before the first step
    assert [np.argmax(image.label) for image in result.images] == wanted  # type: ignore[arg-type]
    assert json.loads((tmp_path / "out" / "0" / "metrics.json").read_text())["label_name"] == "5"
    assert project_files(model, folder, tmp_path / "out", settings, label="search").num_skipped == 3
    latents, found = project(model, folder, settings, label="search")
    for index, number in enumerate(wanted):
        alone = search(
            model,
            target_images(list(read_targets(folder / f"{index}.png", model)), model),
            settings,
            label=model.one_hot([number]),
        )
        torch.testing.assert_close(latents.only[index], alone.w[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found.images[index], alone.images[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.history[:, index], alone.history[:, 0], rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="different class_search"):
        project_files(model, folder, tmp_path / "out", settings, label=5)


@pytest.mark.parametrize(("label_dim", "message"), [(0, "is unconditional: remove --class"), (1, "is one number")])
def test_models_without_classes_say_so(
    tiny_model: Callable[..., Model], label_dim: int, message: str, film: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        project_files(tiny_model("stylegan2-f", label_dim=label_dim), film, tmp_path / "out", FRAMES, label="search")
