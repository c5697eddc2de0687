"""Einstein summation: `einsum` and `einsum_path`, as products of matrices of two operands at a time.

An operand is an array with a letter for every axis. Repeated letters are diagonals, letters nobody else needs
are summed at once, and a pair of operands is one product: letters kept from both are its batch, those that
vanish its inner dimension. The axes under an ellipsis get digits for letters, counted from the last.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

from tarry.base.dtypes import is_inexact, promote
from tarry.base.shapes import Shape, size_of
from tarry.graph.array import array, wrap
from tarry.ops.arguments import arrays_of, wrong_type
from tarry.ops.arithmetic import multiply
from tarry.ops.elementwise import cast
from tarry.ops.layout import diagonal
from tarry.ops.products import matrix_product
from tarry.ops.reductions import sum
from tarry.ops.structure import broadcast, permute, reshaped
from tarry.runtime.devices import StreamLike, require_stream

Pair = tuple[int, ...]
# Up to so many operands every order is looked at; beyond, the cheapest next pair is taken.
MOST_EXHAUSTIVE = 5


class Term:
    """An operand's letters, one for every axis."""

    __slots__ = ("letters", "value")

    def __init__(self, value: array, letters: str) -> None:
        self.value = value
        self.letters = letters


# reading the subscripts


def _split(op: str, subscripts: object, count: int) -> tuple[list[str], str | None]:
    """The subscripts of the operands, and of the result if given."""
    if not isinstance(subscripts, str):
        raise wrong_type(op, "subscripts", "a string", subscripts)
    if count == 0:
        raise ValueError(f"[{op}] At least one operand is required.")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != count:
        raise ValueError(
            f"[{op}] The number of operands, {count}, does not match the number of subscripts, {len(inputs)}."
        )
    for text in (*inputs, right):
        for letter in text.replace("...", "", 1):
            if not (letter.isascii() and letter.isalpha()):
                raise ValueError(f"[{op}] Subscripts must be letters, but {subscripts!r} has {letter!r}.")
    return inputs, right if arrow else None


def _spelled(op: str, text: str, rank: int, number: int) -> str:
    """An operand's subscripts with digits for the axes under its ellipsis."""
    if "..." not in text:
        if len(text) != rank:
            raise ValueError(
                f"[{op}] {len(text)} subscripts for operand {number}, which has {rank} dimensions."
            )
        return text
    covered = rank - len(text) + 3
    if covered < 0:
        raise ValueError(
            f"[{op}] {len(text) - 3} subscripts for operand {number}, which has {rank} dimensions."
        )
    if covered > 10:
        raise ValueError(f"[{op}] An ellipsis can stand for at most 10 dimensions, not {covered}.")
    return text.replace("...", "".join([str(place) for place in reversed(range(covered))]))


def _result_letters(op: str, given: str | None, terms: Sequence[str]) -> str:
    everything = "".join(terms)
    hidden = "".join(sorted({letter for letter in everything if letter.isdigit()}, reverse=True))
    if given is None:
        alone = [letter for letter in set(everything) if everything.count(letter) == 1 and letter.isalpha()]
        return hidden + "".join(sorted(alone))
    letters = given.replace("...", hidden)
    if len(set(letters)) != len(letters):
        raise ValueError(f"[{op}] Repeated subscripts are not allowed in the result, but it is {given!r}.")
    for letter in letters:
        if letter not in everything:
            raise ValueError(f"[{op}] The result's subscript {letter!r} is in none of the operands.")
    return letters


def _sizes(op: str, terms: Sequence[str], shapes: Sequence[Shape]) -> dict[str, int]:
    """The extent of every letter; an extent of 1 goes with any other."""
    sizes: dict[str, int] = {}
    for letters, shape in zip(terms, shapes):
        own: dict[str, int] = {}
        for letter, extent in zip(letters, shape):
            if own.setdefault(letter, extent) != extent:
                raise ValueError(
                    f"[{op}] Subscript {letter!r} is repeated for the extents {own[letter]} and {extent}."
                )
        for letter, extent in own.items():
            known = sizes.get(letter, 1)
            if known != extent and 1 not in (known, extent):
                raise ValueError(
                    f"[{op}] Subscript {letter!r} stands for extents that differ: {known} and {extent}."
                )
            sizes[letter] = extent if known == 1 else known
    return sizes


# the order of the products


def _kept(letters: Iterable[str], needed: Iterable[str]) -> str:
    wanted = set(needed)
    return "".join(sorted({letter for letter in letters if letter in wanted}))


