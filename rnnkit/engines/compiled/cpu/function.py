"""The C++ function that runs one direction's time loop.

Every thread runs all steps for some rows, so that no step waits for another thread.
"""

import itertools
import re
from math import prod
from typing import NamedTuple

from torch import fx

from rnnkit.engines.compiled.cpu.expressions import memory_type, register_type
from rnnkit.engines.compiled.cpu.index import Index, flat
from rnnkit.engines.compiled.cpu.nests import Nest, Task
from rnnkit.engines.compiled.cpu.schedule import Schedule
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.trace.graphs import arguments, features, opname, value


class Total(NamedTuple):
    """A reduction in C++: code before, in and after the reduced loops, and its variable if it is a single sum."""

    begin: str
    step: str
    end: str
    variable: str


def by_level(lines: list[str], loops: int) -> list[list[str]]:
    """Sort statements by the number of loops around them, moving those that do not need an inner loop out of it.

    A compiler could not do this, since it would have to exclude aliasing.

    >>> by_level(["const float v0 = a[i0];", "const float v1 = v0 * b[i1];", "const float v2 = v0 * v0;"], 2)
    [[], ['const float v0 = a[i0];', 'const float v2 = v0 * v0;'], ['const float v1 = v0 * b[i1];']]
    """
    found: list[list[str]] = [[] for _ in range(loops + 1)]
    level: dict[str, int] = {}
    for line in lines:
        assigned, *names = re.findall(r"\b[iv]\d+\b", line)
        if not line.startswith("const "):
            found[loops].append(line)
            continue
        level[assigned] = max((int(name[1:]) + 1 if name[0] == "i" else level[name] for name in names), default=0)
        found[level[assigned]].append(line)
    return found


