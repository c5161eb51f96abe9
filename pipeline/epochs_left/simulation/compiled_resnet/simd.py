# ruff: noqa: ARG001 - numba and LLVM prescribe what these functions take
"""Vectors of float32 as values in compiled code: one arithmetic instruction for `WIDTH` examples.

A loop over examples that numba compiles is vectorised or not as LLVM sees fit, and its sums are
kept in memory between two turns. A value of this type stays in registers, whatever the loops around
it, and every operation rounds as IEEE 754 says and in the order that is written here, so that the
bytes of a run do not depend on the width of the machine's registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

#: Floats in a vector: four registers of AVX-512, so that loads of weights and loops are shared.
WIDTH = 64

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_ALIGNMENT = 4  # of the floats in memory that any array promises
_FLOATS = types.Array(types.float32, 1, "C")


def _operation(function: Callable[..., Any]) -> Any:
    """Make an operation of compiled code; the first argument is numba's and not the caller's."""
    return intrinsic(function)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


VECTOR = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return a vector of equal elements."""
    empty = ir.Constant(ir.VectorType(value.type, WIDTH), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_INDEX, 0))
    return _shuffled(builder, first, empty, [0] * WIDTH)


def _shuffled(builder: Any, x: ir.Value, y: ir.Value, numbers: Iterable[int]) -> ir.Value:
    """Return the elements of x and y, taken as one, with these numbers."""
    picked = list(numbers)
    mask = ir.Constant(ir.VectorType(_INDEX, len(picked)), picked)
    return builder.shuffle_vector(x, y, mask)


def _call(builder: ir.IRBuilder, name: str, args: Sequence[ir.Value]) -> ir.Value:
    """Apply one of LLVM's own functions to the elements of vectors of one type."""
    kind = args[0].type
    function: Any = cgutils.get_or_insert_function  # without types
    name = f"llvm.{name}.v{kind.count}f32"
    return builder.call(
        function(builder.module, ir.FunctionType(kind, [kind] * len(args)), name), args
    )


def _pointer(context: Any, builder: Any, array: Any, index: Any, kind: ir.Type) -> ir.Value:
    """Return where an array's elements from ``index`` on are; a negative one does not wrap."""
    data = context.make_array(_FLOATS)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _of_floats(array: Any, signature: Any, generate: Any) -> Any:
    """Return what numba wants of an operation on an array; nothing if it is not of float32."""
    return (signature, generate) if array == _FLOATS else None


@_operation
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the vector of ``array[index : index + WIDTH]``, a contiguous float32 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        array, index = args
        return builder.load(_pointer(context, builder, array, index, _VECTOR), align=_ALIGNMENT)

    return _of_floats(array, VECTOR(_FLOATS, types.intp), generate)


