"""MAT 5 (MathWorks, MAT-File Format): the variables of a file that need not be sound.

SciPy reads them too, but takes the type codes in a file on trust: a wrong one ends the process. Numbers that are not
deflated stay in the file until they are asked for.
"""

import math
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError
from pipelines.formats.matrix import MAX_DEPTH, Matrix, Value, empty, require_room
from pipelines.formats.sampled import error_context

_HEADER_BYTES = 128
_PREFIX_BYTES = 4096
"""Enough of a deflated variable to hold its class, shape and name."""

_MAX_NAME = 63
_MATRIX, _DEFLATED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800


@dataclass(frozen=True)
class _Variable:
    """A variable's place: ``body`` gives the content of its matrix element, ``prefix`` the beginning of that."""

    num_bytes: int
    prefix: bytes
    body: Callable[[], memoryview]


class _Elements:
    """The elements of a stretch of a file, one after another; a damaged one raises ValueError."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.content = content
        self.order = order
        self.offset = 0

    @property
    def is_over(self) -> bool:
        return self.offset + 8 > len(self.content)

    def next(self) -> tuple[int, memoryview]:
        """Return (type, content) of the next element; one of four bytes at most lies within its own tag."""
        first, size = self._word(0), self._word(4)
        begin = self.offset + 8
        self.offset = begin
        if first >> 16:
            first, size, begin = first & 0xFFFF, first >> 16, begin - 4
            if size > 4:
                raise ValueError(f"a small element has {size} bytes")
        else:
            self.offset += size if first == _DEFLATED else -(-size // 8) * 8
        if begin + size > len(self.content):
            raise ValueError(f"an element of {size} bytes is cut")
        return first, self.content[begin : begin + size]

    def whole_numbers(self) -> list[int]:
        """Return the next element, of whole numbers."""
        kind, content = self.next()
        if kind not in (5, 6):
            raise ValueError(f"type {kind} where whole numbers should be")
        numbers: list[int] = np.frombuffer(content, self.order + _NUMBERS[kind]).tolist()
        return numbers

    def _word(self, offset: int) -> int:
        if self.is_over:
            raise ValueError("an element is cut")
        begin = self.offset + offset
        return int.from_bytes(self.content[begin : begin + 4], "little" if self.order == "<" else "big")


def names(path: Path) -> list[str]:
    """Return the names of a file's variables, in its order; raises DareError where it is damaged."""
    with error_context(path, "MAT 5"):
        return list(_directory(path, _mapped(path))[0])


def load(
    path: Path, variables: Collection[str], members: Collection[str], content: bytes | None = None
) -> dict[str, Value]:
    """Return these variables, and of the structs in them these members; raises DareError where they are damaged.

    ``content`` is that of the file, where it was read already.
    """
    with error_context(path, "MAT 5"):
        found, order = _directory(path, _mapped(path) if content is None else memoryview(content))
        values = _Values(path, order, members)
        return {name: values.top(one) for name, one in found.items() if name in variables}


def _mapped(path: Path) -> memoryview:
    return np.memmap(path, np.uint8, "r").data


def _directory(path: Path, content: memoryview) -> tuple[dict[str, _Variable], str]:
    """Return (variables by name, byte order)."""
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER_BYTES]))
    if order is None:
        raise ValueError("its header is cut or names no byte order")
    found: dict[str, _Variable] = {}
    elements = _Elements(content[_HEADER_BYTES:], order)
    while not elements.is_over:
        kind, body = elements.next()
        if kind == _DEFLATED:
            variable = _deflated(path, body, order)
        elif kind == _MATRIX:
            variable = _Variable(len(body), bytes(body[:_PREFIX_BYTES]), lambda body=body: body)  # type: ignore[misc]
        else:
            raise ValueError(f"type {kind} where a variable should be")
        if variable.prefix and (name := _facts(variable.prefix, order)[2]):
            found[name] = variable
    return found, order


def _deflated(path: Path, body: memoryview, order: str) -> _Variable:
    """Return the variable that a deflated element holds."""
    head = zlib.decompressobj().decompress(body, _PREFIX_BYTES)
    tag = np.frombuffer(head, order + "u4", 2).tolist()
    if tag[0] != _MATRIX:
        raise ValueError(f"type {tag[0]} where a variable should be")
    require_room(path, tag[1], len(body))

    @cache
    def inflated() -> memoryview:
        return memoryview(zlib.decompressobj().decompress(body, 8 + tag[1]))[8:]

    return _Variable(tag[1], head[8 : 8 + tag[1]], inflated)


