from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.errors import UsageError
from sgkit.latents import clusters
from sgkit.model import Model
from sgkit.model.labels import seed_label
from sgkit.render import channels
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.scene import Masks
from sgkit.render.transfer import Reference, TransferSettings, pose_layers, transfer, transfers
from tests.builders import drawn_model
from tests.conftest import ARCHITECTURES

Tiny = Callable[..., Model]
BOX = "box:0.25,0.25,0.75,0.75"


def changed(model: Model, *references: Reference, **settings: object) -> np.ndarray:
    """How much every pixel of seed 0 changes, [H, W]."""
    own = next(iter(transfers(drawing(model, None), 0, references, TransferSettings(**settings)))).source
    from sgkit.render.render import render

    (plain,) = render(own, model)
    (found,) = transfer(drawing(model, None), 0, references, TransferSettings(**settings))
    return (found.image - plain.image).abs().amax(dim=0).numpy()


@pytest.mark.parametrize(
    ("num_ws", "w_dim", "count"),
    [(18, 512, 4), (14, 512, 4), (18, 1024, 2), (10, 128, 4), (6, 12, 4), (3, 512, 2), (1, 512, 0)],
)
def test_the_pose_is_2048_numbers_but_at_most_four_layers(num_ws: int, w_dim: int, count: int) -> None:
    assert pose_layers(num_ws, w_dim) == tuple(range(count))


@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize("mode", ["features", "suzuki", "collins"])
def test_every_mode_works_in_every_family_or_says_why_not(tiny_model: Tiny, family: str, mode: str) -> None:
    model = tiny_model(family)
    settings = TransferSettings(mode=mode, clusters=3, samples=4, budget=0.5)  # type: ignore[arg-type]
    if mode == "collins" and family == "progan":
        with pytest.raises(UsageError, match="This model has no style channels"):
            transfer(drawing(model, None), 0, [Reference(1, BOX)], settings)
        return
    (one,) = transfer(drawing(model, None), 0, [Reference(1, BOX)], settings)
    assert one.image.isfinite().all()


