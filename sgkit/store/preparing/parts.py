"""The files of a store while it is being made: the plan, the parts, what says that a part is done, and the joining."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgkit.errors import ConfigError, InputError, StoreError, UsageError
from sgkit.runtime.files import atomic_path
from sgkit.runtime.limits import parse_json, read_file
from sgkit.store.header import HEADER_NAME, PLAN_NAME, REPORT_NAME, Header, PartInfo, read_header
from sgkit.store.preparing.plan import PreparePlan, check_same


def parse_part(text: str) -> tuple[int, int]:
    """(part from 0, number of parts) from ``3/64``, which counts from 1.

    Raises:
        UsageError: it is not of that form.
    """
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise UsageError(f"part is {text!r}; write the part and the number of parts, such as 3/64.")
    return int(number) - 1, int(total)


class StoreFiles:
    """The files of a store in the making, and the order in which they come and go.

    ``plan.json`` comes first. Each part has a database, a report, and, once it is done, a ``part-00000.json``. When all
    are done, the reports are joined, then the header is written, then everything else is removed.
    """

    def __init__(self, folder: Path, num_parts: int) -> None:
        self.folder = folder
        self.num_parts = num_parts

    def database(self, part: int) -> Path:
        """The LMDB file of a part."""
        return self.folder / f"part-{part:05d}.mdb"

    def report(self, part: int) -> Path:
        """The list of files that a part left out."""
        return self.folder / f"part-{part:05d}.jsonl"

    def done(self, part: int) -> Path:
        """What says that a part is done."""
        return self.folder / f"part-{part:05d}.json"

    def lock(self, part: int) -> Path:
        """The file that the process at work on a part holds."""
        return self.folder / f"part-{part:05d}.mdb.lock"

    def refuse_occupied(self) -> None:
        """Touch nothing that is not an unfinished store of ours.

        Raises:
            InputError: the folder holds something else.
            StoreError: it is a finished store.
        """
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; --out names the folder to make.")
        if (folder / PLAN_NAME).is_file():
            return
        if (folder / HEADER_NAME).exists():
            raise StoreError(f"{folder} is a finished store already. Remove it, or give another --out.")
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise InputError(f"{folder} exists and is not empty. Give another --out; nothing was touched.")

    def finished_header(self) -> Header | None:
        """The header of the store, if it is finished and cleaned up."""
        if (self.folder / PLAN_NAME).is_file() or not (self.folder / HEADER_NAME).is_file():
            return None
        return read_header(self.folder)

    def start_or_continue(self, planned: dict[str, Any]) -> None:
        """Write the plan, or compare it with the one that is there.

        Raises:
            StoreError: the plan that is there differs; the difference is named.
        """
        file = self.folder / PLAN_NAME
        if not file.is_file():
            with atomic_path(file) as aside:
                aside.write_text(json.dumps(planned, indent=1), encoding="utf-8")
            return
        try:
            found = _read_object(file)
        except InputError as error:
            raise StoreError(f"{error} Remove {self.folder} and start again.") from error
        check_same(planned, found, self.folder)

    def finish_part(self, part: int, info: PartInfo) -> None:
        """Say that a part is done."""
        with atomic_path(self.done(part)) as aside:
            aside.write_text(json.dumps(info.to_dict()), encoding="utf-8")

    def missing_parts(self) -> list[int]:
        """Parts that are not done, from 1."""
        return [part + 1 for part in range(self.num_parts) if not self.done(part).is_file()]

    def join(self, plan: PreparePlan) -> tuple[Header | None, bool]:
        """The header, when all parts are done, and whether this process is the one that finished the store.

        Any process may join the parts; several at once do the same, and one of them is told that it was the one.
        """
        if not (self.folder / HEADER_NAME).is_file():
            if self.missing_parts():
                return None, False
            with contextlib.suppress(FileNotFoundError):  # another process joined them just now, and cleaned up
                self._write_header(plan)
        is_last = self._clean_up()
        return read_header(self.folder), is_last

    def _write_header(self, plan: PreparePlan) -> None:
        try:
            infos = [PartInfo.from_dict(_read_object(self.done(part))) for part in range(self.num_parts)]
        except (InputError, ConfigError, TypeError) as error:
            raise StoreError(
                f"A part of {self.folder} is damaged: {error}. Remove the folder and start again."
            ) from error
        header = plan.join(self.folder, infos)
        reports = [self.report(part) for part in range(self.num_parts)]
        _concatenate(plan.report_unused(), reports, self.folder / REPORT_NAME)
        with atomic_path(self.folder / HEADER_NAME) as aside:
            aside.write_text(header.to_json(), encoding="utf-8")

    def _clean_up(self) -> bool:
        """Remove what only the making needs; the plan last, as it is what brings the next run here if this one dies.

        Whether this process removed the plan: of several at once, one does.
        """
        for part in range(self.num_parts):
            self.done(part).unlink(missing_ok=True)
            self.report(part).unlink(missing_ok=True)
        try:
            (self.folder / PLAN_NAME).unlink()
        except FileNotFoundError:
            return False
        return True


def _read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: it holds none.
    """
    values = parse_json(read_file(file, kind="JSON"), name=str(file))
    if not isinstance(values, dict):
        raise InputError(f"{file} is not a JSON object.")
    return values


def _concatenate(start: str, files: Sequence[Path], target: Path) -> None:
    with atomic_path(target) as aside, aside.open("wb") as joined:
        joined.write(start.encode("utf-8", "surrogateescape"))
        for file in files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, joined)
