"""Reads LMDB files page by page, checking every number before it is used.

The LMDB library maps a file into memory and trusts it: a file that is cut short, damaged, or shrinks while it is read
ends the process by a signal. Here pages are read with ``pread``, and page numbers, offsets and lengths are compared
with the page and the file first, so that the worst a file can do is to raise :class:`StoreError`. Only writing uses the
library, on files that passed :meth:`LmdbFile.check`.

Format: https://github.com/LMDB/lmdb/blob/LMDB_0.9.31/libraries/liblmdb/mdb.c (data version 1, 64 bits, little-endian).
"""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, unpack_from
from typing import NamedTuple

from sgkit.errors import StoreError
from sgkit.runtime.limits import check_size, limit_of, open_regular

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
KIND_FLAGS = 0x6F
"""All flags of a page that say what it is; the others are notes of the writer."""
BIG_DATA = 0x01
"""A node's flag: its value is in overflow pages. Databases with other flags (sorted duplicates) are not read."""
INTEGER_KEY = 0x08
NO_SUBDIR = 0x4000
"""How the file was opened when it was made; no property of the data."""
NO_PAGE = 2**64 - 1
PAGE_HEADER = 16
PAGE_SIZES = [1 << bits for bits in range(9, 17)]
MAX_DEPTH = 32
MAX_KEY = 511
KEY_SIZE_AT = 6
"""Where an entry holds the size of its key; the key follows."""
SMALLEST_ENTRY = 11
"""Bytes of an entry with a key of one byte and no value."""
CACHED_BRANCHES = 1024
"""Inner pages of the tree that are kept: with keys of 20 bytes, enough for millions of records (20 MB)."""

POSITIONED = hasattr(os, "pread")

_page = Struct("<QHHHH")  # page number, padding, flags, lower and upper end of the free space
_overflow = Struct("<QHHI")  # page number, padding, flags, number of pages
_meta = Struct("<IIQQ")  # magic, version, address, size of the map
_tree = Struct("<IHHQQQQQ")  # page size, flags, depth, branch pages, leaf pages, overflow pages, entries, root
_last = Struct("<QQ")  # last page, transaction
_node = Struct("<HHHH")  # value size or child page (low, high), flags, key size
_short, _long = Struct("<H"), Struct("<Q")


