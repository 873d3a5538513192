from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import sgkit
from sgkit.checkpoint.export import export
from sgkit.checkpoint.foreign import read_foreign
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Model, ModelInfo, build

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NVIDIA = [
    "ada_G_resnet_D_skip32",
    "ada_cond32",
    "ada_filter_edge16",
    "sg3_r64",
    "rosi_sg2_converted32",
    "tf_sg2_Gorig_Dskip32",
]


def checkpoint(case: str) -> Path:
    return next(path for path in sorted((FIXTURES / case).iterdir()) if path.suffix in (".pkl", ".pt"))


def assert_same(one: Model, other: Model) -> None:
    assert one.networks().keys() == other.networks().keys()
    for name, network in one.networks().items():
        theirs = other.networks()[name].state_dict()
        assert network.state_dict().keys() == theirs.keys()
        for key, tensor in network.state_dict().items():
            assert torch.equal(theirs[key], tensor), (name, key)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("case", NVIDIA)
def test_nvidia_names_round_trip_bit_for_bit(case: str, suffix: str, tmp_path: Path) -> None:
    model = sgkit.load(checkpoint(case))
    file = tmp_path / f"model{suffix}"
    assert export(model, file, form="nvidia").form == "nvidia"
    again = sgkit.load(file)
    assert_same(model, again)
    assert again.config == model.config
    assert again.info == model.info


