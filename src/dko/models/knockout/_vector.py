"""Sixteen numbers at a time: vectors of float32 whose arithmetic numba compiles to the widest instructions there are.

numba vectorises loops over contiguous arrays. The loops of a scan run over lanes of a table, sixteen to a row, and
carry sixteen sums, which it would take one by one. So they are spelled in LLVM's own vectors; every processor that
numba supports has instructions for these, or gets them split into shorter ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba.core import cgutils

if TYPE_CHECKING:
    from collections.abc import Callable

# A row of a panel is one line of the cache then.
LANES = 16
# Rows that a loop takes at a time, each with a sum of its own: a single sum would wait for every addition to finish.
UNROLLED = 4

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTEGERS = ir.VectorType(_INT, LANES)
# The order of a sum is free, and no value is NaN or infinite.
_FAST = ("reassoc", "contract", "arcp", "nsz", "nnan", "ninf")


class Vector:
    """Sixteen float32, inside a function that is being compiled."""

    def __init__(self, builder: ir.IRBuilder, value: Any):
        self.builder, self.value = builder, value

    def __add__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fadd(self.value, self._value(other), flags=_FAST))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fsub(self.value, self._value(other), flags=_FAST))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fmul(self.value, self._value(other), flags=_FAST))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fdiv(self.value, self._value(other), flags=_FAST))

    def __abs__(self) -> Vector:
        return self._call("fabs")

    def maximum(self, other: Vector | float) -> Vector:
        """Return the greater of each two."""
        return self.where(self.above(other), other)

    def above(self, other: Vector | float) -> Any:
        """Compare each two."""
        return self.builder.fcmp_ordered(">", self.value, self._value(other), flags=_FAST)

    def where(self, condition: Any, other: Vector | float) -> Vector:
        """Return these numbers where `condition` holds, and `other` elsewhere."""
        return self._new(self.builder.select(condition, self.value, self._value(other)))

    def _call(self, name: str) -> Vector:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return self._new(self.builder.call(function, [self.value]))

    def _new(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def _value(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else ir.Constant(_VECTOR, [float(other)] * LANES)


class Array:
    """A contiguous array that a compiled function was given, by its address."""

    def __init__(self, builder: ir.IRBuilder, address: Any):
        self.builder, self.address = builder, address

    def from_(self, index: Any) -> Array:
        """Return the array from `index` on."""
        return Array(self.builder, self.builder.gep(self.address, [index]))

    def scalar(self, index: Any) -> Any:
        """Return one element."""
        return self.builder.load(self.builder.gep(self.address, [index]))

    def spread(self, index: Any) -> Vector:
        """Return one element in all lanes."""
        return spread(self.builder, self.scalar(index))

    def vector(self, index: Any) -> Vector:
        """Return the sixteen elements from `index`."""
        return Vector(self.builder, self.builder.load(self._at(index), align=4))

    def store(self, index: Any, vector: Vector) -> None:
        """Write the sixteen elements from `index`."""
        self.builder.store(vector.value, self._at(index), align=4)

    def _at(self, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.address, [index]), _VECTOR.as_pointer())


def constant(builder: ir.IRBuilder, number: float) -> Vector:
    """Return a number that is known beforehand in all lanes."""
    return Vector(builder, ir.Constant(_VECTOR, [number] * LANES))


def spread(builder: ir.IRBuilder, scalar: Any) -> Vector:
    """Return a number in all lanes."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_INT, 0))
    return Vector(builder, builder.shuffle_vector(first, nothing, ir.Constant(_INTEGERS, [0] * LANES)))


def sum_over(builder: ir.IRBuilder, length: Any, term: Callable[[Any], Vector]) -> Vector:
    """Return the sum of ``term(i)`` for i from 0 to `length`, which is a multiple of UNROLLED."""
    zero, whole = ir.Constant(_VECTOR, [0.0] * LANES), length.type
    sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(UNROLLED)]
    for total in sums:
        builder.store(zero, total)
    with cgutils.for_range_slice(builder, whole(0), length, whole(UNROLLED), inc=True) as (start, _):
        for offset, total in enumerate(sums):
            added = Vector(builder, builder.load(total)) + term(builder.add(start, whole(offset)))
            builder.store(added.value, total)
    parts = [Vector(builder, builder.load(total)) for total in sums]
    return (parts[0] + parts[1]) + (parts[2] + parts[3])