def _facts(prefix: bytes | memoryview, order: str) -> tuple[int, tuple[int, ...], str, int, bool]:
    """Return (class, shape, name, where the content begins, whether it is complex) of a matrix element.

    Objects and functions have neither shape nor name here.
    """
    elements = _Elements(memoryview(prefix), order)
    flags = elements.whole_numbers()[0]
    kind = flags & 0xFF
    if kind not in (_CELL, _STRUCT, _CHAR, *_NUMERIC):
        return kind, (), "" if kind > _NUMERIC[-1] else _shape_and_name(elements)[1], 0, False
    shape, name = _shape_and_name(elements)
    return kind, shape, name, elements.offset, bool(flags & _COMPLEX)


def _shape_and_name(elements: _Elements) -> tuple[tuple[int, ...], str]:
    shape = tuple(elements.whole_numbers())
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a shape of {shape}")
    name = bytes(elements.next()[1]).decode("ascii").rstrip("\0")
    if len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError("a name that is none")
    return shape, name


@dataclass(frozen=True)
class _Values:
    """What the matrix elements of a file are, its numbers in this byte order; of structs these members."""

    path: Path
    order: str
    members: Collection[str]

    def top(self, variable: _Variable) -> Value:
        """Return a variable, of numbers not before they are asked for."""
        kind, shape, name, _, is_complex = _facts(variable.prefix, self.order)
        if kind not in _NUMERIC or is_complex:
            return self.of(variable.body(), 0)
        if math.prod(shape) > variable.num_bytes:
            raise ValueError(f"{math.prod(shape)} numbers in {variable.num_bytes} bytes")

        def read(index: tuple[slice, ...]) -> NDArray[Any]:
            with error_context(self.path, "MAT 5"):
                matrix = self.of(variable.body(), 0)
                if not isinstance(matrix, Matrix) or matrix.shape != shape:
                    raise DamagedError(f"variable {name!r} is damaged", path=self.path)
                return matrix.read(index)

        return Matrix(shape, read)

    def of(self, content: memoryview, depth: int) -> Value:
        """Return what a matrix element holds, which lies so deep in others."""
        if not len(content):
            return empty()
        kind, shape, _, offset, is_complex = _facts(content, self.order)
        elements = _Elements(content[offset:], self.order)
        size = math.prod(shape)
        if depth > MAX_DEPTH or is_complex or not offset:
            return None
        if kind in _NUMERIC:
            return _numbers(elements, shape)
        if kind == _CHAR:
            return _text(elements, shape)
        # Every item has a tag of eight bytes, so that their number is bounded before they are listed.
        if 8 * size > len(content):
            raise ValueError(f"{size} items in {len(content)} bytes")
        if kind == _CELL:
            return [self._item(*elements.next(), depth) for _ in range(size)]
        fields = _field_names(elements)
        if 8 * size * len(fields) > len(content):
            raise ValueError(f"{size} structs of {len(fields)} members in {len(content)} bytes")
        structs = []
        for _ in range(size):
            found = {name: elements.next() for name in fields}
            kept = {name: one for name, one in found.items() if name in self.members}
            structs.append({name: self._item(*one, depth) for name, one in kept.items()})
        return structs

    def _item(self, kind: int, content: memoryview, depth: int) -> Value:
        if kind != _MATRIX:
            raise ValueError(f"type {kind} where an item should be")
        return self.of(content, depth + 1)


def _field_names(elements: _Elements) -> list[str]:
    """Return the names of a struct's members, stored in cells of one length each."""
    (length,) = elements.whole_numbers()
    joined = bytes(elements.next()[1])
    if length < 1:
        raise ValueError(f"names of {length} letters")
    cells = [joined[start : start + length] for start in range(0, len(joined), length)]
    return [cell.split(b"\0")[0].decode("latin-1") for cell in cells]


def _numbers(elements: _Elements, shape: tuple[int, ...]) -> Matrix:
    kind, content = elements.next()
    if kind not in _NUMBERS:
        raise ValueError(f"type {kind} where numbers should be")
    numbers = np.frombuffer(content, elements.order + _NUMBERS[kind]).reshape(shape, order="F")
    return Matrix(shape, numbers.__getitem__)


def _text(elements: _Elements, shape: tuple[int, ...]) -> str:
    """Return a text; the lines of one that has several, stored column by column, are joined by blanks."""
    if not math.prod(shape):
        return ""
    kind, content = elements.next()
    if kind not in _TEXTS:
        raise ValueError(f"type {kind} where a text should be")
    if math.prod(shape) > len(content):
        raise ValueError(f"a text of {math.prod(shape)} letters in {len(content)} bytes")
    endian = ("-le" if elements.order == "<" else "-be") if kind in (4, 17, 18) else ""
    text = bytes(content).decode(_TEXTS[kind] + endian)
    num_lines = shape[0]
    return text if num_lines == 1 else " ".join(text[line::num_lines] for line in range(num_lines))
