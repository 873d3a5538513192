from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sgkit.store.preparing.build as build
from sgkit.errors import ConfigError, InputError, SgkitError, StoreError, UsageError
from sgkit.runtime.progress import Progress
from sgkit.store import StoreDataset, StoreReader, landscape, read_header
from sgkit.store.landscapes.sample import SEASONS
from sgkit.store.preparing.parts import StoreFiles
from sgkit.store.records import PartWriter
from sgkit.tasks.data import diff, verify
from sgkit.tasks.prepare import PrepareInterruptedError, PrepareOptions, prepare, prepare_split
from tests.store.containers import container, header_of

OPTIONS = PrepareOptions(size=(8, 8))
COUNT = 23


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.RandomState(0)
    for index in range(COUNT):
        path = folder / ("odd" if index % 2 else "even") / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.randint(0, 256, (9 + index, 12, 3)).astype(np.uint8)).save(path)
    (folder / "even" / "05-words.png").write_text("no picture")
    (folder / "odd" / "11-empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def _short_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "COMMIT_ITEMS", 5)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_a_store_holds_the_images_in_sorted_order_and_says_all_about_them(pictures: Path, tmp_path: Path) -> None:
    result = prepare(pictures, tmp_path / "store", options=OPTIONS)
    header = read_header(tmp_path / "store")
    assert result.header == header
    assert (header.num_images, header.image_size, header.image_channels) == (COUNT, (8, 8), 3)
    assert (header.filter, header.crop, header.encoding, header.labels.kind) == ("lanczos", "center", "png", "none")
    assert header.skipped == {"empty": 1, "not an image": 1}
    assert [(s.given, s.num_items, s.num_images, s.num_skipped) for s in header.sources] == [
        (str(pictures), COUNT + 2, COUNT, 2)
    ]
    reader = StoreReader(tmp_path / "store")
    names = [reader.meta(index)["name"] for index in range(len(reader))]
    assert names == sorted(names)
    assert sorted(file.name for file in (tmp_path / "store").iterdir()) == [
        "header.json",
        "part-00000.mdb",
        "report.jsonl",
    ]
    assert verify(tmp_path / "store").ok


def test_the_report_lists_what_was_left_out(pictures: Path, tmp_path: Path) -> None:
    prepare(pictures, tmp_path / "store", options=OPTIONS)
    lines = [json.loads(line) for line in (tmp_path / "store" / "report.jsonl").read_text().splitlines()]
    assert [(line["name"], line["reason"]) for line in lines] == [
        ("even/05-words.png", "not an image"),
        ("odd/11-empty.jpg", "empty"),
    ]
    assert all(line["source"] == str(pictures) for line in lines)


def test_progress_ends_at_the_total(pictures: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    prepare(pictures, tmp_path / "store", options=OPTIONS, on_progress=seen.append)
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (COUNT + 2, COUNT + 2, "files")
    assert seen[-1].fields == {"skipped": "2"}


@pytest.mark.parametrize(
    "change",
    [
        {"crop": "none"},
        {"crop": "random:2"},
        {"crop": "tiles"},
        {"size": (6, 8), "crop": "wide"},
        {"encoding": "raw", "channels": 1},
        {"encoding": "webp", "channels": 4},
        {"encoding": "jpeg"},
        {"pyramid": True},
        {"filter": "box", "labels": "folders"},
    ],
    ids=str,
)
def test_every_way_of_making_a_store_verifies(pictures: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    options = PrepareOptions(**{"size": (8, 8), **change})
    header = header_of(prepare(pictures, tmp_path / "store", options=options))
    assert verify(tmp_path / "store").ok
    image, label = StoreDataset(tmp_path / "store")[0]
    assert tuple(image.shape) == (options.channels, *options.image_size)
    assert header.num_images == {"random:2": 2 * COUNT}.get(options.crop, 47 if options.crop == "tiles" else COUNT)
    assert len(label) == (2 if options.labels == "folders" else 0)


def test_workers_change_nothing(pictures: Path, tmp_path: Path) -> None:
    prepare(pictures, tmp_path / "one", options=OPTIONS)
    prepare(pictures, tmp_path / "two", options=OPTIONS, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("num_parts", [2, 3])
def test_parts_are_equal_to_the_whole(pictures: Path, tmp_path: Path, num_parts: int) -> None:
    options = PrepareOptions(size=(8, 8), labels="folders")
    whole = prepare(pictures, tmp_path / "whole", options=options).header
    order = [2, 1, 3][:num_parts] if num_parts == 3 else [2, 1]
    for done, part in enumerate(order, 1):
        result = prepare(pictures, tmp_path / "parts", options=options, part=f"{part}/{num_parts}")
        assert set(result.missing_parts) == set(order[done:])
        if result.header is None:
            with pytest.raises(StoreError, match=rf"unfinished(?s:.*)--part K/{num_parts}"):
                read_header(tmp_path / "parts")
        assert (result.header is None) == (done < num_parts)
    joined = read_header(tmp_path / "parts")
    assert whole is not None
    assert (joined.content_hash, joined.skipped, joined.sources) == (whole.content_hash, whole.skipped, whole.sources)
    assert len(joined.parts) == num_parts
    found = diff(tmp_path / "parts", tmp_path / "whole")
    assert found.same
    assert (tmp_path / "parts" / "report.jsonl").read_bytes() == (tmp_path / "whole" / "report.jsonl").read_bytes()
    assert verify(tmp_path / "parts").ok


def test_torchruns_processes_each_make_a_part(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        prepare(pictures, tmp_path / "parts", options=OPTIONS)
    monkeypatch.undo()
    whole = header_of(prepare(pictures, tmp_path / "whole", options=OPTIONS))
    assert read_header(tmp_path / "parts").content_hash == whole.content_hash


class Killed(BaseException):
    """As sudden as a signal."""


def killing(function: Callable[..., Any], *, at: int, after: bool) -> Callable[..., Any]:
    calls = 0

    def call(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise Killed
        result = function(*args, **options)
        if calls == at:
            raise Killed
        return result

    return call


KILL_POINTS = [
    (StoreFiles, "start_or_continue", 1, True),  # the plan only
    (PartWriter, "commit", 1, False),
    (PartWriter, "commit", 1, True),
    (PartWriter, "commit", 3, False),  # report ahead of the records
    (PartWriter, "commit", 3, True),
    (PartWriter, "commit", 5, True),  # all records, nothing joined
    (StoreFiles, "finish_part", 1, False),
    (StoreFiles, "finish_part", 1, True),
    (StoreFiles, "_write_header", 1, False),
    (StoreFiles, "_write_header", 1, True),  # the header, and what the making needs
    (build.PartBuilder, "_admit", 13, False),
    (Path, "unlink", 2, True),  # in the midst of cleaning up
]


@pytest.mark.parametrize(
    ("owner", "name", "at", "after"), KILL_POINTS, ids=[f"{r[1]}-{r[2]}-{r[3]}" for r in KILL_POINTS]
)
def test_killed_anywhere_and_run_again_the_store_has_the_same_bytes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int, after: bool
) -> None:
    prepare(pictures, tmp_path / "straight", options=OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing(getattr(owner, name), at=at, after=after))
        with pytest.raises(Killed):
            prepare(pictures, tmp_path / "killed", options=OPTIONS)
    prepare(pictures, tmp_path / "killed", options=OPTIONS)
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")


SCRIPT = """
import os, signal, sys
import sgkit.store.preparing.build as build
import sgkit.store.records as records
build.COMMIT_ITEMS = 5
put_all, calls = records._put_all, 0
def dying(*args):
    global calls
    put_all(*args)
    calls += 1
    if calls == 3 and sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
records._put_all = dying
if __name__ == "__main__":
    from sgkit.tasks.prepare import PrepareOptions, prepare
    prepare(sys.argv[1], sys.argv[2], options=PrepareOptions(size=(8, 8)), workers=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_sigkill_within_a_transaction_with_workers_leaves_a_store_that_goes_on(pictures: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(pictures), str(tmp_path / "killed")]
    assert subprocess.run([*command, "die"], check=False, timeout=120).returncode == -signal.SIGKILL
    with pytest.raises(StoreError, match=r"(?s)unfinished.*sgkit prepare .*--size 8x8"):
        read_header(tmp_path / "killed")
    prepare(pictures, tmp_path / "killed", options=OPTIONS)
    prepare(pictures, tmp_path / "straight", options=OPTIONS)
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")


FULL = """
import resource, sys
import sgkit.store.preparing.build as build
from sgkit.errors import StoreError
from sgkit.tasks.prepare import PrepareOptions, prepare
build.COMMIT_ITEMS = 5
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    prepare(sys.argv[1], sys.argv[2], options=PrepareOptions(size=(32, 32)))
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limit to set")
def test_a_full_disk_is_told_and_the_store_goes_on(pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(pictures), str(tmp_path / "full")]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert "Cannot write" in told or "cannot be written" in told
    assert "run the same command again" in told
    options = PrepareOptions(size=(32, 32))
    result = prepare(pictures, tmp_path / "full", options=options)
    assert result.resumed_at > 0
    prepare(pictures, tmp_path / "straight", options=options)
    assert contents(tmp_path / "full") == contents(tmp_path / "straight")


def test_ctrl_c_says_how_to_go_on(pictures: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done >= 1:
            raise KeyboardInterrupt

    with pytest.raises(PrepareInterruptedError, match="run the same command") as caught:
        prepare(pictures, tmp_path / "store", options=OPTIONS, on_progress=interrupt)
    assert caught.value.exit_code == 130
    prepare(pictures, tmp_path / "store", options=OPTIONS)
    assert verify(tmp_path / "store").ok


def test_a_source_that_goes_away_stops_the_work_and_comes_back(pictures: Path, tmp_path: Path) -> None:
    source, hidden = tmp_path / "source", tmp_path / "hidden"
    shutil.copytree(pictures, source)

    def hide(progress: Progress) -> None:
        if source.exists():
            source.rename(hidden)

    with pytest.raises(InputError, match=r"failed while reading .*run the same command again"):
        prepare(source, tmp_path / "store", options=OPTIONS, on_progress=hide)
    hidden.rename(source)
    prepare(source, tmp_path / "store", options=OPTIONS)
    prepare(source, tmp_path / "straight", options=OPTIONS)
    assert contents(tmp_path / "store") == contents(tmp_path / "straight")


def test_one_file_that_goes_away_is_left_out(pictures: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(pictures, source)
    result = prepare(
        source, tmp_path / "store", options=OPTIONS, on_progress=lambda _: (source / "odd" / "21.png").unlink(True)
    )
    assert result.header is not None
    assert result.header.skipped["unreadable"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": "box"}, "filter was 'lanczos' and is now 'box'"),
        ({"limit": 7}, "limit was None and is now 7"),
    ],
)
def test_an_unfinished_store_made_differently_is_not_touched(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "commit", killing(PartWriter.commit, at=2, after=True))
        with pytest.raises(Killed):
            prepare(pictures, tmp_path / "store", options=OPTIONS)
    before = contents(tmp_path / "store")
    with pytest.raises(StoreError, match=message):
        prepare(pictures, tmp_path / "store", options=PrepareOptions(**{"size": (8, 8), **change}))
    assert contents(tmp_path / "store") == before


def test_a_source_that_changed_is_noticed(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    shutil.copytree(pictures, source)
    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "commit", killing(PartWriter.commit, at=2, after=True))
        with pytest.raises(Killed):
            prepare(source, tmp_path / "store", options=OPTIONS)
    (source / "even" / "00.png").rename(source / "even" / "99.png")
    with pytest.raises(StoreError, match="files of a source have changed"):
        prepare(source, tmp_path / "store", options=OPTIONS)


def test_what_is_there_is_not_touched(pictures: Path, tmp_path: Path) -> None:
    prepare(pictures, tmp_path / "store", options=OPTIONS)
    before = contents(tmp_path / "store")
    with pytest.raises(StoreError, match="finished store already"):
        prepare(pictures, tmp_path / "store", options=OPTIONS)
    assert contents(tmp_path / "store") == before
    with pytest.raises(InputError, match="not empty"):
        prepare(pictures, pictures, options=OPTIONS)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        prepare(pictures, tmp_path / "file", options=OPTIONS)


@pytest.mark.parametrize("given", ["nowhere", "empty"])
def test_a_wrong_source_leaves_nothing_behind(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        prepare(tmp_path / given, tmp_path / "store", options=OPTIONS)
    assert not (tmp_path / "store").exists()


def test_two_at_once_are_refused(pictures: Path, tmp_path: Path) -> None:
    def again(progress: Progress) -> None:
        with pytest.raises(StoreError, match="Another process is writing"):
            prepare(pictures, tmp_path / "store", options=OPTIONS)

    prepare(pictures, tmp_path / "store", options=OPTIONS, on_progress=again)


def test_stop_at_the_first_bad_file(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"05-words\.png .* not an image"):
        prepare(pictures, tmp_path / "store", options=OPTIONS, on_error="stop")
    prepare(pictures, tmp_path / "store", options=OPTIONS)
    assert verify(tmp_path / "store").ok


@pytest.mark.parametrize("max_bad", [1, 0.01])
def test_too_many_bad_files_stop_the_work(tmp_path: Path, max_bad: float) -> None:
    for index in range(4):
        (tmp_path / f"{index}.png").write_text("no picture")
    with pytest.raises(StoreError, match=r"more than --max-bad allows"):
        prepare(tmp_path, tmp_path / "store", options=OPTIONS, max_bad=max_bad)


def test_only_bad_files_make_no_store(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_text("no picture")
    with pytest.raises(StoreError, match=r"None of the 1 files could be used \(1 not an image\)"):
        prepare(tmp_path / "in", tmp_path / "store", options=OPTIONS)


def test_size_limits(pictures: Path, tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 8), min_size=11, max_aspect=2.0)
    header = header_of(prepare(pictures, tmp_path / "store", options=options))
    assert header.skipped == {"empty": 1, "not an image": 1, "too long": 7, "too small": 2}


def test_landscapes_are_painted_at_the_size_with_their_labels_and_facts(tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 12))
    prepare("sample:landscapes?count=5&seed=3&labels=season", tmp_path / "one", options=options)
    prepare("sample:landscapes?count=5&seed=3&labels=season", tmp_path / "two", options=options, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    reader = StoreReader(tmp_path / "one")
    assert reader.header.labels.names == SEASONS
    for index in range(5):
        pixels, facts = landscape(index, size=(8, 12), seed=3)
        np.testing.assert_array_equal(reader.pixels(index), pixels.transpose(2, 0, 1))
        assert SEASONS[reader.label(index).argmax()] == facts.season
        assert reader.meta(index)["attributes"] == facts.to_dict()


def test_several_sources_follow_each_other(pictures: Path, tmp_path: Path) -> None:
    header = header_of(prepare([pictures / "odd", pictures / "even"], tmp_path / "store", options=OPTIONS))
    assert [(source.num_images, source.num_skipped) for source in header.sources] == [(11, 1), (12, 1)]
    assert StoreReader(tmp_path / "store").meta(0)["name"] == "01.png"


def test_a_streamed_tar_may_be_shared_and_killed(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.relative_to(pictures).as_posix(): path.read_bytes() for path in sorted(pictures.rglob("*.*"))}
    source = container(tmp_path, files, "tar.gz")
    whole = header_of(prepare(source, tmp_path / "whole", options=OPTIONS))
    for part in ("2/2", "1/2"):
        with monkeypatch.context() as patch:
            patch.setattr(PartWriter, "commit", killing(PartWriter.commit, at=2, after=True))
            with pytest.raises(Killed):
                prepare(source, tmp_path / "parts", options=OPTIONS, part=part)
        prepare(source, tmp_path / "parts", options=OPTIONS, part=part)
    assert read_header(tmp_path / "parts").content_hash == whole.content_hash
    shuffled = PrepareOptions(size=(8, 8), shuffle_seed=1)
    with pytest.raises(UsageError, match="Unpack it"):
        prepare(source, tmp_path / "shuffled", options=shuffled)


def test_limit_and_shuffle(pictures: Path, tmp_path: Path) -> None:
    for name, options in (
        ("first", PrepareOptions(size=(8, 8), limit=6)),
        ("mixed", PrepareOptions(size=(8, 8), shuffle_seed=1)),
        ("again", PrepareOptions(size=(8, 8), shuffle_seed=1)),
    ):
        prepare(pictures, tmp_path / name, options=options)
    assert len(StoreReader(tmp_path / "first")) == 5
    mixed = diff(tmp_path / "mixed", tmp_path / "again")
    assert mixed.same
    prepare(pictures, tmp_path / "sorted", options=OPTIONS)
    against = diff(tmp_path / "mixed", tmp_path / "sorted")
    assert (against.num_same, against.same_order) == (COUNT, False)


def test_a_split_parts_the_files_for_good(pictures: Path, tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 8), split="train=0.7,val=0.3")
    results = prepare_split(pictures, tmp_path / "all", options=options)
    names = {
        name: {StoreReader(result.path).meta(i)["name"] for i in range(len(StoreReader(result.path)))}
        for name, result in results.items()
    }
    assert names["train"] | names["val"] == {p.relative_to(pictures).as_posix() for p in pictures.rglob("??.png")}
    assert not names["train"] & names["val"]
    with pytest.raises(UsageError, match="several stores"):
        prepare(pictures, tmp_path / "x", options=options)


@pytest.mark.parametrize("kind", ["folder", "tar.gz"])
def test_no_subset_of_a_split_repeats_an_image_of_another(pictures: Path, tmp_path: Path, kind: str) -> None:
    files = {f"{n}{p.name}": p.read_bytes() for n in "xyz" for p in pictures.rglob("??.png")}
    options = PrepareOptions(size=(8, 8), split="train=0.5,val=0.5", dedupe="exact")
    results = prepare_split(container(tmp_path, files, kind), tmp_path / "all", options=options)
    assert sum(header_of(result).num_images for result in results.values()) == COUNT
    assert all(header_of(result).num_images for result in results.values())


def test_a_split_that_was_stopped_goes_on(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PrepareOptions(size=(8, 8), split="train=0.7,val=0.3")
    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "commit", killing(PartWriter.commit, at=6, after=True))
        with pytest.raises(Killed):
            prepare_split(pictures, tmp_path / "all", options=options)
    results = prepare_split(pictures, tmp_path / "all", options=options)
    assert sum(len(StoreReader(result.path)) for result in results.values()) == COUNT


def test_repeats_are_left_out_and_reported(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    shutil.copytree(pictures, source)
    image = Image.open(pictures / "even" / "14.png")
    image.save(source / "same.bmp")
    Image.fromarray(np.asarray(image) // 16 * 16 + 8).save(source / "near.png")
    for how, skipped in (("exact", {"duplicate": 1}), ("near", {"duplicate": 1, "near duplicate": 1})):
        options = PrepareOptions(size=(8, 8), dedupe=how)  # type: ignore[arg-type]
        with monkeypatch.context() as patch:
            patch.setattr(PartWriter, "commit", killing(PartWriter.commit, at=4, after=True))
            with pytest.raises(Killed):
                prepare(source, tmp_path / how, options=options)
        header = header_of(prepare(source, tmp_path / how, options=options, max_bad=2))
        assert {k: v for k, v in header.skipped.items() if "duplicate" in k} == skipped
    report = (tmp_path / "near" / "report.jsonl").read_text()
    assert '"name": "same.bmp", "reason": "duplicate", "detail": "of even/14.png"' in report
    with pytest.raises(UsageError, match="one process only"):
        prepare(source, tmp_path / "p", options=options, part="1/2")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PrepareOptions(size=(0, 8)), ConfigError, "at least 1x1"),
        (lambda: PrepareOptions(size=(8, 8), channels=2), ConfigError, "1 .grey., 3 .RGB. or 4"),
        (lambda: PrepareOptions(size=(8, 8), filter="lanzcos"), ConfigError, "Did you mean 'lanczos'"),
        (lambda: PrepareOptions(size=(8, 8), limit=0), ConfigError, "limit is 0"),
        (lambda: PrepareOptions(size=(8, 8), split="a=0.5,b=0.6"), ConfigError, "add up to 1"),
        (lambda: PrepareOptions(size=(8, 8), split="train"), ConfigError, "train=0.9,val=0.1"),
        (lambda: PrepareOptions(size=(8, 8), split="a=1", subset="b"), ConfigError, "has no 'b'"),
        (lambda: PrepareOptions(size=(8, 6), crop="face"), ConfigError, "makes squares"),
        (lambda: prepare("x", "y", options=OPTIONS, workers=0), ConfigError, "workers is 0"),
        (lambda: prepare("x", "y", options=OPTIONS, max_bad=-1), ConfigError, "max_bad is -1"),
        (lambda: prepare("x", "y", options=OPTIONS, part="4/3"), UsageError, "such as 3/64"),
        (lambda: prepare("x", "y", options=OPTIONS, on_error="skpi"), ConfigError, "skip or stop"),  # type: ignore[arg-type]
        (lambda: prepare_split("x", "y", options=OPTIONS), UsageError, "no split"),
    ],
)
def test_wrong_options_say_what_is_allowed(call: Callable[[], object], error: type[SgkitError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