def _merge(terms: Sequence[str], pair: Pair, result: str) -> tuple[list[str], set[str]]:
    """The terms after a pair was contracted, the new one last, and the letters the product runs over."""
    rest = [letters for number, letters in enumerate(terms) if number not in pair]
    joined = {letter for number in pair for letter in terms[number]}
    return [*rest, _kept(joined, itertools.chain(result, *rest))], joined


def _cost(letters: Iterable[str], sizes: dict[str, int]) -> int:
    return size_of([sizes[letter] for letter in letters])


def _operations(letters: set[str], count: int, result: str, sizes: dict[str, int]) -> int:
    """The additions and multiplications of a product of `count` operands over all the letters at once."""
    return _cost(letters, sizes) * (max(1, count - 1) + (len(letters) > len(result)))


def _cheapest(terms: list[str], result: str, sizes: dict[str, int]) -> tuple[int, list[Pair]]:
    """The multiplications of the best order, and the order."""
    if len(terms) <= 2:
        return _cost(set("".join(terms)), sizes), [tuple(range(len(terms)))]
    best: tuple[int, list[Pair]] | None = None
    for pair in itertools.combinations(range(len(terms)), 2):
        rest, joined = _merge(terms, pair, result)
        cost, order = _cheapest(rest, result, sizes)
        cost += _cost(joined, sizes)
        if best is None or cost < best[0]:
            best = cost, [pair, *order]
    assert best is not None
    return best


@functools.lru_cache(1024)
def _path(names: tuple[str, ...], result: str, extents: tuple[tuple[str, int], ...]) -> list[Pair]:
    """The positions to contract, step by step; a letter's extent is given with it."""
    sizes = dict(extents)
    terms = list(names)
    path: list[Pair] = []
    while len(terms) > MOST_EXHAUSTIVE:
        pair = min(
            itertools.combinations(range(len(terms)), 2),
            key=lambda two: _cost(_merge(terms, two, result)[1], sizes),
        )
        path.append(pair)
        terms = _merge(terms, pair, result)[0]
    return path + _cheapest(terms, result, sizes)[1]


# one step


