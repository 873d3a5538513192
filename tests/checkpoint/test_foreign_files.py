from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

import sgkit
from sgkit.errors import CheckpointWarning, SgkitError
from tests.checkpoint.foreign_files import FIXTURES, ROWS, markdown, nvidia_state_dicts

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


@pytest.mark.parametrize(
    "case",
    [
        "ada_G_orig_D_orig32",
        "ada_G_resnet_D_skip32",
        "ada_cond32",
        "ada_filter_edge16",
        "ada_uncond64",
        "sg3_r64",
        "sg3_t64",
    ],
)
def test_state_dicts_with_nvidias_names_give_the_networks_of_the_pickle(case: str, tmp_path: Path) -> None:
    pickle = next(path for path in sorted((FIXTURES / case).iterdir()) if path.suffix == ".pkl")
    torch.save(nvidia_state_dicts(case), tmp_path / "a.pt")
    expected, found = sgkit.load(pickle), sgkit.load(tmp_path / "a.pt")
    assert found.networks().keys() == expected.networks().keys()
    for name, network in expected.networks().items():
        other = found.networks()[name].state_dict()
        assert network.state_dict().keys() == other.keys()
        assert all(torch.equal(other[key], tensor) for key, tensor in network.state_dict().items())


def test_the_documentation_has_this_table() -> None:
    assert markdown() in DOCS.read_text(encoding="utf-8"), "run: python -m tests.checkpoint.foreign_files"
    assert len(ROWS) >= 30