@dataclass(frozen=True)
class _Tree:
    """One of the two trees of a file: the free pages, or the records."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int


class _Snapshot(NamedTuple):
    """What a meta page says."""

    transaction: int
    last_page: int
    free: _Tree
    records: _Tree


class LmdbFile:
    """Random access to the records of an LMDB file. May be shared by threads and by forked processes.

    ``whole``: raise right away when the file is shorter than its last page says.

    Raises:
        StoreError: it is not an LMDB file, or its first pages are damaged.
    """

    def __init__(self, path: str | Path, *, whole: bool = False) -> None:
        self.path = Path(path)
        try:
            self._file = open_regular(path)
            weakref.finalize(self, self._file.close)
            self._descriptor = self._file.fileno()
            self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            why = error.strerror or str(error)
            raise StoreError(f"{path} cannot be opened: {why}. Copy it again, or prepare the store again.") from error
        self._lock = threading.Lock()
        self._branches: dict[int, tuple[list[bytes], list[int]]] = {}
        self._last_leaf: tuple[int, bytes, tuple[int, ...]] = (NO_PAGE, b"", ())
        self._largest = limit_of("image")
        self._snapshot = self._read_metas()
        self._page_size = self._snapshot.free.page_size
        expected = (self._snapshot.last_page + 1) * self._page_size
        if whole and self._size < expected:
            raise self._damaged(f"it has {self._size:,} of {expected:,} bytes (a copy that was cut short?)")

    def __len__(self) -> int:
        return self._snapshot.records.entries

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or ``None``.

        Raises:
            StoreError: the file is damaged.
        """
        tree = self._snapshot.records
        if not tree.depth:
            return None
        number = tree.root
        for _ in range(tree.depth - 1):
            keys, children = self._branches.get(number) or self._branch(number)
            number = children[bisect_right(keys, key)]
        page, places = self._leaf(number)
        # Looking for the key's bytes, with their number before them, is the quickest; in damaged files, and where a
        # value holds the same bytes, they are no entry's.
        place = page.find(_short.pack(len(key)) + key) - KEY_SIZE_AT
        index = places.index(place) if place in places else self._search(page, places, key, number)
        return None if index is None else self._value(page, index, number)

    def _leaf(self, number: int) -> tuple[bytes, tuple[int, ...]]:
        """A page of entries, and where they begin; the last one is kept, as a label is next to its image."""
        known, page, places = self._last_leaf
        if known != number:
            page, count = self._tree_page(number, LEAF)
            places = unpack_from(f"<{count}H", page, PAGE_HEADER)
            self._last_leaf = number, page, places
        return page, places

    def _search(self, page: bytes, places: tuple[int, ...], key: bytes, number: int) -> int | None:
        if max(places) + _node.size > self._page_size:
            raise self._damaged_page(number, "an entry leaves the page")
        # Slices end with the page, whatever a damaged entry says; the one that is found is checked when it is read.
        index = bisect_left(places, key, key=lambda p: page[p + 8 : p + 8 + page[p + 6] + (page[p + 7] << 8)])
        return index if index < len(places) and self._key(page, index, number) == key else None

    def keys(self) -> Iterator[bytes]:
        """All keys, in their order.

        Raises:
            StoreError: the file is damaged.
        """
        for page, index, number in self._entries(self._snapshot.records, self._no_pages_used()):
            yield self._key(page, index, number)

    def check(self) -> None:
        """Walk all of both trees.

        Raises:
            StoreError: a page, an entry or a count is wrong; the first is named.
        """
        used = self._no_pages_used()
        for tree in (self._snapshot.free, self._snapshot.records):
            count = 0
            for page, index, number in self._entries(tree, used):
                first, length, _ = self._place(page, index, number)
                if first is not None:
                    self._check_overflow(self._read(first * self._page_size, PAGE_HEADER), first, length)
                    self._use(first, length, used)
                if tree.flags == INTEGER_KEY:
                    self._check_free_pages(self._value(page, index, number), number)
                count += 1
            if count != tree.entries:
                raise self._damaged(f"it has {count:,} of {tree.entries:,} entries")

    def _no_pages_used(self) -> bytearray:
        """A byte for each page of the file, all 0; the meta pages count as used."""
        return bytearray(b"\1\1").ljust(self._size // self._page_size, b"\0")

    def _check_free_pages(self, value: bytes, number: int) -> None:
        pages = [_long.unpack_from(value, at)[0] for at in range(0, len(value) - 7, 8)]
        if not pages or pages[0] != len(pages) - 1 or not all(2 <= p <= self._snapshot.last_page for p in pages[1:]):
            raise self._damaged_page(number, "the list of free pages is wrong")

    def _read_metas(self) -> _Snapshot:
        """The newer of the two meta pages; the second is one page after the first."""
        first = self._read_meta(0)
        second = self._read_meta(first.free.page_size)
        if first.free.page_size != second.free.page_size:
            raise self._damaged("its two meta pages differ in page size")
        return max(first, second, key=lambda meta: meta.transaction)

    def _read_meta(self, offset: int) -> _Snapshot:
        data = self._read(offset, PAGE_HEADER + _meta.size + 2 * _tree.size + _last.size)
        _, _, flags, _, _ = _page.unpack_from(data)
        magic, version, _, _ = _meta.unpack_from(data, PAGE_HEADER)
        if not flags & META or magic != MAGIC:
            raise self._damaged("it does not begin like an LMDB file")
        if version != VERSION:
            raise StoreError(
                f"{self.path} has LMDB format {version}; format {VERSION} is read. Export it with mdb_copy."
            )
        last_page, transaction = _last.unpack_from(data, PAGE_HEADER + _meta.size + 2 * _tree.size)
        trees = [self._tree_of(data, PAGE_HEADER + _meta.size + i * _tree.size, last_page) for i in (0, 1)]
        free, records = trees
        if free.page_size not in PAGE_SIZES or free.flags != INTEGER_KEY:
            raise self._damaged("a meta page holds impossible values")
        if records.flags:
            raise StoreError(
                f"{self.path} is an LMDB database with sorted duplicates or integer keys (flags {records.flags:#x}); "
                "only plain ones are read."
            )
        return _Snapshot(transaction, last_page, free, records)

    def _tree_of(self, data: bytes, offset: int, last_page: int) -> _Tree:
        page_size, flags, depth, _, _, _, entries, root = _tree.unpack_from(data, offset)
        empty = root == NO_PAGE
        possible = (
            2 <= root <= last_page and entries * SMALLEST_ENTRY <= self._size if depth else empty and entries == 0
        )
        if depth > MAX_DEPTH or not possible:
            raise self._damaged("a meta page holds impossible values")
        return _Tree(page_size, flags & ~NO_SUBDIR, depth, entries, root)

    def _entries(self, tree: _Tree, used: bytearray) -> Iterator[tuple[bytes, int, int]]:
        """(page, index, page number) of every entry in order; pages are noted in ``used``, and none is used twice."""
        previous = b""
        stack = [(tree.root, 0)] if tree.depth else []
        while stack:
            number, level = stack.pop()
            leaf = level == tree.depth - 1
            self._use(number, 1, used)
            if not leaf:
                _, children = self._branch(number)
                if len(children) < 2 and not tree.flags:
                    raise self._damaged_page(number, "a branch has no branches")
                stack.extend((child, level + 1) for child in reversed(children))
                continue
            page, count = self._tree_page(number, LEAF)
            for index in range(count):
                key = self._key(page, index, number)
                if not tree.flags and key <= previous:
                    raise self._damaged_page(number, "keys are out of order")
                previous = key
                yield page, index, number

    def _use(self, first: int, length: int, used: bytearray) -> None:
        if first + length > len(used):
            raise self._damaged(f"page {first + length - 1:,} is missing (a copy that was cut short?)")
        if used.count(1, first, first + length):
            raise self._damaged_page(first, "it is used twice")
        used[first : first + length] = b"\1" * length

    def _tree_page(self, number: int, kind: int) -> tuple[bytes, int]:
        """A page of a tree, and the number of its entries."""
        page = self._read(number * self._page_size, self._page_size)
        own, _, flags, lower, upper = _page.unpack_from(page)
        count = (lower - PAGE_HEADER) // 2
        if own != number or flags & KIND_FLAGS != kind or count < 1 or not lower <= upper <= self._page_size:
            raise self._damaged_page(number, "its header is wrong")
        return page, count

    def _branch(self, number: int) -> tuple[list[bytes], list[int]]:
        """Keys and pages below an inner page of the tree: page i holds what is below key i, and not below key i - 1."""
        known = self._branches.get(number)
        if known is None:
            page, count = self._tree_page(number, BRANCH)
            keys = [self._key(page, index, number) for index in range(1, count)]
            known = keys, [self._child(page, index, number) for index in range(count)]
            if len(self._branches) < CACHED_BRANCHES:
                self._branches[number] = known
        return known

    def _at(self, page: bytes, index: int, number: int) -> tuple[int, int, int, int, int]:
        """Where a node's key begins, and the four numbers of its header."""
        place = _short.unpack_from(page, PAGE_HEADER + 2 * index)[0]
        if place + _node.size <= self._page_size:
            low, high, flags, key_size = _node.unpack_from(page, place)
            if key_size <= MAX_KEY and place + _node.size + key_size <= self._page_size:
                return place + _node.size, low, high, flags, key_size
        raise self._damaged_page(number, "an entry leaves the page")

    def _key(self, page: bytes, index: int, number: int) -> bytes:
        start, _, _, _, size = self._at(page, index, number)
        return page[start : start + size]

    def _child(self, page: bytes, index: int, number: int) -> int:
        _, low, high, flags, _ = self._at(page, index, number)
        child = low | high << 16 | flags << 32
        if not 2 <= child <= self._snapshot.last_page:
            raise self._damaged_page(number, "it leads to a page beyond the end")
        return child

    def _place(self, page: bytes, index: int, number: int) -> tuple[int | None, int, int]:
        """(first overflow page, number of pages, size) of a value; or (``None``, place in ``page``, size)."""
        start, low, high, flags, key_size = self._at(page, index, number)
        start, size = start + key_size, low | high << 16
        if flags not in (0, BIG_DATA):
            raise self._damaged_page(number, "an entry has unknown flags")
        if start + (8 if flags else size) > self._page_size:
            raise self._damaged_page(number, "an entry leaves the page")
        if not flags:
            return None, start, size
        first = _long.unpack_from(page, start)[0]
        length = -(-(PAGE_HEADER + size) // self._page_size)
        if not 2 <= first <= self._snapshot.last_page + 1 - length:
            raise self._damaged_page(number, "a value leaves the file")
        return first, length, size

    def _value(self, page: bytes, index: int, number: int) -> bytes:
        first, start, size = self._place(page, index, number)
        if first is None:
            return page[start : start + size]
        if size > self._largest:
            check_size(size, name=f"A record of {self.path}", kind="image")
        data = self._read(first * self._page_size, PAGE_HEADER + size)
        self._check_overflow(data, first, start)
        return data[PAGE_HEADER:]

    def _check_overflow(self, data: bytes, first: int, length: int) -> None:
        own, _, flags, pages = _overflow.unpack_from(data)
        if own != first or not flags & OVERFLOW or pages < length:
            raise self._damaged_page(first, "its header is wrong")

    def _read(self, offset: int, length: int) -> bytes:
        try:
            if POSITIONED:
                data = os.pread(self._descriptor, length, offset)
                while len(data) < length and (
                    more := os.pread(self._descriptor, length - len(data), offset + len(data))
                ):
                    data += more  # one call gives 2 GiB at most
            else:
                with self._lock:
                    self._file.seek(offset)
                    data = self._file.read(length)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error}.") from error
        if len(data) < length:
            raise self._damaged(f"it ends at byte {offset + len(data):,} (a copy that was cut short?)")
        return data

    def _damaged_page(self, number: int, what: str) -> StoreError:
        return self._damaged(f"page {number}: {what}")

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"{self.path} is damaged: {what}. Copy it again, or prepare the store again.")
