from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sgkit.errors import InputError, UsageError
from sgkit.metrics import image_distances
from sgkit.metrics.coverage import density_coverage
from sgkit.metrics.effnet import EFFNET_DIM
from sgkit.metrics.equivariance import equivariance, squared_errors
from sgkit.metrics.image_distances import load_distance
from sgkit.metrics.path_length import PathLengthSpec, path_distances, path_length
from sgkit.metrics.registry import METRICS, evaluate
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.metrics.structural_similarity import ms_ssim
from sgkit.metrics.values import GeneratorSource, MetricInputs, MetricValue
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import Progress


def squared(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first.double() - second.double()).square().mean(dim=(1, 2, 3))


@pytest.fixture(autouse=True)
def _cheap_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("effnet", "lpips_vgg"):
        monkeypatch.setitem(image_distances.DISTANCES, name, lambda device, on_progress: squared)


def measure(name: str, model: Model | None = None, *, num: int = 5, psi: float = 1.0, **more: Any) -> MetricValue:
    labels = None if model is None or not model.label_dim else torch.eye(model.label_dim).repeat(num, 1)
    source = model and GeneratorSource(
        model=model, labels=lambda count: None if labels is None else labels[:count], truncation_psi=psi, batch=2
    )
    return evaluate(MetricInputs(row=METRICS[name], generator=source or None, num_images=num, **more))[0]


def pixels(statistic: str, images: torch.Tensor) -> FeatureStatistics:
    found = FeatureStatistics(0, (statistic,))
    found.update(images)
    return found


def noise(num: int, *, seed: int = 0, size: int = 16) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8, generator=draw)


@pytest.mark.parametrize("row", [row for row in METRICS.values() if row.method == "path_length"], ids=lambda r: r.name)
def test_rows_of_path_lengths_measure_what_they_say(row: Any, tiny_model: Callable[..., Model]) -> None:
    model, told = tiny_model(label_dim=2), list[Progress]()
    found = measure(row.name, model, num=3, seed=4, on_progress=told.append)
    spec = PathLengthSpec(
        space=row.parameters["space"], sampling=row.parameters["sampling"], crop=row.parameters["crop"]
    )
    labels = torch.eye(2).repeat(2, 1)
    plain = path_distances(model, squared, spec, range(3), labels=labels, seed=4)
    assert found.value == pytest.approx(path_length(np.concatenate(list(plain))).mean, rel=1e-2)
    assert (found.num_images, found.num_data, told[-1].done) == (3, None, 3)
    assert found.notes[0] == f"3 of {row.num_images:,} images"
    assert measure(row.name, model, psi=0.5).value < 0.7 * measure(row.name, model).value


@pytest.mark.parametrize(("name", "movement"), [("eqt50k_int", "int"), ("eqt50k_frac", "frac"), ("eqr50k", "rotation")])
def test_rows_of_equivariance(name: str, movement: Any, tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("stylegan3-r", size=(32, 32))
    found = measure(name, model, num=3)
    errors = np.concatenate([one[movement] for one in squared_errors(model, (movement,), range(3))])
    assert found.value == pytest.approx(equivariance(errors).psnr, abs=1e-3)
    assert (found.unit, found.better) == ("dB", "higher")


class Half(DistributedContext):
    """One of two processes; what the other one has is what was gathered of it before."""

    def gather_objects(self, value: Any) -> list[Any]:
        GATHERED[self.rank] = value
        return [GATHERED[rank] for rank in sorted(GATHERED)]


GATHERED: dict[int, Any] = {}


@pytest.mark.parametrize("name", ["ppl_wend_effnet", "eqt50k_int"])
def test_two_processes_give_what_one_gives(name: str, tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("stylegan3-t", size=(32, 32))
    GATHERED.clear()
    for rank in range(2):
        found = measure(name, model, context=Half(rank=rank, world_size=2))
    assert found.value == pytest.approx(measure(name, model).value, rel=1e-2)


def test_patches_of_the_side_with_fewer_images_decide() -> None:
    data, more = pixels("patches", noise(4)), pixels("patches", noise(9, seed=1))
    found = measure("swd", measured=more, data=data)
    assert "4 of 16,384 images on each side" in found.notes
    assert found.details["by_size"] == {"16": found.value}
    assert measure("swd", measured=data, data=data).value == 0


def test_ms_ssim_is_the_mean_over_pairs() -> None:
    images = noise(6)
    found = measure("ms_ssim", measured=pixels("pairs", images))
    assert found.value == pytest.approx(float(ms_ssim(images[0::2], images[1::2]).mean()))
    assert found.details == {"pairs": 3}


def test_density_coverage_and_cmmd_are_rows_of_every_network() -> None:
    sides = []
    for shift in (0.0, 0.0, 3.0):
        side = FeatureStatistics(EFFNET_DIM, ("bank",))
        side.update(torch.randn(12, EFFNET_DIM) + shift)
        sides.append(side)
    row = METRICS["dc_effnet"]
    near, far = (evaluate(MetricInputs(row=row, measured=one, data=sides[0])) for one in sides[1:])
    assert [one.name for one in near] == ["dc_effnet_coverage", "dc_effnet_density"]
    assert near[0].value > far[0].value == 0
    expected = density_coverage(sides[1].result("bank"), sides[0].result("bank"))
    assert [one.value for one in near] == [expected.coverage, expected.density]
    assert expected.coverage != expected.density
    near_cmmd, far_cmmd = (measure("cmmd_effnet", measured=one, data=sides[0]).value for one in sides[1:])
    assert 0 < near_cmmd < far_cmmd


@pytest.mark.parametrize("name", ["ppl_wend_effnet", "eqr50k"])
def test_images_are_not_generators(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} measures a generator, not images"):
        measure(name)


def test_few_samples_and_one_class_are_said(tiny_model: Callable[..., Model]) -> None:
    def classify(images: torch.Tensor) -> dict[str, np.ndarray]:
        sure = np.linspace(0.6, 0.9, len(images))
        return {"smile": np.stack([sure, 1 - sure], axis=1)}

    found = measure("ls", tiny_model(), num=8, options={"classifier": classify})
    dim = tiny_model().config.z_dim
    assert found.value == 1
    assert f"too few samples: a plane in {dim} dimensions separates nearly any 4" in found.notes
    assert "all samples that were kept are of one class: smile" in found.notes


def test_unknown_distances_are_named() -> None:
    with pytest.raises(UsageError, match="Unknown perceptual distance 'lpips'"):
        load_distance("lpips")
