"""A pickle reader that builds numbers, text, containers and what an allow-list names, and nothing else.

Python's own unpickler imports and calls what a file names. This one is written from the opcode table of the format
(``pickletools`` in the standard library documents it): it imports nothing, calls only the builders it was given, and
works over a memory map without copying byte strings, so the weights of a checkpoint cost nothing until they are used.

A global that the allow-list does not hold becomes an inert :class:`~sgkit.unpickle.stand_ins.Refused` object and is
remembered; reading goes on without it, so that the error at the end can say everything that the file tried to reach.
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


class Machine:
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
        """The object that the pickle at ``position`` holds; ``position`` then stands behind it.

        Raises:
            CheckpointError: the stream is damaged, cut short, too large or uses what no checkpoint needs.
        """
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
                f"it is cut short or damaged: {count} bytes are wanted at byte {self.position}, "
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
            raise CheckpointError(f"the pickle is damaged: no mark is open at byte {self.position}.")
        items, self.stack = self.stack, self.marks.pop()
        return items


# ------------------------------------------------------------------------------------------- operations

Operation = Callable[[Machine], None]
OPERATIONS: dict[int, Operation] = {}
STOP = ord(".")


def _on(code: bytes) -> Callable[[Operation], Operation]:
    def register(operation: Operation) -> Operation:
        OPERATIONS[code[0]] = operation
        return operation

    return register


def _push(code: bytes, make: Callable[[Machine], Any]) -> None:
    def operation(machine: Machine) -> None:
        value = make(machine)  # first: it may change which stack is the current one
        machine.push(value)

    OPERATIONS[code[0]] = operation


def _text(machine: Machine, count: int) -> str:
    taken = machine.take(count)
    machine.budget.afford(count)
    return str(taken, "utf-8", "surrogatepass")


def _old_text(machine: Machine, count: int) -> str:
    taken = machine.take(count)
    machine.budget.afford(count)
    return str(taken, "latin-1")


def _long(machine: Machine, count: int) -> int:
    if count > MAX_LONG_BYTES:
        raise CheckpointError(f"it holds a whole number of {count} bytes; {MAX_LONG_BYTES} are allowed.")
    return int.from_bytes(machine.take(count), "little", signed=True)


_push(b"N", lambda _: None)
_push(b"\x88", lambda _: True)
_push(b"\x89", lambda _: False)
_push(b"J", lambda m: int.from_bytes(m.take(4), "little", signed=True))
_push(b"K", lambda m: m.number(1))
_push(b"M", lambda m: m.number(2))
_push(b"\x8a", lambda m: _long(m, m.number(1)))
_push(b"\x8b", lambda m: _long(m, m.number(4)))
_push(b"G", lambda m: struct.unpack(">d", m.take(8))[0])
_push(b"X", lambda m: _text(m, m.number(4)))
_push(b"\x8c", lambda m: _text(m, m.number(1)))
_push(b"\x8d", lambda m: _text(m, m.number(8)))
_push(b"T", lambda m: _old_text(m, m.number(4)))
_push(b"U", lambda m: _old_text(m, m.number(1)))
_push(b"B", lambda m: m.take(m.number(4)))
_push(b"C", lambda m: m.take(m.number(1)))
_push(b"\x8e", lambda m: m.take(m.number(8)))
_push(b"]", lambda _: [])
_push(b"}", lambda _: {})
_push(b")", lambda _: ())
_push(b"\x8f", lambda _: set())
_push(b"t", lambda m: tuple(m.items()))
_push(b"\x85", lambda m: (m.stack.pop(),))
_push(b"\x86", lambda m: tuple(_pop(m, 2)))
_push(b"\x87", lambda m: tuple(_pop(m, 3)))


def _pop(machine: Machine, count: int) -> list[Any]:
    items = machine.stack[-count:]
    if len(items) < count:
        raise CheckpointError(f"the pickle is damaged: too few items at byte {machine.position}.")
    del machine.stack[-count:]
    return items


@_on(b"\x80")
def _proto(machine: Machine) -> None:
    version = machine.number(1)
    if not 1 <= version <= 5:
        raise CheckpointError(f"it claims pickle protocol {version}; 1 to 5 exist.")


@_on(b"\x95")
def _frame(machine: Machine) -> None:
    if machine.number(8) > machine.size - machine.position:
        raise CheckpointError(f"it is cut short: the frame at byte {machine.position - 9} reaches past the end.")


@_on(b"(")
def _mark(machine: Machine) -> None:
    if len(machine.marks) >= MAX_MARKS:
        raise CheckpointError(f"it is nested deeper than {MAX_MARKS} levels; no checkpoint needs that.")
    machine.marks.append(machine.stack)
    machine.stack = []


@_on(b"0")
def _pop_one(machine: Machine) -> None:
    machine.stack.pop()


@_on(b"1")
def _pop_mark(machine: Machine) -> None:
    machine.items()


@_on(b"q")
def _binput(machine: Machine) -> None:
    machine.remember(machine.number(1))


@_on(b"r")
def _long_binput(machine: Machine) -> None:
    machine.remember(machine.number(4))


@_on(b"\x94")
def _memoize(machine: Machine) -> None:
    machine.remember(len(machine.memo))


@_on(b"h")
def _binget(machine: Machine) -> None:
    machine.recall(machine.number(1))


@_on(b"j")
def _long_binget(machine: Machine) -> None:
    machine.recall(machine.number(4))


@_on(b"a")
def _append(machine: Machine) -> None:
    _extend(machine, [machine.stack.pop()])


@_on(b"e")
def _appends(machine: Machine) -> None:
    _extend(machine, machine.items())


def _extend(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        machine.budget.make(SLOT_BYTES * len(items))
        target.extend(items)
    elif not isinstance(target, Refused):
        raise CheckpointError(f"the pickle is damaged: items are appended to no list at byte {machine.position}.")


@_on(b"s")
def _setitem(machine: Machine) -> None:
    _set_items(machine, _pop(machine, 2))


@_on(b"u")
def _setitems(machine: Machine) -> None:
    _set_items(machine, machine.items())


def _set_items(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, Refused):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise CheckpointError(f"the pickle is damaged: entries are set in no table at byte {machine.position}.")
    machine.budget.make(ENTRY_BYTES * len(items) // 2)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[table_key(key)] = value


@_on(b"\x90")
def _additems(machine: Machine) -> None:
    items, target = machine.items(), machine.stack[-1]
    if not isinstance(target, set):
        raise CheckpointError(f"the pickle is damaged: items are added to no set at byte {machine.position}.")
    machine.budget.make(ENTRY_BYTES * len(items))
    target.update(table_key(item) for item in items)


@_on(b"c")
def _global(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.push(machine.find(module, name))


@_on(b"\x93")
def _stack_global(machine: Machine) -> None:
    module, name = _pop(machine, 2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise CheckpointError(f"the pickle is damaged: a global's name is no text at byte {machine.position}.")
    machine.push(machine.find(module, name))


@_on(b"i")
def _inst(machine: Machine) -> None:
    machine.find(machine.line(), machine.line())
    machine.items()
    machine.push(machine.budget.refuse("a class through the pickle opcode INST"))


@_on(b"R")
def _reduce(machine: Machine) -> None:
    called, arguments = _pop(machine, 2)
    machine.push(_make(machine, called, arguments), made_by_call=True)


@_on(b"\x81")
def _newobj(machine: Machine) -> None:
    called, arguments = _pop(machine, 2)
    machine.push(_make(machine, called, arguments), made_by_call=True)


def _make(machine: Machine, called: Any, arguments: Any) -> Any:
    if isinstance(called, Refused):
        return called
    if not isinstance(called, Allowed) or not isinstance(arguments, tuple):
        raise CheckpointError(f"the pickle is damaged: a plain value is called at byte {machine.position}.")
    if called.make is None:
        return machine.budget.refuse(f"{called.name}, called as a function")
    machine.budget.step(sum(len(argument) for argument in arguments if isinstance(argument, CONTAINERS)))
    return called.make(*arguments)


@_on(b"b")
def _build(machine: Machine) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, Buildable):
        target.build(state)
    elif not isinstance(target, (Refused, dict)):
        raise CheckpointError(f"the pickle is damaged: a state is given to a plain value at byte {machine.position}.")


@_on(b"Q")
def _binpersid(machine: Machine) -> None:
    pid = machine.stack.pop()
    if machine.persistent is None:
        raise CheckpointError("it refers to data outside itself (a persistent id), which only torch files may.")
    machine.push(machine.persistent(pid), made_by_call=True)