@pytest.mark.parametrize("case", ["ada_G_resnet_D_skip32", "ada_filter_edge16", "sg3_r64", "sg3_stylegan2_64"])
def test_a_state_dict_has_exactly_the_tensors_of_nvidias_network(case: str, tmp_path: Path) -> None:
    theirs = read_foreign(checkpoint(case))
    export(sgkit.load(checkpoint(case)), tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        for name, network in theirs.networks.items():
            written = {key.partition(".")[2]: file[key] for key in file.files if key.startswith(name + ".")}
            assert written.keys() == network.tensors.keys()
            for key, array in network.tensors.items():
                if key.endswith("filter"):
                    np.testing.assert_allclose(written[key], array, rtol=1e-5, atol=1e-8)
                else:
                    np.testing.assert_array_equal(written[key], array)


@pytest.mark.parametrize("case", ["rosi_sg2_converted32", "rosi_sg2_train64"])
def test_rosinality_round_trip_is_bit_for_bit(case: str, tmp_path: Path) -> None:
    model = sgkit.load(checkpoint(case))
    model.info = ModelInfo(kimg=12.5)
    export(model, tmp_path / "out.pt")
    again = sgkit.load(tmp_path / "out.pt")
    assert_same(model, again)
    assert again.info.kimg == 12.5


def test_a_rosinality_file_has_exactly_the_tensors_of_rosinalitys_modules(tmp_path: Path) -> None:
    source = checkpoint("rosi_sg2_train64")
    export(sgkit.load(source), tmp_path / "out.pt")
    theirs, ours = read_foreign(source), read_foreign(tmp_path / "out.pt")
    loaded = torch.load(tmp_path / "out.pt", weights_only=True)
    assert set(loaded) == {"g_ema", "g", "d", "latent_avg", "g_latent_avg", "kimg"}
    for name, network in theirs.networks.items():
        assert ours.networks[name].tensors.keys() == network.tensors.keys()
        for key, array in network.tensors.items():
            np.testing.assert_array_equal(ours.networks[name].tensors[key], array, err_msg=key)


@pytest.mark.parametrize("case", ["ada_uncond64", "tf_sg1_32", "tf_pg32", "sg3_t64", "tf_sg2_config_d32"])
def test_native_round_trip_of_a_foreign_model_is_bit_for_bit(case: str, tmp_path: Path) -> None:
    model = sgkit.load(checkpoint(case))
    assert export(model, tmp_path / "model.safetensors").form == "native"
    again = sgkit.load(tmp_path / "model.safetensors")
    assert_same(model, again)
    assert again.config == model.config
    assert again.info == model.info


@pytest.mark.parametrize(
    ("case", "form", "file", "message"),
    [
        ("tf_sg1_32", "nvidia", "m.npz", r"NVIDIA's tensor names: that format has no StyleGAN1.*Use \.safetensors"),
        ("tf_pg32", "nvidia", "m.npz", "that format has no ProGAN"),
        ("tf_sg2_cond16", "nvidia", "m.npz", "that format joins labels by an embedding, this model by 'matrix'"),
        ("ada_cond32", "rosinality", "m.pt", "that format has no labels, and this model has 5: choose one class"),
        ("ada_G_orig_D_orig32", "rosinality", "m.pt", "that format has skip generators only"),
        ("ada_uncond64", "rosinality", "m.pt", "z and w of one length, and this model's are of 48 and 32"),
        ("ada_filter_edge16", "rosinality", "m.pt", "has the filter 1, 3, 3, 1 only"),
        ("sg3_t64", "rosinality", "m.pt", r"as rosinality \.pt: that format has no StyleGAN3\. Use \.safetensors\."),
        ("tf_sg1_32", "rosinality", "m.pt", "that format has no StyleGAN1"),
    ],
)
def test_a_form_that_cannot_hold_the_model_says_why(
    case: str, form: str, file: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export(sgkit.load(checkpoint(case)), tmp_path / file, form=form)
    assert not list(tmp_path.iterdir())


Build = Callable[..., Model]


@pytest.fixture
def small(tiny_model: Build) -> Build:
    """A tiny model of 8 pixels, with what rosinality's format has."""
    return partial(tiny_model, size=(8, 8))


def clamped(value: float) -> dict[str, float]:
    return {"synthesis__conv_clamp": value, "discriminator__conv_clamp": value}


def images(model: Model, label: int | None = None) -> torch.Tensor:
    labels = None if label is None else model.one_hot(label, count=4)
    return model.synthesize(model.map(model.sample_z(range(4)), labels))


CHANGES: dict[str, tuple[dict[str, object], str, str]] = {
    "clamp": (
        clamped(256.0),
        "clamp",
        r"clamp at 256 was left out; no image changes: on 64 seeds the largest activa",
    ),
    "grey": ({"channels": 1}, "grey", "three equal channels"),
    "noise": ({"synthesis__use_noise": False}, "noise", "strength 0"),
    "grey and clamp": ({"channels": 1, **clamped(99.0)}, "grey", "three equal channels"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_no_image_is_changed_and_said(name: str, small: Build, tmp_path: Path) -> None:
    changes, topic, text = CHANGES[name]
    model = small(**changes)
    exported = export(model, tmp_path / "out.pt")
    assert re.search(text, exported.notes[topic])
    again, size = sgkit.load(tmp_path / "out.pt"), (4, 3, 8, 8)
    assert torch.allclose(images(again), images(model).expand(size), atol=1e-5)
    assert again.discriminator is not None
    assert torch.allclose(again.discriminate(images(again)), model.discriminate(images(model)), atol=1e-5)


def test_one_class_of_a_conditional_model_can_be_kept(small: Build, tmp_path: Path) -> None:
    model = small(label_dim=3)
    exported = export(model, tmp_path / "out.pt", label=2)
    assert "only class 2 was written" in exported.notes["label"]
    again = sgkit.load(tmp_path / "out.pt")
    assert torch.allclose(images(again), images(model, 2), atol=1e-5)
    logits = model.discriminate(images(model, 2), model.one_hot(2, count=4))
    assert torch.allclose(again.discriminate(images(again)), logits, atol=1e-5)
    assert torch.equal(again.generator.mapping.w_avg, model.generator.mapping.w_avg)


def test_a_clamp_that_is_reached_is_refused_with_the_numbers(small: Build, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"clamped at 0\.5, .*largest activation on 64 seeds is [\d.]+, so images would"
    ):
        export(small(**clamped(0.5)), tmp_path / "out.pt")
    assert not list(tmp_path.iterdir())


def test_a_discriminator_that_does_not_fit_is_left_out(small: Build, tmp_path: Path) -> None:
    model = small()
    other = replace(model.config, discriminator=replace(model.config.discriminator, architecture="skip"))
    model = replace(build(other), generator=model.generator, raw_generator=model.raw_generator)
    exported = export(model, tmp_path / "out.pt")
    assert (
        "left out, which changes no image: its discriminator.architecture is 'skip'" in exported.notes["discriminator"]
    )
    assert "discriminator" not in sgkit.load(tmp_path / "out.pt").networks()


def test_the_notes_say_how_rosinalitys_code_is_called(small: Build, tmp_path: Path) -> None:
    notes = export(small(), tmp_path / "a.pt").notes
    assert notes["sizes"].startswith("Generator(size=8, style_dim=12, n_mlp=2) in rosinality's code, with its table of")


def test_a_class_is_refused_where_all_are_kept(small: Build, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps all classes"):
        export(small(label_dim=3), tmp_path / "out.safetensors", label=2)
    with pytest.raises(UsageError, match="unconditional"):
        export(small(), tmp_path / "out.pt", label=2)


def test_an_existing_file_is_never_replaced(small: Build, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export(small(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_text() == "mine"


def test_endings_and_forms_must_agree(small: Build, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"Unsupported extension \.ckpt of model\.ckpt\. Use \.npz, \.onnx, \.pt, \.pt2, \.safetensors"
    ):
        export(small(), tmp_path / "model.ckpt")
    with pytest.raises(UsageError, match=r"for --form rosinality\. Use \.pt"):
        export(small(), tmp_path / "model.npz", form="rosinality")
    with pytest.raises(UsageError, match=r"Unknown form 'nvdia'\. Did you mean 'nvidia'"):
        export(small(), tmp_path / "model.npz", form="nvdia")


def test_arrays_without_a_configuration_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weight=np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match="holds no network of a known project"):
        sgkit.load(tmp_path / "other.npz")


def test_a_state_dict_that_lost_an_array_names_it(small: Build, tmp_path: Path) -> None:
    export(small(), tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "D.b8.conv0.bias"}
    np.savez(tmp_path / "cut.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"Network D .*1 tensor is missing: b8\.conv0\.bias"):
        sgkit.load(tmp_path / "cut.npz")
