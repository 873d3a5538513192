"""Which files of the sources are looked at, and in what order: limit, shuffle, subset of a split, share of a part."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

import numpy as np

from sgkit.errors import ConfigError, UsageError
from sgkit.store.sources import Source


class Candidates(Sequence[tuple[int, int]]):
    """(source, item) of every file to look at, in order: numbers into the sources laid end to end."""

    def __init__(self, lengths: Sequence[int], numbers: range | np.ndarray) -> None:
        self.lengths = list(lengths)
        self._starts = [0, *np.cumsum(self.lengths).tolist()]
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, index: slice) -> Candidates: ...

    def __getitem__(self, index: int | slice) -> tuple[int, int] | Candidates:
        if isinstance(index, slice):
            return Candidates(self.lengths, self.numbers[index])
        number = int(self.numbers[index])
        source = bisect_right(self._starts, number) - 1
        return source, number - self._starts[source]


def choose(
    sources: Sequence[Source],
    *,
    limit: int | None = None,
    shuffle_seed: int | None = None,
    split: str = "",
    subset: str = "",
    seed: int = 0,
) -> Candidates:
    """The files to look at: shuffled, no more than ``limit``, and of a ``split`` those of ``subset``."""
    lengths = [len(source) for source in sources]
    numbers: range | np.ndarray = range(sum(lengths))
    if shuffle_seed is not None:
        if streamed := next((source for source in sources if source.streamed), None):
            raise UsageError(
                f"{streamed.given} is compressed and can be read in its order only, not shuffled. Unpack it to a plain "
                ".tar first, or remove --shuffle-seed."
            )
        numbers = np.random.RandomState(shuffle_seed).permutation(len(numbers))
    candidates = Candidates(lengths, numbers if limit is None else numbers[:limit])
    return _subset(sources, candidates, parse_split(split), subset, seed) if split else candidates


def share(candidates: Candidates, part: int, num_parts: int) -> Candidates:
    """The files of part number ``part`` (from 0) of ``num_parts``: parts end to end are the whole, in order."""
    total = len(candidates)
    return candidates[part * total // num_parts : (part + 1) * total // num_parts]


def parse_split(text: str) -> dict[str, float]:
    """Shares by name from ``train=0.9,val=0.1``."""
    shares: dict[str, float] = {}
    for word in text.split(","):
        name, _, number = (piece.strip() for piece in word.partition("="))
        try:
            shares[name] = float(number)
        except ValueError:
            shares[name] = -1.0
        if not (name.isidentifier() and 0 < shares[name] <= 1):
            raise ConfigError(f"split is {text!r}; write names and shares, such as train=0.9,val=0.1.")
    if len(shares) != len(text.split(",")) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"The shares of split {text!r} must have different names and add up to 1.")
    return shares


def _subset(
    sources: Sequence[Source], candidates: Candidates, shares: dict[str, float], subset: str, seed: int
) -> Candidates:
    """The files that fall to a subset: by a hash of each name, so that new files move no old ones."""
    names = list(shares)
    before = sum(shares[name] for name in names[: names.index(subset)])
    after = before + shares[subset] if subset != names[-1] else 2.0
    places = (_place(sources[source][item].name, seed) for source, item in candidates)
    inside = np.array([before <= place < after for place in places], bool)
    return Candidates(candidates.lengths, np.asarray(candidates.numbers)[inside])


def _place(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}\n{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
