from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import TrainingError, UsageError
from sgkit.inversion import DragSettings, drag, drag_files, drag_latents
from sgkit.inversion.drag import Scale, disc, followed_layer, mask_loss, motion_loss, sample, square, track
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.files import read_sheet
from tests.builders import drawn_model

SIZE = (10, 12)
SCALE = Scale(radius=1.5, window=2.0, tolerance=0.5, step=0.5)


# ----------------------------------------------------------------------------- against plain loops, float64


def naive_sample(features: np.ndarray, x: float, y: float, margin: int) -> np.ndarray:
    """Bilinear interpolation of [C, h, w] at a pixel of the image, edges repeated."""
    _, height, width = features.shape
    column = (x + 0.5) / SIZE[1] * (width - 2 * margin) + margin - 0.5
    row = (y + 0.5) / SIZE[0] * (height - 2 * margin) + margin - 0.5
    column, row = min(max(column, 0), width - 1), min(max(row, 0), height - 1)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = column - left, row - top
    above = (1 - a) * features[:, top, left] + a * features[:, top, right]
    below = (1 - a) * features[:, bottom, left] + a * features[:, bottom, right]
    return (1 - b) * above + b * below


@pytest.fixture(params=[0, 2], ids=["no margin", "margin"])
def margin(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def features(margin: int) -> torch.Tensor:
    size = (1, 3, 5 + 2 * margin, 6 + 2 * margin)
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_features_are_sampled_at_pixels_of_the_image(features: torch.Tensor, margin: int) -> None:
    points = [(0.0, 0.0), (11.0, 9.0), (3.3, 4.7), (-1.0, 12.0), (5.5, 0.25)]
    found = sample(features, torch.tensor(points, dtype=torch.float64), SIZE, margin)
    for row, (x, y) in zip(found, points, strict=True):
        assert np.abs(row.numpy() - naive_sample(features[0].numpy(), x, y, margin)).max() < 1e-5


def test_motion_supervision_is_the_papers(features: torch.Tensor, margin: int) -> None:
    handles, targets = [(3.0, 4.0), (8.5, 6.0), (2.0, 2.0)], [(7.0, 7.0), (8.5, 6.4), (2.0, 2.75)]
    given = [torch.tensor(points, dtype=torch.float64) for points in (handles, targets)]
    found = motion_loss(features, *given, scale=SCALE, size=SIZE, margin=margin)
    plain, expected = features[0].numpy(), 0.0
    for (x, y), (to_x, to_y) in zip(handles, targets, strict=True):
        distance = math.hypot(to_x - x, to_y - y)
        if distance <= SCALE.tolerance:
            continue
        length = min(1.0, distance)
        dx, dy = (to_x - x) / distance * length, (to_y - y) / distance * length
        terms = []
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                if math.hypot(i, j) <= 1.5:
                    here = naive_sample(plain, x + i, y + j, margin)
                    there = naive_sample(plain, x + i + dx, y + j + dy, margin)
                    terms += [abs(a - b) for a, b in zip(there, here, strict=True)]
        expected += sum(terms) / len(terms)
    assert abs(float(found) - expected) < 1e-5


def test_the_patch_at_the_handle_is_held_fixed() -> None:
    """Gradients reach only what is to become like the patch: descending moves content forwards."""
    features = torch.zeros(1, 1, 10, 12, dtype=torch.float64)
    features[0, 0, 5, 5] = 1
    features.requires_grad_(True)
    handle, target = torch.tensor([[5.0, 5.0]]).double(), torch.tensor([[9.0, 5.0]]).double()
    scale = Scale(radius=0.4, window=2.0, tolerance=0.5, step=1.0)
    motion_loss(features, handle, target, scale=scale, size=SIZE).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert float(features.grad[0, 0, 5, 6]) < 0
    assert float(features.grad[..., :5].abs().sum()) == 0  # the patch itself reaches columns 4 to 6


def test_the_mask_keeps_what_is_outside(features: torch.Tensor) -> None:
    start, free = torch.randn_like(features), torch.rand(features.shape[2:], dtype=torch.float64)
    total = count = 0.0
    for c in range(features.shape[1]):
        for y in range(features.shape[2]):
            for x in range(features.shape[3]):
                total += abs(float(features[0, c, y, x] - start[0, c, y, x]) * (1 - float(free[y, x])))
                count += 1
    assert abs(float(mask_loss(features, start, free)) - total / count) < 1e-5


def test_handles_are_found_where_features_are_nearest(features: torch.Tensor, margin: int) -> None:
    handles = torch.tensor([[3.0, 4.0], [10.5, 1.0]], dtype=torch.float64)
    wanted = torch.randn(2, 3, dtype=torch.float64)
    found = track(features, wanted, handles, scale=SCALE, size=SIZE, margin=margin)
    for place, feature, (x, y) in zip(found, wanted, handles.tolist(), strict=True):
        best = min(
            (
                sum(abs(naive_sample(features[0].numpy(), p, q, margin) - feature.numpy())),
                p,
                q,
            )
            for p in [min(max(x + i / 2, 0), 11) for i in range(-4, 5)]
            for q in [min(max(y + j / 2, 0), 9) for j in range(-4, 5)]
        )
        assert place.tolist() == [best[1], best[2]]


def test_patches_and_windows() -> None:
    assert sorted(disc(1.0, 1.0).tolist()) == [[-1, 0], [0, -1], [0, 0], [0, 1], [1, 0]]
    assert len(square(2.0, 0.5)) == 81
    paper, small = (Scale.of(DragSettings(), (side, side)) for side in (512, 64))
    assert (paper.radius, paper.window, paper.step) == (3, 12, 1)
    assert (small.radius, small.window, small.step) == (1, 2, 0.25)


# ------------------------------------------------------------------------------------------ whole searches


def moving_model(tiny_model: Callable[..., Model]) -> Model:
    """A StyleGAN3 whose w[0] shifts the image to the right, in widths of it, and changes nothing else."""
    model = tiny_model("stylegan3-t")
    for spec in model.generator.synthesis.plan:
        layer: Any = model.generator.synthesis.layer(spec.name)
        layer.affine.weight.zero_()
    model.generator.synthesis.layer("input").affine.weight[2, 0] = math.sqrt(model.config.w_dim)
    return model


def test_a_planted_motion_is_found(tiny_model: Callable[..., Model]) -> None:
    """The image itself, compared pixel by pixel, has moved by as much as was asked for."""
    model = moving_model(tiny_model)
    ws = torch.zeros(1, model.num_ws, model.config.w_dim)
    found = drag(model, ws, [(6.0, 8.0)], [(8.0, 8.0)], DragSettings(steps=200, lr=5e-3, layer="l3"))
    assert found.arrived
    moved = found.ws - ws
    assert float(moved[:, 0, 0].abs()) == pytest.approx(2 / 16, abs=0.04)
    before, after = model.synthesize(ws), model.synthesize(found.ws)
    errors = {
        shift: float((before.roll(shift, 3) - after)[..., 4:-4].abs().mean()) for shift in range(-4, 5)
    }  # of the middle, where nothing wraps around
    assert min(errors, key=lambda shift: errors[shift]) == 2


@pytest.mark.parametrize("space", ["w", "w+"])
def test_every_architecture_is_dragged(each_model: Model, space: Any) -> None:
    ws = each_model.map(each_model.sample_z([3]))
    found = drag(each_model, ws, [(5.0, 8.0)], [(9.0, 8.0)], DragSettings(steps=4, space=space, lr=0.05))
    assert not torch.equal(found.ws, ws)
    assert bool(torch.isfinite(found.ws).all())
    change = (found.ws - ws)[0].abs().sum(dim=1) > 0
    plan = each_model.generator.synthesis.plan
    last = followed_layer(each_model, None).index
    used = {spec.style_index for spec in plan[: last + 1] if spec.style_index is not None}
    assert set(change.nonzero().flatten().tolist()) == (used if space == "w+" else set(range(each_model.num_ws)))
    assert found.handles.shape == (5, 1, 2)


def test_conditional_models_and_latents_are_dragged() -> None:
    model = drawn_model(label_dim=3)
    from sgkit.render.drawing import DrawSettings

    latents, found = drag_latents(
        model, 3, [((5.0, 8.0), (9.0, 8.0))], DragSettings(steps=2), DrawSettings(label=1, truncation_psi=0.7)
    )
    assert torch.equal(found.path[0], model.map(model.sample_z([3]), 1, psi=0.7)[0])
    again, _ = drag_latents(model, latents, [((5.0, 8.0), (9.0, 8.0))], DragSettings(steps=1))
    assert (again.space, again.names, again.model_hash) == ("w+", latents.names, model.content_hash())


def test_a_mask_holds_the_rest(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model()
    points = [((4.0, 8.0), (7.0, 8.0))]
    settings = {"steps": 30, "lr": 0.02}
    changes = []
    for mask, weight in ((None, 0.0), ("box:0,0,0.5,1", 100.0)):
        _, found = drag_latents(model, 3, points, DragSettings(mask_weight=weight, **settings), mask=mask)
        before, after = model.synthesize(found.path[:1]), model.synthesize(found.path[-1:])
        changes.append(float((before - after)[..., 10:].abs().mean()))
    assert changes[1] < 0.5 * changes[0]


def test_the_search_stops_where_handles_have_arrived() -> None:
    model = drawn_model()
    ws = model.map(model.sample_z([3]))
    found = drag(model, ws, [(5.0, 8.0)], [(5.0, 8.3)], DragSettings(steps=50))
    assert (found.arrived, len(found.losses)) == (True, 1)


@pytest.mark.parametrize(
    ("handles", "targets", "settings", "message"),
    [
        ([(16.0, 3.0)], [(3.0, 3.0)], {}, "handle point 16,3 is outside the image, which has 16x16 pixels: x goes"),
        ([(3.0, 3.0)], [(3.0, -1.0)], {}, "target point 3,-1 is outside the image"),
        ([], [], {}, "0 handle points and 0 targets"),
        ([(3.0, 3.0)], [], {}, "1 handle points and 0 targets"),
        ([(3.0, 3.0)], [(5.0, 3.0)], {"layer": "b9_conv1"}, "Unknown layer 'b9_conv1'"),
        ([(3.0, 3.0)], [(5.0, 3.0)], {"layer": "b4_input"}, "No style comes before layer b4_input"),
    ],
)  # fmt: skip
def test_points_and_layers_that_do_not_fit(handles: Any, targets: Any, settings: Any, message: str) -> None:
    model = drawn_model()
    with pytest.raises(UsageError) as error:
        drag(model, model.map(model.sample_z([3])), handles, targets, DragSettings(**settings))
    assert message in str(error.value)


def test_a_search_that_diverges_says_so() -> None:
    model = drawn_model()
    ws = torch.full_like(model.map(model.sample_z([3])), math.nan)
    with pytest.raises(TrainingError, match=r"diverged at step 0.*--lr"):
        drag(model, ws, [(3.0, 3.0)], [(9.0, 3.0)])


def test_one_image_is_dragged() -> None:
    model = drawn_model()
    ws = model.map(model.sample_z([1, 2]))
    for source, message in (
        (Latents(space="w+", values={"w": ws}), "2 were given"),
        (Latents(space="s", values=model.styles(ws[:1]), names=("s",)), "space s; dragging moves w"),
    ):
        with pytest.raises(UsageError, match=message):
            drag_latents(model, source, [((3.0, 3.0), (5.0, 3.0))])


# ------------------------------------------------------------------------------------------------- files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sgkit.save(drawn_model(noise=0.2), "m.safetensors")
    return tmp_path


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


LINE = "drag m.safetensors --seeds 3 --psi 0.8 --point 4,8:7,8 --point 10,3:10,5 --steps 5 --lr 0.02 --out d"


def test_the_command_writes_what_it_says_and_all_of_it_is_made_again(here: Path) -> None:
    assert main([*LINE.split(), "--frames", "4", "--mask", "box:0,0,0.7,1"]) == 0
    files = {path.name for path in Path("d").iterdir()}
    assert files == {"latent.npz", "image.png", "points.png", "way.npz", "way.webp", "drag.json"}
    facts = json.loads(Path("d/drag.json").read_text())
    assert (facts["steps"], facts["handles"], facts["targets"]) == (5, [[4, 8], [10, 3]], [[7, 8], [10, 5]])
    assert facts["start_distance"] == 2.5
    for name in ("image.png", "points.png", "way.webp"):
        assert main(["replay", f"d/{name}", "--out", f"again-{name}"]) == 0
        assert Path(f"d/{name}").read_bytes() == Path(f"again-{name}").read_bytes()
    assert main(["generate", "m.safetensors", "--latent", "d/latent.npz", "--out", "e.png"]) == 0
    assert np.array_equal(pixels("e.png"), pixels("d/image.png"))
    marks = read_sheet("d/points.png").marks
    assert [(mark.place, mark.handle) for mark in marks[:2]] == [(0, (4.0, 8.0)), (0, (10.0, 3.0))]
    assert main([*LINE.split(), "--frames", "4"]) == 1
    assert main([*LINE.split(), "--frames", "4", "--force"]) == 0


def test_noise_of_a_projection_stays(here: Path) -> None:
    model = sgkit.load("m.safetensors")
    ws = model.map(model.sample_z([3]))
    noise = {s.name: torch.randn(1, 1, *s.size) for s in model.generator.synthesis.plan if s.has_noise}
    sgkit.save_latents(Latents(space="w+", values={"w": ws}, noise=noise), "p.npz")
    drag_files(model, "p.npz", [((3.0, 3.0), (5.0, 3.0))], "d", DragSettings(steps=2), frames=0)
    assert load_latents("d/latent.npz").noise.keys() == noise.keys()
    assert not Path("d/way.webp").exists()


def test_grey_images_have_coloured_marks(here: Path) -> None:
    grey = drawn_model(image_channels=1)
    drag_files(grey, 3, [((3.0, 3.0), (5.0, 3.0))], "d", DragSettings(steps=2), frames=0)
    assert pixels("d/points.png").shape[2] == 3
    assert pixels("d/image.png").ndim == 2


def test_the_python_interface(here: Path) -> None:
    model = sgkit.load("m.safetensors")
    latents = model.drag(3, [((4, 8), (7, 8))], psi=0.8, steps=3, mask="box:0,0,0.7,1")
    image = model.generate(latents)[0]
    assert image.pixels.shape == (16, 16, 3)
