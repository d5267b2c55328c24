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
# An exponential of more than this is cut off, so that sums of them stay finite.
LARGEST = 80.0
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

    def __init__(self, builder: ir.IRBuilder, value: Any, flags: tuple[str, ...] = _FAST):
        self.builder, self.value, self.flags = builder, value, flags

    def __add__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fadd(self.value, self._value(other), flags=self.flags))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fsub(self.value, self._value(other), flags=self.flags))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fmul(self.value, self._value(other), flags=self.flags))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fdiv(self.value, self._value(other), flags=self.flags))

    def __abs__(self) -> Vector:
        return self._call("fabs")

    def maximum(self, other: Vector | float) -> Vector:
        """Return the greater of each two."""
        return self.where(self.above(other), other)

    def above(self, other: Vector | float) -> Any:
        """Compare each two."""
        return self.builder.fcmp_ordered(">", self.value, self._value(other), flags=self.flags)

    def where(self, condition: Any, other: Vector | float) -> Vector:
        """Return these numbers where `condition` holds, and `other` elsewhere."""
        return self._new(self.builder.select(condition, self.value, self._value(other)))

    def exact(self) -> Vector:
        """Return the same numbers; arithmetic with them keeps the order in which it is written."""
        return Vector(self.builder, self.value, ("contract",))

    def rounded(self) -> Vector:
        """Return the nearest whole numbers."""
        return self._call("rint")

    def power_of_two(self) -> Vector:
        """Return 2 to the power of whole numbers between -126 and 127, by writing them into the exponent bits."""
        whole = self.builder.fptosi(self.value, _INTEGERS)
        biased = self.builder.add(whole, ir.Constant(_INTEGERS, [127] * LANES))
        bits = self.builder.shl(biased, ir.Constant(_INTEGERS, [23] * LANES))
        return self._new(self.builder.bitcast(bits, _VECTOR))

    def _call(self, name: str) -> Vector:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return self._new(self.builder.call(function, [self.value]))

    def _new(self, value: Any) -> Vector:
        return Vector(self.builder, value, self.flags)

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


def softplus(raw: Vector) -> Vector:
    """max(x, 0) + log(1 + u) with u = exp(-|x|); log(1 + u) = 2 artanh(t), t = u / (2 + u) <= 1/3, by its series."""
    u = exp(abs(raw) * -1.0)
    t = u / (u + 2.0)
    square = t * t
    series = square * (1 / 17) + (1 / 15)
    for odd in (13, 11, 9, 7, 5, 3, 1):
        series = series * square + 1 / odd
    return raw.maximum(0.0) + t * series * 2.0


def exp(raw: Vector) -> Vector:
    """2^k exp(f) with whole k and |f| <= log(2) / 2; the series of exp(f) ends where float32 does."""
    x = raw.exact()
    x = x.maximum(-87.0)
    x = (x * -1.0).maximum(-LARGEST) * -1.0
    k = (x * 1.44269504088896341).rounded()
    # log(2) in two parts, the first exact in float32 even after it is multiplied by k.
    f = x - k * 0.693359375 + k * 2.12194440e-4
    series = f * (1 / 5040) + (1 / 720)
    for factorial in (120, 24, 6, 2, 1, 1):
        series = series * f + 1 / factorial
    return Vector(raw.builder, (series * k.power_of_two()).value)