def _without_repeats(term: Term) -> Term:
    """The term with diagonals where a letter is repeated."""
    value, letters = term.value, term.letters
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            value = diagonal(value, 0, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    return Term(value, letters)


def _without_ones(term: Term, sizes: dict[str, int]) -> Term:
    """The term without axes of extent 1 that stand for longer ones: multiplying repeats it anyway."""
    pairs = [
        (letter, extent)
        for letter, extent in zip(term.letters, term.value.shape)
        if extent != 1 or sizes[letter] == 1
    ]
    shape = tuple([extent for _, extent in pairs])
    return Term(reshaped(term.value, shape), "".join([letter for letter, _ in pairs]))


def _summed(term: Term, needed: Iterable[str]) -> Term:
    """The term with the letters that nobody needs summed away."""
    wanted = set(needed)
    axes = [axis for axis, letter in enumerate(term.letters) if letter not in wanted]
    if not axes:
        return term
    kept = "".join([letter for letter in term.letters if letter in wanted])
    return Term(sum(term.value, axes), kept)


def _arranged(term: Term, order: str) -> array:
    return permute(term.value, tuple([term.letters.index(letter) for letter in order]))


def _extents(term: Term, letters: str) -> Shape:
    return tuple([term.value.shape[term.letters.index(letter)] for letter in letters])


def _contracted(left: Term, right: Term, needed: Iterable[str]) -> Term:
    """The product of two terms, less the letters that are not needed any more."""
    wanted = set(needed)
    left = _summed(left, wanted | set(right.letters))
    right = _summed(right, wanted | set(left.letters))
    shared = [letter for letter in left.letters if letter in right.letters]
    batch = "".join([letter for letter in shared if letter in wanted])
    inner = "".join([letter for letter in shared if letter not in wanted])
    rows = "".join([letter for letter in left.letters if letter not in shared])
    columns = "".join([letter for letter in right.letters if letter not in shared])
    letters = batch + rows + columns
    outer, tall, wide = _extents(left, batch), _extents(left, rows), _extents(right, columns)
    if not inner:
        first = reshaped(_arranged(left, batch + rows), (*outer, *tall, *[1] * len(wide)))
        second = reshaped(_arranged(right, batch + columns), (*outer, *[1] * len(tall), *wide))
        return Term(multiply(first, second), letters)
    dtype = promote(left.value.dtype, right.value.dtype)
    if not is_inexact(dtype):
        raise ValueError(
            f"[einsum] Only inexact types can be contracted, but {left.value.dtype.name} and "
            f"{right.value.dtype.name} meet in {dtype.name}."
        )
    left, right = Term(cast(left.value, dtype), left.letters), Term(cast(right.value, dtype), right.letters)
    if batch and not rows and not columns:
        # Many short dot products: one sum, fused with what is around it.
        product = multiply(_arranged(left, batch + inner), _arranged(right, batch + inner))
        return Term(sum(product, list(range(len(batch), product.ndim))), letters)
    depth = size_of(_extents(left, inner))
    first = reshaped(_arranged(left, batch + rows + inner), (*outer, size_of(tall), depth))
    second = reshaped(_arranged(right, batch + inner + columns), (*outer, depth, size_of(wide)))
    return Term(reshaped(matrix_product(first, second), (*outer, *tall, *wide)), letters)


# the public functions


def _prepared(op: str, subscripts: str, operands: Sequence[array]) -> tuple[list[str], str, dict[str, int]]:
    if not isinstance(subscripts, str):
        raise wrong_type(op, "subscripts", "a string", subscripts)
    shapes = [operand.shape for operand in arrays_of(op, operands)]
    inputs, given = _split(op, subscripts, len(operands))
    terms = [_spelled(op, text, len(shape), k) for k, (text, shape) in enumerate(zip(inputs, shapes))]
    return terms, _result_letters(op, given, terms), _sizes(op, terms, shapes)


def einsum(subscripts: str, *operands: array, stream: StreamLike = None) -> array:
    """The sum of products that the subscripts say, in Einstein's notation.

    Every axis of an operand has a letter; equal letters meet, and those not in the result are summed. Without
    "->" the result has the letters that occur once, in alphabetical order. "..." stands for leading axes that
    broadcast. The order of the products is the one with the fewest multiplications.

    Errors: ValueError for subscripts that do not fit, extents that differ, and contractions of integers.

    Example:
        >>> mx.einsum("ij,jk->ik", mx.ones((2, 3)), mx.ones((3, 4))).shape
        (2, 4)
    """
    if stream is not None:
        require_stream("einsum", stream)
    names, result, sizes = _prepared("einsum", subscripts, operands)
    path = _path(tuple(names), result, tuple(sizes.items()))
    terms = [
        _without_ones(_without_repeats(Term(value, letters)), sizes)
        for value, letters in zip(operands, names)
    ]
    for pair in path:
        chosen = [terms[number] for number in pair]
        terms = [term for number, term in enumerate(terms) if number not in pair]
        needed = set(result).union(*[term.letters for term in terms])
        if len(chosen) == 2:
            terms.append(_contracted(chosen[0], chosen[1], needed))
        else:
            terms.append(_summed(chosen[0], needed))
    found = terms[0]
    # Letters of operands that had extent 1 wherever they stood in the result came off: they are repeated.
    present = "".join([letter for letter in result if letter in found.letters])
    value = _arranged(found, present)
    aligned = tuple([sizes[letter] if letter in present else 1 for letter in result])
    value = broadcast(reshaped(value, aligned), tuple([sizes[letter] for letter in result]))
    return wrap(value._node) if any(value is operand for operand in operands) else value


def einsum_path(subscripts: str, *operands: array) -> tuple[list[Pair], str]:
    """The order in which `einsum` takes its operands, as positions in a list, and a description of the costs.

    The result of each step is appended to the list, without the operands it was made of.

    Example:
        >>> mx.einsum_path("ij,jk,kl->il", mx.ones((2, 9)), mx.ones((9, 9)), mx.ones((9, 2)))[0]
        [(0, 1), (0, 1)]
    """
    terms, result, sizes = _prepared("einsum_path", subscripts, operands)
    path = list(_path(tuple(terms), result, tuple(sizes.items())))
    count, most = 0, 0
    remaining = list(terms)
    for pair in path:
        remaining, joined = _merge(remaining, pair, result)
        most = max(most, len(joined))
        count += _operations(joined, len(pair), remaining[-1], sizes)
    letters = set("".join(terms))
    whole = _operations(letters, len(terms), result, sizes)
    text = (
        f"  Complete contraction:  {subscripts.replace(' ', '')}\n"
        f"         Naive scaling:  {len(letters)}\n"
        f"     Optimized scaling:  {most}\n"
        f"      Naive FLOP count:  {whole}\n"
        f"  Optimized FLOP count:  {count}\n"
    )
    return path, text