class Writer:
    """Generates the function of a schedule; after `text()`, `arguments` are its pointers in order.

    With `backward`, time runs backward. Weights are packed first, once for all steps.
    """

    def __init__(self, name: str, schedule: Schedule, *, backward: bool = False) -> None:
        self.name = name
        self.schedule = schedule
        self.backward = backward
        self.names: dict[Argument, str] = {}
        self.locals: dict[fx.Node, str] = {}
        self.rows: dict[str, str] = {}
        self.outputs = {place for places in schedule.written.values() for place in places}

    @property
    def arguments(self) -> list[Argument]:
        """The pointers."""
        return list(self.names)

    def text(self) -> str:
        """Generate the function `name`."""
        body = self.body()
        packing = [self._packing(node, number) for number, node in enumerate(self.schedule.products)]
        buffers = [
            f"Scratch<{register_type(value(node).dtype)}> buffer_{name}((hi - lo) * {self._width(node)}); "
            f"{register_type(value(node).dtype)}* const {name} = buffer_{name}.data;"
            for node, name in self.locals.items()
        ]
        t = "reverse ? n : T - 1 - n" if self.backward else "reverse ? T - 1 - n : n"
        return "\n".join(
            [
                f'extern "C" void {self.name}(long T, long B, long reverse, long threads, void* const* pointers, '
                "const long* strides) {",
                *self.pointers(),
                *(buffer for buffer, _ in packing),
                "#pragma omp parallel num_threads(threads)",
                "{",
                "const long thread = omp_get_thread_num(), count = omp_get_num_threads();",
                *(call for _, call in packing),
                "#pragma omp barrier",
                "const long lo = B * thread / count, hi = B * (thread + 1) / count;",
                *buffers,
                "for (long n = 0; n < T; ++n) {",
                f"const long t = {t}, before = t + reverse, after = t + 1 - reverse, now = n & 1, next = now ^ 1;",
                *body,
                "}",
                "}",
                "}",
                "",
            ]
        )

    def body(self) -> list[str]:
        """Generate the loops and products of one step for the rows from `lo` to `hi`."""
        body: list[str] = []
        for number, nests in enumerate(self.schedule.stages):
            self.rows = {}
            lines = [line for nest in nests for line in self._nest(nest)]
            if lines:
                body += ["for (long b = lo; b < hi; ++b) {", *self.rows.values(), *lines, "}"]
            body += [self._product(node) for node in self.schedule.products if self.schedule.stage[node] == number]
        return body

    def pointers(self) -> list[str]:
        """Generate the typed pointers, after everything else has been named."""
        return [
            f"{self._memory(argument)}* const {name} = ({self._memory(argument)}*)pointers[{n}];"
            for n, (argument, name) in enumerate(self.names.items())
        ]

    # loops

    def _nest(self, nest: Nest) -> list[str]:
        """Generate the C++ of nested loops."""
        reader = self.schedule.reader(nest, self._load)
        writes: list[str] = []
        sums: list[Total] = []
        for task in nest.tasks:
            result = self.schedule.read(reader, task)
            if self.schedule.is_reduction(task):
                sums.append(self._reduction(task, result, len(sums)))
                reader.lines.append(sums[-1].step)
                continue
            writes += self._writes(task, result)
        loops = [f"for (int i{n} = 0; i{n} < {size}; ++i{n}) {{" for n, size in enumerate(nest.sizes)]
        outer, inner = nest.around
        begin, end = [total.begin for total in sums], [total.end for total in sums]
        plain = [*loops[:-1], *(f"#pragma omp simd\n{loop}" for loop in loops[-1:])]
        if inner < len(loops):
            end = [*plain[inner:], *end, *["}"] * (len(loops) - inner)]
        elif names := [total.variable for total in sums if total.variable]:
            plain[-1:] = [f"#pragma omp simd reduction(+ : {', '.join(names)})\n{loop}" for loop in loops[-1:]]
        levels = by_level(reader.lines, len(loops))
        opened = [[loop, *lines] for loop, lines in zip(plain, levels[1:], strict=True)]
        around = [*levels[0], *itertools.chain(*opened[:outer])]
        body = [*itertools.chain(*opened[outer:]), *writes, *["}"] * (len(loops) - outer)]
        return ["{", *around, *begin, *body, *end, *["}"] * outer, "}"]

    def _reduction(self, task: Task, result: str, number: int) -> Total:
        """Generate a sum, maximum or minimum: one, or one for each iteration of the inner loops."""
        node, name = task.node, f"total{number}"
        kind, operation = register_type(value(node).dtype), opname(node)
        count = prod(size for size, reduced in zip(task.sizes, task.reduced, strict=True) if reduced)
        inner = [
            (f"i{n}", size) for n, size in enumerate(task.sizes) if n >= Nest(task.sizes, task.reduced, []).around[1]
        ]
        beside = prod(size for _, size in inner)
        at = flat([Index({variable: 1}) for variable, _ in inner], [size for _, size in inner])
        total = f"{name}[{at}]" if inner else name
        start, step, found = {
            "amax": ("-INFINITY", f"{total} = larger_({total}, {result});", total),
            "amin": ("INFINITY", f"{total} = smaller_({total}, {result});", total),
            "mean": ("0", f"{total} += {result};", f"{total} / {count}"),
        }.get(operation, ("0", f"{total} += {result};", total))
        places = dict(zip(task.ranges, task.reduced, strict=True))
        sizes = [size for size, reduced in zip(task.sizes, task.reduced, strict=True) if not reduced]
        place = flat([Index({variable: 1}) for variable, reduced in places.items() if not reduced], sizes)
        end = " ".join(self._stores(node, place, self._rounded(node, f"({kind})({found})")))
        if inner:
            begin = f"{kind} {name}[{beside}]; for (int j = 0; j < {beside}; ++j) {name}[j] = {start};"
            return Total(begin, step, end, "")
        return Total(f"{kind} {name} = {start};", step, end, "" if operation in ("amax", "amin") else name)

    def _writes(self, task: Task, result: str) -> list[str]:
        index = task.index()
        if task.source is not task.node:
            (axis,) = task.axes
            index[axis] = index[axis] + task.offset
        return self._stores(task.node, flat(index, features(task.node)), result)

    def _stores(self, node: fx.Node, place: Index, result: str) -> list[str]:
        lines = []
        if self.schedule.has_scratch(node) or (node not in self.schedule.products and node in self.schedule.copied):
            lines.append(f"{self._local_row(node)}[{place}] = {result};")
        for home in self.schedule.written.get(node, []):
            adds = home.argument.kind in ("sum", "row sum")
            lines.append(f"{self._row(home)}[{place}] {'+=' if adds else '='} {result};")
        return lines

    def _load(self, node: fx.Node, place: Index) -> str:
        """Load one element from memory."""
        schedule = self.schedule
        home = schedule.known.get(node)
        if home is None and (node in schedule.products or schedule.has_scratch(node)):
            element = f"{self._local_row(node)}[{place}]"
            # products are stored in full precision
            return self._rounded(node, element) if node in schedule.products else element
        home = home or schedule.written_home(node)
        assert home is not None
        return f"{self._row(home)}[{place}]"

    def _rounded(self, node: fx.Node, expression: str) -> str:
        return f"to_bf16({expression})" if memory_type(value(node).dtype) == "bf16" else expression

    # products

    def _product(self, node: fx.Node) -> str:
        """Generate the call of one product for the thread's rows."""
        lanes, weights = self.schedule.products[node]
        S, groups, N, K = self._sizes(node)
        a, lda = self._factor(lanes)
        c, ldc, packed = self._local(node), self._width(node), f"packed_{weights.name}_{node.name}"
        call = f"product<{S}, {N}, {K}>(hi - lo, {a} + g * {K}, {lda}, {packed} + g * packed_size<{S}, {N}, {K}>(), "
        return f"for (long g = 0; g < {groups}; ++g) {call}{c} + g * {N}, {ldc});"

    def _factor(self, lanes: fx.Node) -> tuple[str, str]:
        """Return the pointer to the first row of a product's factor, and the distance of its rows."""
        home = self.schedule.in_place(lanes)
        if not isinstance(home, Place):
            return self._local(lanes), self._width(lanes)
        width = prod(features(lanes))
        return self._first_row(home, width, "lo"), str(width)

    def _sizes(self, node: fx.Node) -> tuple[str, int, int, int]:
        """Return type, number of batched products, columns, and length of the sums."""
        _, weights = self.schedule.products[node]
        _, right = arguments(node)
        shape = value(weights).shape
        K, N = shape[-2:] if weights is right else (shape[-1], shape[-2])
        return register_type(value(node).dtype), (shape[0] if len(shape) == 3 else 1), N, K

    def _packing(self, node: fx.Node, number: int) -> tuple[str, str]:
        """Declare the buffer of a product's packed weights, and generate the call that packs them; strides are
        triples.
        """
        _, weights = self.schedule.products[node]
        S, groups, N, K = self._sizes(node)
        source = self._name(Argument("weight", weights))
        name, at = f"packed_{weights.name}_{node.name}", 3 * number
        k, n = (1, 2) if weights is arguments(node)[1] else (2, 1)
        size = f"packed_size<{S}, {N}, {K}>()"
        return (
            f"Scratch<{S}> buffer_{name}({groups} * {size}); {S}* const {name} = buffer_{name}.data;",
            f"for (long g = 0; g < {groups}; ++g) pack<{S}, {N}, {K}>({source} + g * strides[{at}], strides[{at + k}], "
            f"strides[{at + n}], {name} + g * {size}, thread, count);",
        )

    # names and places

    def _name(self, argument: Argument) -> str:
        return self.names.setdefault(argument, f"p{len(self.names)}")

    def _first_row(self, place: Place, width: int, lane: str) -> str:
        """Return the pointer to the features of a row."""
        base, kind = self._name(place.argument), place.argument.kind
        if kind == "shared":
            return base
        if kind == "sum":
            return f"{base} + thread * {width}"
        at = f"({place.at} * B + {lane})" if place.at else lane
        return f"{base} + {at} * {width}"

    def _row(self, place: Place) -> str:
        """Return the name of the pointer to the features of the current row."""
        name = f"{self._name(place.argument)}_{place.at or 'row'}"
        self.rows[name] = (
            f"{'' if place in self.outputs else 'const '}{self._memory(place.argument)}* const {name} = "
            f"{self._first_row(place, prod(features(place.argument.node)), 'b')};"
        )
        return name

    def _memory(self, argument: Argument) -> str:
        kind = memory_type(value(argument.node).dtype)
        return "float" if kind == "bf16" and argument.kind in ("weight", "sum", "row sum") else kind

    def _local(self, node: fx.Node) -> str:
        return self.locals.setdefault(node, f"s{len(self.locals)}")

    def _local_row(self, node: fx.Node) -> str:
        name = f"{self._local(node)}_row"
        kind = register_type(value(node).dtype)
        self.rows[name] = f"{kind}* const {name} = {self._local(node)} + (b - lo) * {self._width(node)};"
        return name

    def _width(self, node: fx.Node) -> str:
        if node in self.schedule.products:
            S, groups, N, _ = self._sizes(node)
            return f"({(groups - 1) * N} + padded<{S}>({N}))"
        return str(prod(features(node)))
