from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sgkit
from sgkit.checkpoint.export import export
from sgkit.checkpoint.foreign import read_foreign
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
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
    assert export(model, file, form="nvidia") == "nvidia"
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
    assert export(model, tmp_path / "model.safetensors") == "native"
    again = sgkit.load(tmp_path / "model.safetensors")
    assert_same(model, again)
    assert again.config == model.config
    assert again.info == model.info


@pytest.mark.parametrize(
    ("case", "form", "file", "message"),
    [
        ("tf_sg1_32", "nvidia", "m.npz", "its layers are 'adain'; it grows"),
        ("tf_sg2_cond16", "nvidia", "m.npz", "its labels are joined by 'matrix'"),
        ("ada_cond32", "rosinality", "m.pt", "label_dim is 5, it has 0"),
        ("ada_G_orig_D_orig32", "rosinality", "m.pt", "synthesis.architecture is 'orig', it has 'skip'"),
        ("ada_uncond64", "rosinality", "m.pt", "z_dim is 48, it has 32; synthesis.conv_clamp is 256.0, it has None"),
    ],
)
def test_a_form_that_cannot_hold_the_model_says_why(
    case: str, form: str, file: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export(sgkit.load(checkpoint(case)), tmp_path / file, form=form)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tiny() -> Model:
    parts = {"channel_base": 32, "channel_max": 4}
    return build(
        ModelConfig(
            image_size=(8, 8),
            z_dim=4,
            w_dim=4,
            mapping=MappingConfig(num_layers=1),
            synthesis=SynthesisConfig(**parts),
            discriminator=DiscriminatorConfig(**parts),
        )
    )


def test_an_existing_file_is_never_replaced(tiny: Model, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export(tiny, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_text() == "mine"


def test_endings_and_forms_must_agree(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"Unsupported extension \.ckpt of model\.ckpt\. Use \.npz, \.pt, \.safetensors"
    ):
        export(tiny, tmp_path / "model.ckpt")
    with pytest.raises(UsageError, match=r"for --form rosinality\. Use \.pt"):
        export(tiny, tmp_path / "model.npz", form="rosinality")
    with pytest.raises(UsageError, match=r"Unknown form 'nvdia'\. Did you mean 'nvidia'"):
        export(tiny, tmp_path / "model.npz", form="nvdia")


def test_arrays_without_a_configuration_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weight=np.zeros(3, np.float32))
    with pytest.raises(CheckpointError, match="how its networks compute is not known"):
        sgkit.load(tmp_path / "other.npz")


def test_a_state_dict_that_lost_an_array_names_it(tiny: Model, tmp_path: Path) -> None:
    export(tiny, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "D.b8.conv0.bias"}
    np.savez(tmp_path / "cut.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"Network D .*1 tensor is missing: b8\.conv0\.bias"):
        sgkit.load(tmp_path / "cut.npz")
