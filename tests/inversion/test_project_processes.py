"""Projections of a folder by real processes: killed ones, full disks, torchrun's."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sgkit.checkpoint import save
from sgkit.errors import InputError, ResourceError
from sgkit.inversion import ProjectResult, ProjectSettings, project_files
from sgkit.inversion.task import LOCK
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.pictures import to_pixels, write_png
from sgkit.runtime.locks import exclusive
from sgkit.runtime.path_checks import latent_files
from tests.builders import drawn_model

COUNT = 7
NAMES = [f"p{index}" for index in range(COUNT)]
SETTINGS = ProjectSettings(steps=3, loss="pixels")
OPTIONS = ["--steps", "3", "--loss", "pixels", "--batch", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def model() -> Model:
    return drawn_model(noise=0.1)


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(model, path)
    return path


@pytest.fixture(scope="module")
def pictures(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    images = model.synthesize(model.map(model.sample_z(range(COUNT))))
    for name, pixels in zip(NAMES, to_pixels(images), strict=True):
        write_png(pixels, folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def straight(model: Model, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a call that nothing disturbed."""
    out = tmp_path_factory.mktemp("straight")
    project_files(model, pictures, out, SETTINGS, batch=2)
    return out


def check_same(out: Path, straight: Path, result: ProjectResult | None = None) -> None:
    """Every image once, with the latent of ``straight``, and nothing that is left over."""
    names = {path.name for path in out.iterdir()}
    assert names == {*NAMES, "report.html"}
    for name in NAMES:
        found, wanted = (load_latents(folder / name) for folder in (out, straight))
        np.testing.assert_allclose(found.only, wanted.only, rtol=1e-4, atol=1e-5)
    if result is not None:
        assert [image.name for image in result.images] == NAMES


SLOW = """
import sys, time
import sgkit.inversion.job as job
from sgkit.cli.app import main
search = job.search
def slowly(*given, **options):
    time.sleep(0.3)  # a window for signals, on a busy machine too
    return search(*given, **options)
job.search = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_call_is_continued_without_loss(
    model: Model, file: Path, pictures: Path, straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW, "project", str(file), str(pictures), "--out", str(out), *OPTIONS]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(6000):
        if (out / "p2").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("p*/latent.npz")}
    assert 0 < len(finished) < COUNT
    other = ProjectSettings(steps=4, loss="pixels")
    with pytest.raises(InputError, match=r"p0 holds a projection with a different steps \(3, not 4\)"):
        project_files(model, pictures, out, other, batch=2)
    result = project_files(model, pictures, out, SETTINGS, batch=2)
    assert result.num_skipped == len(finished)
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    check_same(out, straight, result)


def test_a_full_disk_ends_the_call_and_loses_nothing(
    model: Model, pictures: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgkit.inversion import job

    written, write = [], job.save_latents

    def full(latents: Latents, path: Path) -> None:
        written.append(path)
        write(latents, path)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(job, "save_latents", full)
    with pytest.raises(ResourceError, match="disk is full"):
        project_files(model, pictures, tmp_path / "out", SETTINGS, batch=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p0", "p1", "p2"]
    check_same(tmp_path / "out", straight, project_files(model, pictures, tmp_path / "out", SETTINGS, batch=2))


def test_what_a_killed_call_leaves_is_no_latent_and_goes_away(
    model: Model, pictures: Path, straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(straight, out)
    (out / "p3").rename(out / ".p3.abcdef-999999-1-abcdef.tmp")
    assert [path.parent.name for path in latent_files(out)] == [name for name in NAMES if name != "p3"]
    stale = time.time() - 7 * 86400
    for path in (out / ".p3.abcdef-999999-1-abcdef.tmp", *(out / ".p3.abcdef-999999-1-abcdef.tmp").iterdir()):
        os.utime(path, (stale, stale))
    check_same(out, straight, project_files(model, pictures, out, SETTINGS, batch=2))


def test_two_calls_do_not_write_at_once(model: Model, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (
        exclusive(out / LOCK),
        pytest.raises(
            InputError, match=r"is being written by this process\. Wait .* or share the images with: torchrun"
        ),
    ):
        project_files(model, pictures, out, SETTINGS)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("count", [2, 3])
def test_processes_of_torchrun_share_the_images(
    count: int, file: Path, pictures: Path, straight: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [*torchrun, "-m", "sgkit", "project", str(file), str(pictures), "--out", str(out), *OPTIONS, "--json"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # by one process only
    assert ([image["name"] for image in said["images"]], said["num_skipped"]) == (NAMES, 0)
    check_same(out, straight)