@pytest.mark.parametrize("label", [1, "random"])
def test_conditional_models_cluster_their_own_class(
    tiny_model: Tiny, label: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = drawing(tiny_model(label_dim=3), DrawSettings(label=label))
    settings = TransferSettings(mode="collins", clusters=3, samples=4, budget=0.5)
    channels._KEPT.clear()
    with monkeypatch.context() as patch:
        seen: list[object] = []
        patch.setattr(
            clusters, "seed_label", lambda model, chosen, seed: seen.append(chosen) or seed_label(model, chosen, seed)
        )
        (one,) = transfer(on, 0, [Reference(1, BOX)], settings)
    assert set(seen) == {label}
    assert one.image.isfinite().all()


def test_the_reference_has_the_pose_of_the_source(tiny_model: Tiny) -> None:
    on = drawing(tiny_model(), None)
    (aligned,) = transfers(on, 0, [Reference(1, "all:1")], TransferSettings())
    (mix,) = aligned.result.subjects["seed0001"].mix
    assert (mix.subject, mix.layers) == ("seed0000", (0, 1, 2, 3))
    (free,) = transfers(on, 0, [Reference(1, "all:1")], TransferSettings(align=False))
    assert free.result.subjects["seed0001"].mix == ()


def test_what_covers_everything_is_the_reference(tiny_model: Tiny) -> None:
    model = tiny_model()
    (whole,) = transfer(drawing(model, None), 0, [Reference(1, "all:1")], TransferSettings(align=False))
    (plain,) = transfer(drawing(model, None), 1, [Reference(0, "all:0")], TransferSettings())
    assert torch.equal(whole.image, plain.image)


def test_only_the_region_changes(tiny_model: Tiny) -> None:
    """Far from a region at fine layers nothing can change."""
    change = changed(tiny_model(size=(32, 32)), Reference(1, "box:0,0,0.25,0.25"), layers="from 32px", softness=0.0)
    assert change[:6, :6].min() >= 0
    assert change[:8, :8].max() > 1e-3
    assert change[16:, 16:].max() == 0


def test_several_references_have_a_region_each(tiny_model: Tiny) -> None:
    left, right = Reference(1, "box:0,0,0.5,1"), Reference(2, "box:0.5,0,1,1")
    model = tiny_model()
    (both,) = transfers(drawing(model, None), 0, [left, right], TransferSettings(softness=0))
    assert isinstance(both.result.arrangement, Masks)
    assert [one.subject for one in both.result.arrangement.over] == ["seed0001", "seed0002"]
    (again,) = transfers(drawing(model, None), 0, [left, Reference(1, "box:0.5,0,1,1")], TransferSettings())
    assert len(again.result.subjects) == 3  # the same seed twice


@pytest.mark.parametrize(
    ("settings", "region", "message"),
    [
        ({"blend": "soat"}, "ellipse:0,0,1,1", r"--blend soat blurs boxes, and 'ellipse:0,0,1,1' is not one"),
        ({}, "ear", "Unknown part or shape 'ear'"),
        ({"layers": "40"}, BOX, "Layer 40 is out of range"),
    ],
)
def test_what_does_not_fit_is_refused(tiny_model: Tiny, settings: dict[str, str], region: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transfer(drawing(tiny_model(), None), 0, [Reference(1, region)], TransferSettings(**settings))  # type: ignore[arg-type]


def test_a_model_with_one_w_has_no_pose(tiny_model: Tiny) -> None:
    with pytest.raises(UsageError, match=r"so there is no pose to align\. Remove --align"):
        transfer(drawing(tiny_model("progan"), None), 0, [Reference(1, BOX)], TransferSettings(align=True))


# ------------------------------------------------------------------------------------------- the command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model, a mask and a segmentation in it."""
    monkeypatch.chdir(tmp_path)
    sgkit.save(drawn_model(noise=0.3, seed=1), "m.safetensors")
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask[:, :8]).save("narrow.png")
    Image.fromarray(mask // 255 + 3).save("seg.png")
    Path("parts.json").write_text('{"middle": 4, "edge": [3]}')
    return tmp_path


COMMAND = "transfer m.safetensors --out a.png --source 0,3"
REPLAYED = {
    "box": "--reference 1=box:0.2,0.2,0.8,0.8 --reference 2=ramp:x --psi 0.7",
    "mask": "--reference 1=mask.png --noise random",
    "segmentation": "--source 0 --reference 1=middle --segmentation seg.png --part-table parts.json",
    "suzuki": "--reference 1=ellipse:0,0,0.5,0.5 --mode suzuki --show-inputs",
    "collins": "--reference 1=mask.png --reference 4=box:0,0,1,0.5 --mode collins --samples 4 --clusters 3",
    "soat": "--reference 1=box:0.2,0.2,0.8,0.8 --blend soat --layers 0-4",
}


@pytest.mark.parametrize("kind", REPLAYED)
def test_transfers_are_made_again_bit_for_bit(here: Path, kind: str) -> None:
    assert main(f"{COMMAND} {REPLAYED[kind]}".split()) == 0
    assert main(["replay", "a.png", "--out", "b.png"]) == 0
    with Image.open("a.png") as one, Image.open("b.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--reference 1", 2, "The reference '1' has no region. Write SOURCE=REGION, for example 7=eyes"),
        ("--reference 1=ears", 2, "Unknown part or shape 'ears'"),
        ("--reference 1,2=eyes", 2, "A reference must be one image; '1,2' is 2. Repeat --reference."),
        ("--reference 1=gone.png", 1, "gone.png"),
        (
            "--reference 1=narrow.png",
            2,
            "The mask narrow.png is 8x16, and the picture's proportions are 1:1",
        ),
        ("--reference 1=middle --segmentation seg.png", 2, "--segmentation needs --part-table"),
        (
            "--reference 1=middle --segmentation seg.png --part-table parts.json",
            2,
            "One segmentation cannot fit 2 sources",
        ),
        (
            "--reference 1=nose --segmentation seg.png --part-table parts.json",
            2,
            "Unknown part or shape 'nose'. Allowed: middle, edge",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    here: Path, options: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(f"{COMMAND} {options}".split()) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("a.png").exists()


def test_parts_need_the_extra_faces(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(f"{COMMAND} --reference 1=eyes".split()) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "pip install 'stylegan-sgkit[faces]', or give the region as a shape" in said


def test_the_report_states_the_pose(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{COMMAND} --reference 1=mask.png --json".split()) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pose_layers"], report["pose_dimensions"]) == ([0, 1, 2, 3], 32)


def test_python_takes_pairs(here: Path) -> None:
    model = sgkit.load("m.safetensors")
    images = model.transfer([0, 3], [(1, "mask.png")], psi=0.7, softness=0.2)
    assert images.numpy().shape == (2, 16, 16, 3)
    images.save("c.png")
    assert main(["replay", "c.png", "--out", "d.png"]) == 0
    with Image.open("c.png") as one, Image.open("d.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
