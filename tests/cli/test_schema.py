from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import COMMANDS, load_command, main
from sgkit.cli.schema import CONFIGURATIONS, RESULT, RESULTS, json_schema
from sgkit.config.presets import preset
from sgkit.runs.folder import RunConfig
from tests.schemas import checked_result

NAMES = [*CONFIGURATIONS, *(f"{name}{RESULT}" for name in RESULTS)]


def test_every_command_that_reports_has_a_schema() -> None:
    for row in COMMANDS:
        command = load_command(row.name)
        for name, one in getattr(command, "commands", {row.name: command}).items():
            if any("--json" in parameter.opts for parameter in one.params) and row.name != "schema":
                assert {row.name, f"{row.name}-{name}"} & RESULTS.keys(), f"{row.name} {name}"


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_valid_and_describe_their_fields(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert '"description"' in json.dumps(schema)


def test_the_list_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == NAMES
    assert main(["schema"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


def test_a_result_may_be_named_by_its_command_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "generate"]) == 0
    assert "files" in json.loads(capsys.readouterr().out)["properties"]
    assert main(["schema", "genrate-result"]) == 2
    assert "Unknown schema 'genrate-result'. Did you mean 'generate-result'?" in capsys.readouterr().err


def test_configurations_fit_their_schema_and_mistakes_do_not() -> None:
    values = RunConfig(model=preset("stylegan3-r").model, train=preset("progan").train).to_dict()
    jsonschema.validate(values, json_schema("run"))
    for key, value in (("batch", 0), ("batch", 1.5), ("loss", "wganx"), ("bach", 8), ("adam_betas", [0.0])):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"train": {key: value}}, json_schema("run"))


@pytest.mark.parametrize(
    "line",
    [
        ["doctor"],
        ["weights", "list"],
        ["train", "--list-presets"],
        ["prepare", "photos", "--out", "store", "--size", "8", "--split", "a=0.5,b=0.5"],
    ],
    ids=lambda line: line[0],
)
def test_results_fit_their_schema(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the other commands are checked in test_names.py and tests/runs/test_estimate.py."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for index in range(8):
        pixels = np.full((8, 8, 3), index * 30, dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{index}.png")
    assert main([*line, "--json"]) == 0
    assert checked_result(line, capsys.readouterr().out)
