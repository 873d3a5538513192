"""A pickle reader that builds numbers, text, containers and what an allow-list names, and nothing else.

Python's own unpickler imports and calls what a file names. This one is written from the opcode table of the format
(``pickletools`` in the standard library documents it): it imports nothing, calls only the builders it was given, and
works over a memory map without copying byte strings, so the weights of a checkpoint cost nothing until they are used.

A global that the allow-list does not hold becomes an inert :class:`~sgkit.unpickle.stand_ins.Refused` object and is
remembered; reading continues without it, so that the error at the end can name everything that the file tried to reach.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from sgkit.errors import CheckpointError
from sgkit.unpickle.budget import BAD_DATA, Budget
from sgkit.unpickle.stand_ins import Allowed, Buildable, Refused, shown, table_key

MAX_MARKS = 256
MAX_STACK = 200_000
MAX_LONG_BYTES = 32
MAX_NAME_BYTES = 512
CONTAINERS = (list, tuple, dict, set)
SLOT_BYTES = 9
"""A reference in a list or on the stack, with room to grow."""
ENTRY_BYTES = 100
"""An entry of a table, a set or the memo."""


class Unpickler:
    """Runs the opcodes of one stream.

    Args:
        data: the whole stream.
        find: gives the object for a global's module and name.
        persistent: gives the object for a persistent id; ``None`` when the stream must have none.
        budget: shared by all streams of a file.
    """

    def __init__(
        self,
        data: memoryview,
        *,
        find: Callable[[str, str], Any],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        position: int = 0,
    ) -> None:
        self.data, self.size, self.position = data, len(data), position
        self.find, self.persistent, self.budget = find, persistent, budget
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the pickle at ``position`` holds; ``position`` is after it then."""
        self.stack, self.marks, self.memo = [], [], {}
        start = self.position
        try:
            return self._run()
        except CheckpointError:
            raise
        except BAD_DATA as error:
            raise CheckpointError(
                f"the pickle that starts at byte {start} is damaged near byte {self.position} ({type(error).__name__})."
            ) from error

    def _run(self) -> Any:
        budget, operations = self.budget, OPERATIONS
        while True:
            if self.position >= self.size:
                raise CheckpointError(f"it is cut short: the pickle does not end by byte {self.size}.")
            code = self.data[self.position]
            self.position += 1
            if code == STOP:
                return self.stack.pop()
            budget.step()
            operation = operations.get(code)
            if operation is None:
                raise CheckpointError(
                    f"it uses pickle opcode {shown(chr(code))} at byte {self.position - 1}; no known checkpoint does."
                )
            operation(self)
            if len(self.stack) > MAX_STACK:
                raise CheckpointError(f"more than {MAX_STACK} pickled items are left open at byte {self.position}.")

    def push(self, value: Any, *, made_by_call: bool = False) -> None:
        """Put a new object on the stack. Everything that is made of a stream goes through here, and is counted."""
        self.budget.count(value, made_by_call=made_by_call)
        self.stack.append(value)

    def remember(self, index: int) -> None:
        """Keep the object on top of the stack in the memo."""
        self.budget.make(ENTRY_BYTES)
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Put an object of the memo on the stack: a reference, no copy."""
        self.budget.make(SLOT_BYTES)
        self.stack.append(self.memo[index])

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, not copied."""
        end = self.position + count
        if count < 0 or end > self.size:
            raise CheckpointError(
                f"it is cut short or damaged: {count} bytes are expected at byte {self.position}, "
                f"{self.size - self.position} are left."
            )
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, count: int) -> int:
        """The next ``count`` bytes as a little-endian number, 0 or more."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> str:
        """Text up to the next line feed, for the opcodes that spell names out."""
        window = bytes(self.data[self.position : self.position + MAX_NAME_BYTES])
        length = window.find(b"\n")
        if length < 0:
            raise CheckpointError(f"a name at byte {self.position} does not end.")
        self.position += length + 1
        return window[:length].decode("utf-8", "replace")

    def items(self) -> list[Any]:
        """What was pushed since the last mark."""
        if not self.marks:
            raise self.damaged("no mark is open")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def pop(self, count: int) -> list[Any]:
        """The last ``count`` objects, taken from the stack."""
        items = self.stack[-count:]
        if len(items) < count:
            raise self.damaged("too few items")
        del self.stack[-count:]
        return items

    def damaged(self, fault: str) -> CheckpointError:
        """The error for a stream that does what no pickler writes."""
        return CheckpointError(f"the pickle is damaged: {fault} at byte {self.position}.")


# ------------------------------------------------------------------------------------------- operations


def _text(m: Unpickler, count: int, coding: str = "utf-8") -> str:
    taken = m.take(count)
    m.budget.afford(count)
    return str(taken, coding, "surrogatepass" if coding == "utf-8" else "strict")


def _long(m: Unpickler, count: int) -> int:
    if count > MAX_LONG_BYTES:
        raise CheckpointError(f"it holds a whole number of {count} bytes; {MAX_LONG_BYTES} are allowed.")
    return int.from_bytes(m.take(count), "little", signed=True)


def _proto(m: Unpickler) -> None:
    version = m.number(1)
    if not 1 <= version <= 5:
        raise CheckpointError(f"it claims pickle protocol {version}; 1 to 5 exist.")


def _frame(m: Unpickler) -> None:
    if m.number(8) > m.size - m.position:
        raise CheckpointError(f"it is cut short: the frame at byte {m.position - 9} reaches past the end.")


def _mark(m: Unpickler) -> None:
    if len(m.marks) >= MAX_MARKS:
        raise CheckpointError(f"it is nested deeper than {MAX_MARKS} levels; no checkpoint needs that.")
    m.marks.append(m.stack)
    m.stack = []


def _append(m: Unpickler, items: list[Any]) -> None:
    target = m.stack[-1]
    if isinstance(target, list):
        m.budget.make(SLOT_BYTES * len(items))
        target.extend(items)
    elif not isinstance(target, Refused):
        raise m.damaged("items are appended to something that is not a list")


def _set_items(m: Unpickler, items: list[Any]) -> None:
    target = m.stack[-1]
    if isinstance(target, Refused):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise m.damaged("entries are set in something that is not a table")
    m.budget.make(ENTRY_BYTES * len(items) // 2)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[table_key(key)] = value


def _add_items(m: Unpickler, items: list[Any]) -> None:
    target = m.stack[-1]
    if not isinstance(target, set):
        raise m.damaged("items are added to something that is not a set")
    m.budget.make(ENTRY_BYTES * len(items))
    target.update(table_key(item) for item in items)


def _global(m: Unpickler, module: Any, name: Any) -> None:
    if not isinstance(module, str) or not isinstance(name, str):
        raise m.damaged("a global's name is not text")
    m.push(m.find(module, name))


def _instance(m: Unpickler) -> None:
    m.find(m.line(), m.line())
    m.items()
    m.push(m.budget.refuse("a class through the pickle opcode INST"))


def _call(m: Unpickler, called: Any, arguments: Any) -> None:
    if isinstance(called, Refused):
        m.push(called, made_by_call=True)
        return
    if not isinstance(called, Allowed) or not isinstance(arguments, tuple):
        raise m.damaged("a plain value is called")
    if called.make is None:
        m.push(m.budget.refuse(f"{called.name}, called as a function"), made_by_call=True)
        return
    m.budget.step(sum(len(argument) for argument in arguments if isinstance(argument, CONTAINERS)))
    m.push(called.make(*arguments), made_by_call=True)


def _build(m: Unpickler) -> None:
    state, target = m.stack.pop(), m.stack[-1]
    if isinstance(target, Buildable):
        target.build(state)
    elif not isinstance(target, (Refused, dict)):
        raise m.damaged("a state is given to a plain value")


def _persistent(m: Unpickler) -> None:
    pid = m.stack.pop()
    if m.persistent is None:
        raise CheckpointError("it refers to data outside itself (a persistent id), which only torch files may.")
    m.push(m.persistent(pid), made_by_call=True)


VALUES: dict[bytes, Callable[[Unpickler], Any]] = {
    b"N": lambda _: None,
    b"\x88": lambda _: True,
    b"\x89": lambda _: False,
    b"J": lambda m: int.from_bytes(m.take(4), "little", signed=True),
    b"K": lambda m: m.number(1),
    b"M": lambda m: m.number(2),
    b"\x8a": lambda m: _long(m, m.number(1)),
    b"\x8b": lambda m: _long(m, m.number(4)),
    b"G": lambda m: struct.unpack(">d", m.take(8))[0],
    b"X": lambda m: _text(m, m.number(4)),
    b"\x8c": lambda m: _text(m, m.number(1)),
    b"\x8d": lambda m: _text(m, m.number(8)),
    b"T": lambda m: _text(m, m.number(4), "latin-1"),
    b"U": lambda m: _text(m, m.number(1), "latin-1"),
    b"B": lambda m: m.take(m.number(4)),
    b"C": lambda m: m.take(m.number(1)),
    b"\x8e": lambda m: m.take(m.number(8)),
    b"]": lambda _: [],
    b"}": lambda _: {},
    b")": lambda _: (),
    b"\x8f": lambda _: set(),
    b"t": lambda m: tuple(m.items()),
    b"\x85": lambda m: tuple(m.pop(1)),
    b"\x86": lambda m: tuple(m.pop(2)),
    b"\x87": lambda m: tuple(m.pop(3)),
}
"""Opcodes that put a new value on the stack."""
ACTIONS: dict[bytes, Callable[[Unpickler], Any]] = {
    b"\x80": _proto,
    b"\x95": _frame,
    b"(": _mark,
    b"0": lambda m: m.stack.pop(),
    b"1": lambda m: m.items(),
    b"q": lambda m: m.remember(m.number(1)),
    b"r": lambda m: m.remember(m.number(4)),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.number(1)),
    b"j": lambda m: m.recall(m.number(4)),
    b"a": lambda m: _append(m, m.pop(1)),
    b"e": lambda m: _append(m, m.items()),
    b"s": lambda m: _set_items(m, m.pop(2)),
    b"u": lambda m: _set_items(m, m.items()),
    b"\x90": lambda m: _add_items(m, m.items()),
    b"c": lambda m: _global(m, m.line(), m.line()),
    b"\x93": lambda m: _global(m, *m.pop(2)),
    b"i": _instance,
    b"R": lambda m: _call(m, *m.pop(2)),
    b"\x81": lambda m: _call(m, *m.pop(2)),
    b"b": _build,
    b"Q": _persistent,
}
"""All other opcodes that checkpoints use."""


def _pushing(make: Callable[[Unpickler], Any]) -> Callable[[Unpickler], Any]:
    def operation(m: Unpickler) -> None:
        value = make(m)  # first: it may change which stack is the current one
        m.push(value)

    return operation


OPERATIONS = {code[0]: _pushing(make) for code, make in VALUES.items()} | {code[0]: a for code, a in ACTIONS.items()}
STOP = ord(".")
