"""The files of a store while it is being made: the plan, the parts, what says that a part is done, and the joining."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sgkit.errors import ConfigError, InputError, StoreError, UsageError
from sgkit.runtime import locks
from sgkit.runtime.files import atomic_path
from sgkit.runtime.limits import parse_json, read_file
from sgkit.store.header import HEADER_NAME, PLAN_NAME, REPORT_NAME, Header, PartInfo, read_header
from sgkit.store.preparing.plan import PreparePlan


def parse_part(text: str) -> tuple[int, int]:
    """(part from 0, number of parts) from ``3/64``, which counts from 1."""
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise UsageError(f"part is {text!r}; write the part and the number of parts, such as 3/64.")
    return int(number) - 1, int(total)


class StoreFiles:
    """The files of an unfinished store, and the order in which they come and go.

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
        """The list of files that a part skipped."""
        return self.folder / f"part-{part:05d}.jsonl"

    def done(self, part: int) -> Path:
        """What says that a part is done."""
        return self.folder / f"part-{part:05d}.json"

    @contextlib.contextmanager
    def locked(self, part: int) -> Iterator[None]:
        """Keep other processes from writing a part."""
        database = self.database(part)
        try:
            with locks.exclusive(database.with_name(f"{database.name}.lock")):
                yield
        except locks.LockedError as error:
            raise StoreError(
                f"Another process is writing {database} ({error.holder}). Wait for it, or stop it and run this again."
            ) from None

    def refuse_occupied(self) -> None:
        """Check that the folder is new, empty, or an unfinished store."""
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
        """Write the plan, or compare it with the one that is there."""
        file = self.folder / PLAN_NAME
        if not file.is_file():
            with atomic_path(file) as temporary:
                temporary.write_text(json.dumps(planned, indent=1), encoding="utf-8")
            return
        try:
            found = _read_object(file)
        except InputError as error:
            raise StoreError(f"{error} Remove {self.folder} and start again.") from error
        for key in ("options", "sources", "labels", "label_table", "num_candidates", "num_parts", "sgkit"):
            if planned[key] != found.get(key):
                raise StoreError(
                    f"{self.folder} holds an unfinished store made differently: "
                    f"{_difference(key, planned[key], found.get(key))}. Remove the folder to start again, or repeat "
                    f"the command that started it: {found.get('command', '?')}"
                )

    def finish_part(self, part: int, info: PartInfo) -> None:
        """Say that a part is done."""
        with atomic_path(self.done(part)) as temporary:
            temporary.write_text(json.dumps(info.to_dict()), encoding="utf-8")

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
        with atomic_path(self.folder / REPORT_NAME) as temporary, temporary.open("wb") as joined:
            joined.write(plan.report_unused().encode("utf-8", "surrogateescape"))
            for part in range(self.num_parts):
                with self.report(part).open("rb") as file:
                    shutil.copyfileobj(file, joined)
        with atomic_path(self.folder / HEADER_NAME) as temporary:
            temporary.write_text(header.to_json(), encoding="utf-8")

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


def _difference(key: str, planned: Any, found: Any) -> str:
    if key == "options" and isinstance(found, Mapping):
        names = [name for name in planned if planned[name] != found.get(name)]
        return "; ".join(f"{name} was {found.get(name)!r} and is now {planned[name]!r}" for name in names)
    if key == "sources" and isinstance(found, list):
        old, new = [s["given"] for s in found], [s["given"] for s in planned]
        return f"sources were {old} and are now {new}" if old != new else "files of a source have changed since"
    return f"{key} was {found!r} and is now {planned!r}"


def _read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    values = parse_json(read_file(file, kind="JSON"), name=str(file))
    if not isinstance(values, dict):
        raise InputError(f"{file} is not a JSON object.")
    return values
