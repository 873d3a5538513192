from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sgkit.errors import InputError
from sgkit.metrics.path_length import PathLengthSpec, cropped, path_distances, path_length, slerp
from sgkit.model import Model
from sgkit.model.noise import SeededNoise


def squared(first: Tensor, second: Tensor) -> Tensor:
    return (first.double() - second.double()).square().mean(dim=(1, 2, 3))


def whole(model: Model, spec: PathLengthSpec, *, batch: int = 8, num: int = 3, **options: object) -> np.ndarray:
    found = path_distances(model, squared, spec, range(num), batch=batch, **options)  # type: ignore[arg-type]
    return np.concatenate(list(found))


def transcription(model: Model, spec: PathLengthSpec, index: int, labels: Tensor | None) -> float:
    """The definition, in float64, of one path."""
    model = model.to(torch.float64)
    a, b = (np.random.RandomState(2 * index + side).randn(model.z_dim) for side in (0, 1))
    t = np.random.default_rng([0, index]).random() if spec.sampling == "full" else 0.0
    label = None if labels is None else labels[index : index + 1].double()
    mapped = lambda z: model.generator.mapping(torch.from_numpy(z)[None], label)  # noqa: E731
    images = []
    for place in (t, t + spec.epsilon):
        if spec.space == "w":
            w = mapped(a) + place * (mapped(b) - mapped(a))
        else:
            p, q = a / np.linalg.norm(a), b / np.linalg.norm(b)
            angle = np.arccos(p @ q)
            point = (np.sin((1 - place) * angle) * p + np.sin(place * angle) * q) / np.sin(angle)
            w = mapped(point * np.sqrt(len(a)))
        images.append((model.synthesize(w, noise=SeededNoise(seeds=[index])) + 1) * 127.5)
    size = images[0].shape[2]
    if spec.crop != "none":
        c = size // 8
        images = [image[:, :, 3 * c : 7 * c, 2 * c : 6 * c] for image in images]
    return float((images[0] - images[1]).square().mean() / spec.epsilon**2)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_path_length_is_its_definition(each_model: Model, space: str, sampling: str) -> None:
    spec = PathLengthSpec(space=space, sampling=sampling, crop="ada", epsilon=1e-2)  # type: ignore[arg-type]
    found = whole(each_model.to(torch.float32), spec, num=2)
    expected = [transcription(each_model, spec, index, None) for index in range(2)]
    assert found == pytest.approx(expected, rel=2e-2)  # float32 images, divided by epsilon^2
    assert min(expected) > 0


def test_paths_do_not_depend_on_batches_and_use_labels(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model(label_dim=3).to(torch.float64)
    labels, spec = torch.eye(3)[[0, 2, 1]], PathLengthSpec(space="w", sampling="full", epsilon=1e-2)
    found = whole(model, spec, labels=labels)
    assert whole(model, spec, labels=labels, batch=1) == pytest.approx(found, rel=1e-6)
    part = np.concatenate(list(path_distances(model, squared, spec, range(1, 3), labels=labels)))
    assert part == pytest.approx(found[1:], rel=1e-6)
    assert found == pytest.approx([transcription(model, spec, n, labels) for n in range(3)], rel=1e-3)


def test_slerp_stays_on_the_sphere_at_a_constant_speed() -> None:
    a, b = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    points = [slerp(a, b, torch.full((5,), t, dtype=torch.float64)) for t in (0.0, 0.5, 1.0)]
    for point in points:
        torch.testing.assert_close(point.norm(dim=1), torch.full((5,), 8**0.5, dtype=torch.float64))
    torch.testing.assert_close((points[1] - points[0]).norm(dim=1), (points[2] - points[1]).norm(dim=1))
    torch.testing.assert_close(points[2], b / b.norm(dim=1, keepdim=True) * 8**0.5)


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [("none", 64, 64), ("none", 1024, 256), ("ada", 1024, 128), ("tf", 1024, 256), ("ada", 256, 128), ("tf", 256, 128)],
)
def test_crops_are_those_of_both_codes(crop: str, size: int, expected: int) -> None:
    image = torch.zeros(1, 1, size, size)
    image[:, :, size // 8 * 3 : size // 8 * 7, size // 8 * 2 : size // 8 * 6] = 1
    found = cropped(image, crop)  # type: ignore[arg-type]
    assert found.shape == (1, 1, expected, expected)
    assert float(found.mean()) == (1 if crop != "none" else 0.25)


def test_the_outer_percentiles_are_left_out() -> None:
    values = np.arange(1.0, 1001.0) ** 2
    ordered = np.sort(values)
    kept = ordered[int(np.floor(999 * 0.01)) : int(np.ceil(999 * 0.99)) + 1]
    found = path_length(np.random.default_rng(0).permutation(values))
    assert (found.mean, found.num, found.num_rejected) == (pytest.approx(kept.mean()), 1000, 1000 - len(kept))
    assert found.standard_error == pytest.approx(kept.std(ddof=1) / len(kept) ** 0.5)


def test_broken_distances_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 are NaN or infinite"):
        path_length(np.array([1.0, np.nan, 2.0]))
