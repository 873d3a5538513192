"""A ``config.toml`` that was edited between two parts of a run is checked like any configuration."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgkit.cli.app import main
from sgkit.runs.folder import RunFolder
from tests.runs.driver import Cli, files


@pytest.fixture(scope="module")
def begun(store: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(store), "--out", str(run), *tiny, "--kimg", "0.008"]) == 0
    return run


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


def edit(run: Path, key: str, value: str) -> None:
    """Set a dotted key of the run's ``config.toml`` to TOML text."""
    *tables, name = key.split(".")
    table = ".".join(tables)
    head, found, tail = (run / "config.toml").read_text().partition(f"[{table}]\n" if table else "")
    assert found or not table
    tail, count = re.subn(rf"^{name} = .*$", lambda _: f"{name} = {value}", tail, count=1, flags=re.MULTILINE)
    assert count == 1
    (run / "config.toml").write_text(head + found + tail)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.image_size", "[1073741824, 1073741824]", "model.image_size[0] is 1073741824; it must be"),
        ("model.image_size", "[8192, 16384]", "model.image_size is [8192, 16384] instead of [8, 16]"),
        ("train.batch", "1000000000", "train.batch is 1000000000; it must be between 1 and 65,536."),
        ("train.batch", "-8", "train.batch is -8; it must be between 1 and 65,536."),
        ("train.g_lr", "nan", "train.g_lr is nan; it must be a number."),
        ("train.total_kimg", "-inf", "train.total_kimg is -inf; it must be a number."),
        ("train.num_workers", "1000000000", "train.num_workers is 1000000000; it must be between 0 and 256."),
        ("train.seed", "0x" + "f" * 9999, "the number 'train.seed' does not fit in 64 bits"),
        ("train.seed", "9" * 9999, "is not valid TOML: Exceeds the limit"),
        ("train.seed", "[" * 9999, "is not valid TOML: it is nested too deeply"),
        ("train.seed", "{a." + "a." * 9999 + "b = 1}", "is not valid TOML: a key has more than 64 parts"),
        ("train.freeze_d", "1", "state.safetensors does not fit train.freeze_d"),
        ("model.synthesis.channel_max", "16", "model.synthesis.channel_max is 16 instead of 8"),
        ("model.discriminator.channel_max", "60000", "model.discriminator.channel_max is 60000 instead of 8"),
        ("model.w_dim", "9", "model.w_dim is 9 instead of 8"),
        ("model.mapping.w_avg_beta", "0.5", "model.mapping.w_avg_beta is 0.5 instead of"),
        ("model.label_dim", "2", "model.label_dim is 2 instead of 0"),
        ("data.content_hash", '"x"', "was trained on different images"),
        ("metrics.names", '["fdi"]', "Unknown metric 'fdi'"),
    ],
)
def test_values_that_cannot_be_are_named(cli: Cli, run: Path, key: str, value: str, message: str) -> None:
    edit(run, key, value)
    before = files(run)
    cli.said()
    assert cli.resume(run, "--kimg", "0.016") in (1, 2)
    said = cli.said()
    assert message in said
    assert "bug" not in said
    assert files(run) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[train]\nbach = 8\n", "Unknown configuration key 'train.bach'. Did you mean 'train.batch'?"),
        (b"[trian]\nbatch = 8\n", "Unknown configuration key 'trian'. Did you mean 'train'?"),
        (b"batch: 8\n", "is not valid TOML"),
        (b"", "does not fit snapshot 000000.008"),
        (b"\xff\xff\xff\xff", "is not valid TOML: it is not text in UTF-8"),
        (b"\xff\xfe[", "is not valid TOML"),
        (b"\x00" * 100, "is not valid TOML"),
        (b"#" * (1 << 21), "the limit for one configuration file is 1.0 MiB"),
        (b'"\\u001b[31m" = 1\n', r"Unknown configuration key '\x1b[31m'"),
    ],
)
def test_a_file_that_is_no_configuration_is_explained(cli: Cli, run: Path, text: bytes, message: str) -> None:
    (run / "config.toml").write_bytes(text)
    assert cli.resume(run, "--kimg", "0.016") in (1, 2)
    assert message in cli.said()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read(cli: Cli, run: Path, encoding: str) -> None:
    text = (run / "config.toml").read_text(encoding="utf-8").replace("\n", "\r\n")
    (run / "config.toml").write_bytes(text.encode(encoding))
    assert cli.resume(run, "--kimg", "0.016") == 0
    assert RunFolder(run).snapshots()[-1].images == 16


def test_the_largest_networks_are_refused_without_being_built(store: Path, run: Path) -> None:
    """In a process of little memory, with a limit of time against hangs."""
    edit(run, "model.synthesis.channel_max", "65536")
    edit(run, "model.synthesis.channel_base", "16777216")
    done = subprocess.run(
        [sys.executable, "-m", "sgkit", "train", str(store), "--out", str(run), "--resume", "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)),
    )
    assert done.returncode == 2, done.stderr
    assert "model.synthesis.channel_base is 16777216 instead of 64" in done.stderr
