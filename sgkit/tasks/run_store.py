"""The store of a run that is trained on a folder or an archive of images: prepared once, into the run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgkit.errors import ConfigError, UsageError
from sgkit.runs.folder import STORE_NAME
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store.header import HEADER_NAME, Header, size_text
from sgkit.store.preparing.parts import StoreFiles
from sgkit.store.preparing.plan import PrepareOptions, make_plan
from sgkit.tasks.prepare import prepare
from sgkit.text import shell_word


@dataclass(frozen=True, kw_only=True)
class RunStore:
    """The store to train on."""

    path: Path
    header: Header
    is_new: bool
    """Whether it was made just now."""
    notes: tuple[str, ...] = ()
    """What the user should know: that the source has changed since."""


def has_store(run: Path) -> bool:
    """Whether images were prepared into the folder of ``run`` before."""
    return (run / STORE_NAME / HEADER_NAME).is_file()


def store_of_run(
    source: str, run: Path, *, size: tuple[int, int] | None = None, on_progress: OnProgress = ignore_progress
) -> RunStore:
    """The store in the folder of ``run``, made from the images of ``source`` the first time.

    Args:
        source: a folder, an archive, or any other source of images.
        run: the run's folder; an interrupted preparation in it is continued.
        size: height and width; needed the first time.

    Raises:
        UsageError: there is no size and no store yet.
        ConfigError: the store has another size.
        InputError, StoreError: as :func:`sgkit.tasks.prepare.prepare` has them.
    """
    folder = run / STORE_NAME
    header = StoreFiles(folder, 1).finished_header()
    if header is not None:
        if size not in (None, header.image_size):
            raise ConfigError(
                f"The images of {run} were prepared at {size_text(header.image_size)}; --size {size_text(size)} is "
                "another size. Leave --size out, or name a new folder for the run with --out."
            )
        return RunStore(path=folder, header=header, is_new=False, notes=_changes(source, folder, header))
    if size is None:
        raise UsageError(
            f"{source} is not a store, so its images must be prepared first. Say how large they should be, for "
            "example: --size 64"
        )
    made = prepare(
        source,
        folder,
        options=PrepareOptions(size=size),
        workers=None,
        part="1/1",
        contact_sheet=True,
        on_progress=on_progress,
    )
    assert made.header is not None
    return RunStore(path=folder, header=made.header, is_new=True)


def _changes(source: str, folder: Path, header: Header) -> tuple[str, ...]:
    """A sentence if ``source`` does not hold the files any more that the store was made from."""
    before = header.sources[0]
    [now] = make_plan([source], PrepareOptions(size=header.image_size)).sources
    if now.fingerprint() == before.fingerprint:
        return ()
    height, width = header.image_size
    name, side = shell_word(source), str(width) if width == height else size_text(header.image_size)
    other = "" if before.given == source else f", prepared from {before.given}"
    return (
        f"{source} does not hold the files that this run is trained on{other}: there were {before.num_items:,}, now "
        f"there are {len(now):,}. Training continues with the images prepared then, in {folder}. To continue with "
        f"those of {source}: sgkit prepare {name} --out STORE --size {side}, then sgkit train STORE --out "
        f"{shell_word(folder.parent)} --resume --new-data",
    )
