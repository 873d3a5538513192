from __future__ import annotations

import json
from pathlib import Path

import pytest

import sgkit
from sgkit.cli.app import main
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.model import ModelInfo, build

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
PARTS = {"channel_base": 64, "channel_max": 8}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = ModelConfig(
        image_size=(8, 16),
        z_dim=4,
        w_dim=6,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(**PARTS),
        discriminator=DiscriminatorConfig(**PARTS),
    )
    made = build(config)
    made.info = ModelInfo(kimg=1.5, provenance={"data": {"path": "faces", "count": 7}})
    sgkit.save(made, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_info_shows_configuration_layers_training_and_hash(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(model)]) == 0
    shown = capsys.readouterr().out
    for words in ("16x8, 3 channels", "1.5 kimg", "z 4, w 6, 4 w in w+, label 0", "data.count", "synthesis.b8_conv0"):
        assert words in shown
    assert sgkit.load(model).content_hash() in shown


def test_info_as_json_counts_parameters_and_gives_shapes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    loaded = sgkit.load(model)
    assert found["kind"] == "sgkit"
    assert found["config"]["image_size"] == [8, 16]
    assert [network["name"] for network in found["networks"]] == ["generator", "raw_generator", "discriminator"]
    for network in found["networks"]:
        module = loaded.networks()[network["name"]]
        assert network["parameters"] == sum(parameter.numel() for parameter in module.parameters())
        assert sum(layer["parameters"] for layer in network["layers"]) == network["parameters"]
    layers = {layer["name"]: layer for layer in found["networks"][0]["layers"]}
    assert layers["synthesis.b8_conv0"]["output"] == [8, 8, 16]
    assert layers["synthesis.b8_conv0"]["tensors"]["weight"] == [8, 8, 3, 3]


@pytest.mark.parametrize("case", ["ada_cond32", "tf_sg1_32", "sg3_t64", "rosi_sg2_converted32"])
def test_info_shows_foreign_checkpoints(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(path for path in sorted((FIXTURES / case).iterdir()) if path.suffix in (".pkl", ".pt"))
    assert main(["info", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == found["provenance"]["source_kind"] != "sgkit"
    assert found["sgkit_version"] is None
    assert len(found["networks"]) == 3


def test_info_refuses_a_hostile_file_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(FIXTURES / "malicious" / "getattr_chain.pkl")]) == 1
    assert "It tries to reach builtins.getattr, builtins.__import__" in capsys.readouterr().err


def test_convert_writes_the_form_that_the_ending_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(FIXTURES / "rosi_sg2_train64" / "010000.pt")
    assert main(["convert", source, str(tmp_path / "out.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["form"] == "nvidia"
    assert found["networks"] == ["generator", "raw_generator", "discriminator"]
    assert found["bytes"] == (tmp_path / "out.npz").stat().st_size
    assert "no mean w" in found["notes"]["w_avg"]


def test_convert_warns_of_what_the_source_lacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(FIXTURES / "rosi_sg1_32" / "010000.model")
    assert main(["convert", source, str(tmp_path / "out.safetensors"), "--size", "32"]) == 0
    shown = capsys.readouterr()
    assert "(native, " in shown.out
    assert "the file holds no noise maps" in shown.err
    assert sgkit.load(tmp_path / "out.safetensors").image_size == (32, 32)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{rosi}", "{out}.safetensors"], 1, "does not say which were trained"),
        (["{rosi}", "{out}.safetensors", "--size", "48"], 1, "48 was asked for"),
        (["{ada}", "{out}.safetensors", "--size", "32"], 2, "records the size of its images"),
        (["{ada}", "{out}.ckpt"], 2, "Use .npz, .onnx, .pt, .pt2, .safetensors"),
        (["{ada}", "{out}.pt"], 2, "that format has no labels, and this model has 5: choose one class with --class"),
        (["{ada}", "{out}.npz", "--form", "nvdia"], 2, "Did you mean 'nvidia'?"),
        (["{luci}", "{out}.safetensors"], 1, "lucidrains' networks are a different architecture"),
        (["nowhere.pkl", "{out}.safetensors"], 1, "There is no model nowhere.pkl"),
    ],
)
def test_convert_says_what_is_wrong_and_writes_nothing(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "rosi": FIXTURES / "rosi_sg1_32" / "010000.model",
        "ada": FIXTURES / "ada_cond32" / "network-snapshot-000123.pkl",
        "luci": FIXTURES / "luci_32" / "model_3.pt",
        "out": tmp_path / "out",
    }
    assert main(["convert", *(argument.format(**names) for argument in arguments)]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