@_operation
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to ``array[index : index + WIDTH]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        array, index, vector = args
        place = _pointer(context, builder, array, index, _VECTOR)
        builder.store(vector, place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return _of_floats(array, types.none(_FLOATS, types.intp, VECTOR), generate)


@_operation
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """Return a vector of ``array[index]``, repeated."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        array, index = args
        return _splat(builder, builder.load(_pointer(context, builder, array, index, _FLOAT)))

    return _of_floats(array, VECTOR(_FLOATS, types.intp), generate)


@_operation
def splat(typing: Any, value: Any) -> Any:
    """Return a vector of equal elements."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return _splat(builder, args[0])

    return VECTOR(types.float32), generate


def _elementwise(build: Callable[..., ir.Value], n_args: int) -> Any:
    """Return an operation on ``n_args`` vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return build(builder, *args)

    def one(typing: Any, x: Any) -> Any:
        return VECTOR(VECTOR), generate

    def two(typing: Any, x: Any, y: Any) -> Any:
        return VECTOR(VECTOR, VECTOR), generate

    def three(typing: Any, x: Any, y: Any, z: Any) -> Any:
        return VECTOR(VECTOR, VECTOR, VECTOR), generate

    return _operation((one, two, three)[n_args - 1])


def _called(name: str) -> Callable[..., ir.Value]:
    """Return what calls an operation of LLVM on all elements."""

    def build(builder: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        return _call(builder, name, args)

    return build


def _where_positive(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
    return builder.select(builder.fcmp_ordered("<=", x, zero), zero, y)


#: x + y, x - y, x y, x / y, x y + z rounded once, the square root.
add = _elementwise(lambda builder, x, y: builder.fadd(x, y), 2)
sub = _elementwise(lambda builder, x, y: builder.fsub(x, y), 2)
mul = _elementwise(lambda builder, x, y: builder.fmul(x, y), 2)
div = _elementwise(lambda builder, x, y: builder.fdiv(x, y), 2)
fma = _elementwise(_called("fma"), 3)
sqrt = _elementwise(_called("sqrt"), 1)
#: y, but 0 where x <= 0, so that a NaN in x lets y through: ReLU's gradient, as PyTorch has it.
where_positive = _elementwise(_where_positive, 2)


@_operation
def first(typing: Any, vector: Any, count: Any) -> Any:
    """Return the first ``count`` elements of a vector, 0 after them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        numbers = ir.Constant(ir.VectorType(_INDEX, WIDTH), list(range(WIDTH)))
        limit = _splat(builder, builder.trunc(args[1], _INDEX))
        kept = builder.icmp_signed("<", numbers, limit)
        return builder.select(kept, args[0], ir.Constant(_VECTOR, [0.0] * WIDTH))

    return VECTOR(VECTOR, types.intp), generate


@_operation
def total(typing: Any, vector: Any) -> Any:
    """Return the sum of the elements, halves added until one is left."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        (value,) = args
        width = WIDTH
        while width > 1:
            width //= 2
            low = _shuffled(builder, value, value, range(width))
            high = _shuffled(builder, value, value, range(width, 2 * width))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(_INDEX, 0))

    return types.float32(VECTOR), generate


# Tiles: 4 x 4 sums of products, each kept as PART partial sums

#: Examples whose products a tile adds at a time; 16 registers of AVX-512 hold all its sums.
PART = 16
SIDE = 4
_PART = ir.VectorType(_FLOAT, PART)
_SUMS = ir.VectorType(_FLOAT, SIDE * SIDE * PART)
_INDICES = types.UniTuple(types.intp, SIDE)  # type: ignore[no-untyped-call]


class _Tile(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{SIDE}x{SIDE}x{PART}")


TILE = _Tile()


@register_model(_Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _SUMS)  # type: ignore[no-untyped-call]


def _joined(builder: Any, parts: list[ir.Value]) -> ir.Value:
    """Return one vector of a power of two of equally long ones."""
    while len(parts) > 1:
        parts = [
            _shuffled(builder, x, y, range(2 * x.type.count))
            for x, y in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


@_operation
def empty_tile(typing: Any) -> Any:
    """Return a tile of zeros."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return ir.Constant(_SUMS, None)

    return TILE(), generate


@_operation
def add_products(typing: Any, tile: Any, array: Any, rows: Any, columns: Any) -> Any:
    """Add to sum (r, c) the products of ``PART`` elements from ``rows[r]`` and ``columns[c]`` on.

    ``rows`` and ``columns`` are tuples of four indices into ``array``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        tile, array, rows, columns = args

        def parts(indices: ir.Value) -> list[ir.Value]:
            starts = (builder.extract_value(indices, i) for i in range(SIDE))
            places = [_pointer(context, builder, array, start, _PART) for start in starts]
            return [builder.load(place, align=_ALIGNMENT) for place in places]

        left = [part for part in parts(rows) for _ in range(SIDE)]
        right = parts(columns) * SIDE
        return _call(builder, "fma", [_joined(builder, left), _joined(builder, right), tile])

    return _of_floats(array, TILE(TILE, _FLOATS, _INDICES, _INDICES), generate)


@_operation
def store_sums(typing: Any, tile: Any, array: Any, index: Any) -> Any:
    """Write the 16 sums to ``array[index : index + 16]``, row by row."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        (sums, array, index), width = args, PART
        while width > 1:
            width //= 2
            starts = range(0, 2 * width * SIDE * SIDE, 2 * width)
            low = [start + i for start in starts for i in range(width)]
            sums = builder.fadd(
                _shuffled(builder, sums, sums, low),
                _shuffled(builder, sums, sums, [i + width for i in low]),
            )
        place = _pointer(context, builder, array, index, sums.type)
        builder.store(sums, place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return _of_floats(array, types.none(TILE, _FLOATS, types.intp), generate)
