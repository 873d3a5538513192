from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

import sgkit
from sgkit.errors import CheckpointWarning, SgkitError

from .foreign_files import ROWS, ema, markdown, nvidia_modules

DOCS = Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md"


@pytest.mark.parametrize("name", ROWS)
def test_files_that_circulate_are_opened_or_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    file = row.make(tmp_path)
    if row.refused:
        with pytest.raises(SgkitError, match=f"(?s){row.refused}") as caught:
            sgkit.load(file)
        assert file.name in str(caught.value) or str(file) in str(caught.value)
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = sgkit.load(file)
    texts = "\n".join(str(warning.message) for warning in told)
    assert all(warning.category is CheckpointWarning for warning in told)
    assert re.search(row.warns, texts), texts
    networks, _, where = row.networks.partition(" at ")
    assert set(model.networks()) == set(networks.split(", "))
    found = model.info.provenance.get("found", {})
    assert not where or where in (found.get("generator"), found.get("raw_generator"))


@pytest.mark.parametrize(
    "name", ["bare", "module", "encoder", "lightning", "mmgeneration", "basicsr", "legacy", "compiled", "params"]
)
def test_every_shape_gives_the_same_weights(name: str, tmp_path: Path) -> None:
    expected = sgkit.load(ROWS["g_ema"].make(tmp_path)).generator.state_dict()
    found = sgkit.load(ROWS[name].make(tmp_path)).generator.state_dict()
    differing = {key for key in expected if not torch.equal(found[key], expected[key])}
    assert differing == ({"mapping.w_avg"} if name == "encoder" else set())


def test_an_encoders_mean_w_is_the_models(tmp_path: Path) -> None:
    model = sgkit.load(ROWS["encoder"].make(tmp_path))
    assert torch.equal(model.generator.mapping.w_avg, torch.arange(32.0))


def test_pti_and_the_snapshot_have_the_same_generator(tmp_path: Path) -> None:
    one, other = (sgkit.load(ROWS[name].make(tmp_path)) for name in ("pti", "nvidia"))
    assert one.content_hash() == other.content_hash()


def test_the_documentation_has_this_table() -> None:
    assert markdown() in DOCS.read_text(encoding="utf-8"), "run: python -m tests.checkpoint.foreign_files"
    assert len(ROWS) >= 30


def test_the_fixture_is_what_the_rows_say() -> None:
    assert "conv1.conv.weight" in ema()
    with nvidia_modules():
        pass
