"""A pickle machine of our own: opcodes move plain data, and no opcode can reach real code.

Not a subclass of `pickle.Unpickler`, which decides itself what to call, set and allocate: here
stack, memo and lengths have our limits, and what is absent cannot be tricked. Names are judged
when they are read, not when they are called (`inert.permit`).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable

from weights.convert.inert import Budget, build, call, check_key, demand, permit

PROTOCOL = 5
_INTEGER_BITS = 512
_LITERALS = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT "
    "BINFLOAT".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}


def run(
    stream: object, budget: Budget, persistent: Callable[[object], object] | None = None
) -> object:
    """Run the one pickle that starts at the stream's position, and leave the stream after it.

    stream: has read, readline and tell, such as a memory map. persistent: makes a value of what a
    file refers to outside of its pickle. The result holds descriptions: see `settled.settle`.
    """
    machine = Machine(budget, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            budget.step()
            machine.step(opcode.name, argument)
    except (ValueError, OverflowError, UnicodeError) as error:
        demand(False, "a whole pickle", error)
    demand(machine.finished and len(machine.stack) == 1, "a pickle of one object", "another")
    return machine.stack[0]


class Machine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, budget: Budget, persistent: Callable[[object], object] | None) -> None:
        self.budget, self.persistent = budget, persistent
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}  # no list: an index then allocates nothing
        self.finished = False

    def step(self, name: str, argument: object) -> None:
        """One opcode with its argument, as `pickletools` decodes them."""
        if name in _LITERALS:
            small = not isinstance(argument, int) or argument.bit_length() <= _INTEGER_BITS
            demand(small, f"integers of at most {_INTEGER_BITS} bits", "a longer one")
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        else:
            operation = getattr(self, f"op_{name.lower()}", None)
            demand(operation, "opcodes of plain data", name)
            operation(argument)

    def top(self) -> object:
        """The object on the stack, above the last mark."""
        floor = self.marks[-1] if self.marks else 0
        demand(len(self.stack) > floor, "a sound pickle", "an empty stack")
        return self.stack[-1]

    def pop(self) -> object:
        """Take one object off the stack, above the last mark."""
        self.top()
        return self.stack.pop()

    def pop_marked(self) -> list[object]:
        """Take all objects above the last mark, and the mark."""
        demand(self.marks, "a sound pickle", "no mark")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    # Stack, memo and frames

    def op_proto(self, version: int) -> None:
        demand(version <= PROTOCOL, f"a pickle protocol up to {PROTOCOL}", version)

    def op_frame(self, _length: int) -> None:
        """Frames only tell how much to read ahead."""

    def op_stop(self, _: None) -> None:
        self.finished = True

    def op_mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def op_pop(self, _: None) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def op_pop_mark(self, _: None) -> None:
        self.pop_marked()

    def op_dup(self, _: None) -> None:
        self.stack.append(self.top())

    def op_put(self, index: int) -> None:
        self.memo[index] = self.top()

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.top()

    def op_get(self, index: int) -> None:
        demand(index in self.memo, "a known memo entry", index)
        self.stack.append(self.memo[index])

    op_binget = op_long_binget = op_get

    # Containers

    def op_tuple(self, _: None) -> None:
        self.stack.append(tuple(self.pop_marked()))

    def op_tuple1(self, _: None) -> None:
        self.stack.append((self.pop(),))

    def op_tuple2(self, _: None) -> None:
        second, first = self.pop(), self.pop()
        self.stack.append((first, second))

    def op_tuple3(self, _: None) -> None:
        third, second, first = self.pop(), self.pop(), self.pop()
        self.stack.append((first, second, third))

    def op_list(self, _: None) -> None:
        self.stack.append(self.pop_marked())

    def op_dict(self, _: None) -> None:
        items = self.pop_marked()
        self.stack.append({})
        self._set_items(items)

    def op_frozenset(self, _: None) -> None:
        items = self.pop_marked()
        self.stack.append(frozenset(_hashable(items)))

    def op_append(self, _: None) -> None:
        self._extend([self.pop()])

    def op_appends(self, _: None) -> None:
        self._extend(self.pop_marked())

    def _extend(self, items: list[object]) -> None:
        demand(type(self.top()) is list, "a list to append to", type(self.top()).__name__)
        self.top().extend(items)

    def op_setitem(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def op_setitems(self, _: None) -> None:
        self._set_items(self.pop_marked())

    def _set_items(self, items: list[object]) -> None:
        demand(type(self.top()) is dict, "a dictionary to fill", type(self.top()).__name__)
        demand(len(items) % 2 == 0, "keys with values", "a key without")
        self.top().update(zip(_hashable(items[::2]), items[1::2], strict=True))

    def op_additems(self, _: None) -> None:
        items = self.pop_marked()
        demand(type(self.top()) is set, "a set to fill", type(self.top()).__name__)
        self.top().update(_hashable(items))

    # Names and objects

    def op_global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self.stack.append(permit(module, name))

    def op_stack_global(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        demand(isinstance(name, str) and isinstance(module, str), "a name in text", "another")
        self.stack.append(permit(module, name))

    def op_reduce(self, _: None) -> None:
        arguments, name = self.pop(), self.pop()
        self.stack.append(call(name, arguments, self.budget))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: None) -> None:
        keywords = self.pop()
        demand(keywords == {}, "an object without keywords", "some")
        self.op_reduce(None)

    def op_obj(self, _: None) -> None:
        name, *arguments = self.pop_marked() or [None]
        self.stack.append(call(name, tuple(arguments), self.budget))

    def op_inst(self, names: str) -> None:
        arguments = tuple(self.pop_marked())
        module, _, name = names.partition(" ")
        self.stack.append(call(permit(module, name), arguments, self.budget))

    def op_build(self, _: None) -> None:
        state = self.pop()
        build(self.top(), state)

    def op_persid(self, reference: object) -> None:
        demand(self.persistent, "all content in the pickle itself", "a reference outside")
        self.stack.append(self.persistent(reference))

    def op_binpersid(self, _: None) -> None:
        self.op_persid(self.pop())


def _hashable(keys: list[object]) -> list[object]:
    for key in keys:
        check_key(key)
    return keys
