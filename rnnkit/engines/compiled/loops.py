"""From one direction's graph to the C++ function that runs its time loop.

Every thread takes some lanes through all the steps, so that no step waits for another thread. Within a step, products with
packed weights alternate with loops over the lanes' features. A value is written down only where it must be: for a product,
after a reduction, for what comes after the loop; all else is computed where it is read, and values of one shape share a
loop.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import fx

from rnnkit.engines.compiled.expressions import EXPENSIVE, MEMORY, register_type
from rnnkit.engines.compiled.graphs import (
    PRODUCTS,
    REDUCTIONS,
    Untraceable,
    ancestors,
    arguments,
    aten,
    batch_axis,
    features,
    is_constant,
    value,
)
from rnnkit.engines.compiled.index import Index, Split, flat, unflat
from rnnkit.engines.compiled.reading import Reader


@dataclass(frozen=True)
class Argument:
    """A pointer that the generated function takes; its kind says where step t, lane b and feature f stand.

    * "step": [T, B, F]; "lane": [B, F]; "shared": [F].
    * "history": [T + 1, B, F], a state before and after every step; "turn": [2, B, F], a carry in alternation.
    * "sum": [threads, F] and "lane sum": [B, F], added to in every step.
    * "weight": the second factor of a product, taken with its strides.
    """

    kind: str
    node: fx.Node


@dataclass(frozen=True)
class Place:
    """Where a value stands in memory: an argument, at the step that the C++ expression `at` names, or scratch."""

    argument: Argument
    at: str = ""


FLATTENING = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default, aten.unsqueeze.default,
    aten.squeeze.dims, aten.squeeze.dim,
}  # fmt: skip


@dataclass
class Task:
    """One value to compute for every lane and to write down; a reduction sums up over its `axes`, a part of a
    concatenation lies `offset` further along them."""

    node: fx.Node
    source: fx.Node
    axes: tuple[int, ...] = ()
    offset: int = 0
    sizes: list[int] = field(default_factory=list)
    reduced: list[bool] = field(default_factory=list)
    stage: int = 0
    position: int = 0

    @property
    def ranges(self) -> dict[str, int]:
        """The loop variables."""
        return {f"i{n}": size for n, size in enumerate(self.sizes)}

    def index(self) -> list[Index]:
        """A lane's element of the source, in the loop variables."""
        shape = features(self.source)
        order = sorted(range(len(shape)), key=lambda axis: any(self.reduced) and axis in self.axes)
        place = flat([Index({name: 1}) for name in self.ranges], self.sizes)
        moved = unflat(place, [shape[axis] for axis in order], self.ranges)
        return [moved[order.index(axis)] for axis in range(len(shape))]


@dataclass
class Nest:
    """Nested loops over features that several tasks share."""

    sizes: list[int]
    reduced: list[bool]
    tasks: list[Task]


class Program:
    """One direction's time loop.

    * `known`: what may be read, and where it stands; `written`: what to compute, and where to put it.
    * after `text()`, `arguments` are the function's pointers in order.
    """

    def __init__(
        self, name: str, backward: bool, known: dict[fx.Node, Place], written: list[tuple[fx.Node, Place]]
    ) -> None:
        self.name = name
        self.backward = backward
        self.known = known
        self.written: dict[fx.Node, list[Place]] = {}
        for node, place in written:
            self.written.setdefault(node, []).append(place)
        self.scratch: set[fx.Node] = set()
        self.arguments: list[Argument] = []
        needed = ancestors(self.written, lambda node: node in known)
        graph = next(iter(self.written)).graph
        calls = [node for node in graph.nodes if node in needed and node.op == "call_function"]
        self.nodes = [node for node in calls if node not in known and not is_constant(node)]
        self.products = {node: self._factors(node) for node in self.nodes if node.target in PRODUCTS}

    def text(self) -> str:
        """The C++ function."""
        self.names: dict[Argument, str] = {}
        self.locals: dict[fx.Node, str] = {}
        self.rows: dict[str, str] = {}
        self.outputs = {place for places in self.written.values() for place in places}
        while True:
            stages = self._schedule()
            repeated = self._repeated(stages)
            if not repeated:
                return self._function(stages)
            self.scratch |= repeated

    # What is written down, and in which order.

    def _schedule(self) -> list[list[Nest]]:
        """The loops of each stage; the products of a stage follow its loops."""
        self.ready: dict[fx.Node, int] = {}
        self.tasks: dict[fx.Node, list[Task]] = {}
        self.stage: dict[fx.Node, int] = {}
        for node in self.nodes:
            stage = max((self.ready.get(argument, 0) for argument in arguments(node)), default=0)
            self.ready[node] = stage + (node in self.products)
            self.stage[node] = stage
        stages: list[list[Nest]] = [[] for _ in range(1 + max(self.ready.values(), default=0))]
        inputs = [node for node in self.written if node not in self.nodes]
        copied = [lanes for lanes, _ in self.products.values() if self._in_place(lanes) is None]
        for node in dict.fromkeys([*self.nodes, *copied, *inputs]):
            if node in self.written or node in copied or self._has_scratch(node):
                self.tasks[node] = self._tasks_for(node)
                for task in self.tasks[node]:
                    self._place(task, stages)
        return stages

    def _has_scratch(self, node: fx.Node) -> bool:
        whole = node.target in REDUCTIONS or node.target is aten.cat.default
        return node in self.nodes and (node in self.scratch or whole) and self._written_home(node) is None

    def _written_home(self, node: fx.Node) -> Place | None:
        """An argument to read a value from that the loop itself has written."""
        places = self.written.get(node, [])
        return next((place for place in places if place.argument.kind in ("step", "history", "turn")), None)

    def _in_place(self, lanes: fx.Node) -> Place | str | None:
        """Where a product finds its factor: an argument, or the scratch that holds it anyway; None for nowhere."""
        if MEMORY[value(lanes).dtype] == "bf16":
            return "scratch" if lanes in self.products or self._has_scratch(lanes) else None
        if lanes in self.known and self.known[lanes].argument.kind != "shared":
            return self.known[lanes]
        if lanes in self.products or self._has_scratch(lanes):
            return "scratch"
        return self._written_home(lanes)

    def _tasks_for(self, node: fx.Node) -> list[Task]:
        if node in self.known or node not in self.nodes or node in self.products:
            return [Task(node, node)]
        if node.target is aten.cat.default:
            parts, axis = node.args[0], (node.args[1] if len(node.args) > 1 else 0)
            axis, batch = axis % value(node).dim(), batch_axis(node)  # type: ignore[operator]
            if axis == batch:
                raise Untraceable("it concatenates batches")
            tasks, begin = [], 0
            for part in parts:  # type: ignore[union-attr]
                tasks.append(Task(node, part, (axis - (batch is not None and batch < axis),), begin))  # type: ignore
                begin += value(part).shape[axis]  # type: ignore[arg-type]
            return tasks
        if node.target in REDUCTIONS:
            source = arguments(node)[0]
            given: Any = node.args[1] if len(node.args) > 1 and node.args[1] else range(value(source).dim())
            batch = batch_axis(source)
            axes = {axis % value(source).dim() for axis in given}
            return [Task(node, source, tuple(axis - (batch is not None and batch < axis) for axis in axes))]
        return [Task(node, node)]

    def _is_reduction(self, task: Task) -> bool:
        return task.source is not task.node and task.node.target in REDUCTIONS

    def _place(self, task: Task, stages: list[list[Nest]]) -> None:
        """Put a task into the first loops of its shape that come after all that it reads."""
        shape = features(task.source)
        reducing = self._is_reduction(task)
        order = sorted(range(len(shape)), key=lambda axis: reducing and axis in task.axes)
        loops = [(axis, shape[axis]) for axis in order if shape[axis] != 1]
        while True:
            task.sizes = [size for _, size in loops]
            task.reduced = [reducing and axis in task.axes for axis, _ in loops]
            try:
                reads = self._reads(task)
                break
            except Split as split:
                n = int(split.variable[1:])
                axis, size = loops[n]
                if size % split.inner or size == split.inner:
                    raise Untraceable("it reshapes features in a way the compiler does not know") from split
                loops[n : n + 1] = [(axis, size // split.inner), (axis, split.inner)]
        task.stage = max([self.ready.get(node, 0) for node, _ in reads] + [self.ready.get(task.source, 0)])
        earliest = 0
        for node, place in reads:
            for other in self.tasks.get(node, []):
                if other is not task and other.stage == task.stage:
                    alike = other.sizes == task.sizes and other.source is node and not any(other.reduced)
                    same = alike and place == flat(other.index(), features(other.source))
                    earliest = max(earliest, other.position + (not same))
        for task.position, nest in enumerate(stages[task.stage]):
            same = nest.reduced == task.reduced or not any(nest.reduced) or not any(task.reduced)
            if task.position >= earliest and nest.sizes == task.sizes and same:
                nest.reduced = nest.reduced if any(nest.reduced) else task.reduced
                nest.tasks.append(task)
                return
        task.position = len(stages[task.stage])
        stages[task.stage].append(Nest(task.sizes, task.reduced, [task]))

    def _reads(self, task: Task) -> list[tuple[fx.Node, Index]]:
        """What a task reads of the values that this step writes down."""
        found: list[tuple[fx.Node, Index]] = []

        def load(node: fx.Node, place: Index) -> str | None:
            written = node in self.products or (node is not task.node and node in self.tasks and self._is_home(node))
            if written:
                found.append((node, place))
            return "0" if written or node in self.known else None

        self._read(Reader(task.ranges, load), task)
        return found

    def _is_home(self, node: fx.Node) -> bool:
        return self._has_scratch(node) or self._written_home(node) is not None

    def _read(self, reader: Reader, task: Task) -> str:
        return reader.read(task.source, reader.at(task.source, task.index()))

    def _repeated(self, stages: list[list[Nest]]) -> set[fx.Node]:
        """Costly values that more than one loop computes, or one loop at several places."""
        counts: dict[fx.Node, int] = {}
        for nests in stages:
            for nest in nests:
                reader = self._reader(nest)
                for task in nest.tasks:
                    self._read(reader, task)
                for node in reader.computed:
                    if node.target._opname in EXPENSIVE and not self._is_home(node):  # type: ignore[union-attr]
                        counts[node] = counts.get(node, 0) + 1
        return {node for node, count in counts.items() if count > 1}

    def _reader(self, nest: Nest) -> Reader:
        """A reader for the body of some loops, when all that comes before them is done."""
        first = nest.tasks[0]

        def load(node: fx.Node, place: Index) -> str | None:
            if node in self.known:
                return f"{self._row(self.known[node])}[{place}]"
            if node in self.products:
                return self._rounded(node, f"{self._local_row(node)}[{place}]")
            if node not in self.tasks or not self._is_home(node):
                return None
            done = all((t.stage, t.position) < (first.stage, first.position) for t in self.tasks[node])
            if not done:
                return None
            if self._has_scratch(node):
                return f"{self._local_row(node)}[{place}]"
            home = self._written_home(node)
            assert home is not None
            return f"{self._row(home)}[{place}]"

        return Reader(first.ranges, load)

    def _rounded(self, node: fx.Node, expression: str) -> str:
        return f"to_bf16({expression})" if MEMORY[value(node).dtype] == "bf16" else expression

    # Products.

    def _factors(self, product: fx.Node) -> tuple[fx.Node, fx.Node]:
        """The factor that belongs to the lanes, and the weights."""
        left, right = arguments(product)
        if batch_axis(left) is not None and batch_axis(right) is not None:
            raise Untraceable("it multiplies two matrices that both belong to a lane, which the compiler does not know")
        lanes, weights = (left, right) if batch_axis(right) is None else (right, left)
        if weights not in self.known:
            raise Untraceable("it multiplies by a matrix that is made anew in every step")
        while lanes not in self.known and lanes.target in FLATTENING and self._keeps_order(lanes):
            lanes = arguments(lanes)[0]
        return lanes, weights

    def _keeps_order(self, view: fx.Node) -> bool:
        if view.target is not aten.permute.default:
            return True
        source = arguments(view)[0]
        batch, shape = batch_axis(source), value(source).shape
        order: list[int] = [axis for axis in view.args[1] if axis != batch and shape[axis] != 1]  # type: ignore
        return order == sorted(order)

    def _product(self, node: fx.Node) -> str:
        """The call of one product for the thread's lanes."""
        lanes, weights = self.products[node]
        S, groups, N, K = self._sizes(node)
        home = self._in_place(lanes)
        if isinstance(home, Place):
            width = prod(features(lanes))
            a, lda = self._first_row(home, width, "lo"), str(width)
        else:
            a, lda = self._local(lanes), self._width(lanes)
        c, ldc, packed = self._local(node), self._width(node), f"packed_{weights.name}_{node.name}"
        call = f"product<{S}, {N}, {K}>(hi - lo, {a} + g * {K}, {lda}, {packed} + g * packed_size<{S}, {N}, {K}>(), "
        return f"for (long g = 0; g < {groups}; ++g) {call}{c} + g * {N}, {ldc});"

    def _sizes(self, node: fx.Node) -> tuple[str, int, int, int]:
        """Type, number of products side by side, columns, and length of the sums."""
        _, weights = self.products[node]
        left, right = arguments(node)
        shape = value(weights).shape
        K, N = shape[-2:] if weights is right else (shape[-1], shape[-2])
        return register_type(value(node).dtype), (shape[0] if len(shape) == 3 else 1), N, K

    def _packing(self, node: fx.Node, number: int) -> tuple[str, str]:
        """Where a product's packed weights live, and the call that packs them; strides come in threes."""
        _, weights = self.products[node]
        S, groups, N, K = self._sizes(node)
        source = self._name(Argument("weight", weights))
        name, at = f"packed_{weights.name}_{node.name}", 3 * number
        k, n = (1, 2) if weights is arguments(node)[1] else (2, 1)
        size = f"packed_size<{S}, {N}, {K}>()"
        return (
            f"Scratch<{S}> room_{name}({groups} * {size}); {S}* const {name} = room_{name}.data;",
            f"for (long g = 0; g < {groups}; ++g) pack<{S}, {N}, {K}>({source} + g * strides[{at}], strides[{at + k}], "
            f"strides[{at + n}], {name} + g * {size}, thread, count);",
        )

    # Names and places.

    def _name(self, argument: Argument) -> str:
        return self.names.setdefault(argument, f"p{len(self.names)}")

    def _first_row(self, place: Place, width: int, lane: str) -> str:
        """The pointer to a lane's features."""
        base, kind = self._name(place.argument), place.argument.kind
        if kind == "shared":
            return base
        if kind == "sum":
            return f"{base} + thread * {width}"
        at = f"({place.at} * B + {lane})" if place.at else lane
        return f"{base} + {at} * {width}"

    def _row(self, place: Place) -> str:
        """The name of the pointer to the present lane's features."""
        name = f"{self._name(place.argument)}_{place.at or 'row'}"
        self.rows[name] = (
            f"{'' if place in self.outputs else 'const '}{self._memory(place.argument)}* const {name} = "
            f"{self._first_row(place, prod(features(place.argument.node)), 'b')};"
        )
        return name

    def _memory(self, argument: Argument) -> str:
        kind = MEMORY[value(argument.node).dtype]
        return "float" if kind == "bf16" and argument.kind in ("weight", "sum") else kind

    def _local(self, node: fx.Node) -> str:
        return self.locals.setdefault(node, f"s{len(self.locals)}")

    def _local_row(self, node: fx.Node) -> str:
        name = f"{self._local(node)}_row"
        kind = register_type(value(node).dtype)
        self.rows[name] = f"{kind}* const {name} = {self._local(node)} + (b - lo) * {self._width(node)};"
        return name

    def _width(self, node: fx.Node) -> str:
        if node in self.products:
            S, groups, N, _ = self._sizes(node)
            return f"({(groups - 1) * N} + padded<{S}>({N}))"
        return str(prod(features(node)))

    # The text.

    def _nest(self, nest: Nest) -> list[str]:
        """The C++ of some loops."""
        reader = self._reader(nest)
        writes: list[str] = []
        sums: list[tuple[str, str, str, str]] = []
        for task in nest.tasks:
            result = self._read(reader, task)
            if self._is_reduction(task):
                sums.append(self._reduction(task, result, len(sums)))
                reader.lines.append(sums[-1][2])
                continue
            writes += self._writes(task, result)
        kept = len(nest.sizes) - sum(nest.reduced)
        opening, closing = [], []
        for n, size in enumerate(nest.sizes):
            if n == kept:
                opening += [line for line, *_ in sums]
            if n == len(nest.sizes) - 1:
                names = [name for *_, name in sums if name] if any(nest.reduced) else []
                opening.append("#pragma omp simd" + (f" reduction(+ : {', '.join(names)})" if names else ""))
            opening.append(f"for (int i{n} = 0; i{n} < {size}; ++i{n}) {{")
        if kept == len(nest.sizes):
            opening += [line for line, *_ in sums]
        for n in reversed(range(len(nest.sizes))):
            closing.append("}")
            if n == kept:
                closing += [line for _, line, *_ in sums]
        if kept == len(nest.sizes):
            closing = [line for _, line, *_ in sums] + closing
        return ["{", *opening, *reader.lines, *writes, *closing, "}"]

    def _reduction(self, task: Task, result: str, number: int) -> tuple[str, str, str, str]:
        """Before the reduced loops, after them, within them, and the variable where it is a sum."""
        node, name = task.node, f"total{number}"
        kind, operation = register_type(value(node).dtype), node.target._opname  # type: ignore[union-attr]
        count = prod(size for size, reduced in zip(task.sizes, task.reduced, strict=True) if reduced)
        begin, step, end = {
            "sum": ("0", f"{name} += {result};", name),
            "mean": ("0", f"{name} += {result};", f"{name} / {count}"),
            "amax": ("-INFINITY", f"{name} = larger_({name}, {result});", name),
            "amin": ("INFINITY", f"{name} = smaller_({name}, {result});", name),
        }[operation]
        places = dict(zip(task.ranges, task.reduced, strict=True))
        sizes = [size for size, reduced in zip(task.sizes, task.reduced, strict=True) if not reduced]
        place = flat([Index({variable: 1}) for variable, reduced in places.items() if not reduced], sizes)
        writes = " ".join(self._stores(node, place, self._rounded(node, f"({kind})({end})")))
        return f"{kind} {name} = {begin};", writes, step, name if operation in ("sum", "mean") else ""

    def _writes(self, task: Task, result: str) -> list[str]:
        index = task.index()
        if task.source is not task.node:
            (axis,) = task.axes
            index[axis] = index[axis] + task.offset
        return self._stores(task.node, flat(index, features(task.node)), result)

    def _stores(self, node: fx.Node, place: Index, result: str) -> list[str]:
        lines = []
        if self._has_scratch(node) or (node not in self.products and node in self.copied):
            lines.append(f"{self._local_row(node)}[{place}] = {result};")
        for home in self.written.get(node, []):
            adds = home.argument.kind in ("sum", "lane sum")
            lines.append(f"{self._row(home)}[{place}] {'+=' if adds else '='} {result};")
        return lines

    def _function(self, stages: list[list[Nest]]) -> str:
        self.names, self.locals = {}, {}
        self.copied = {lanes for lanes, _ in self.products.values() if self._in_place(lanes) is None}
        body: list[str] = []
        for number, nests in enumerate(stages):
            self.rows = {}
            lines = [line for nest in nests for line in self._nest(nest)]
            if lines:
                body += ["for (long b = lo; b < hi; ++b) {", *self.rows.values(), *lines, "}"]
            body += [self._product(node) for node in self.products if self.stage[node] == number]
        packing = [self._packing(node, number) for number, node in enumerate(self.products)]
        rooms = [
            f"Scratch<{register_type(value(node).dtype)}> room_{name}((hi - lo) * {self._width(node)}); "
            f"{register_type(value(node).dtype)}* const {name} = room_{name}.data;"
            for node, name in self.locals.items()
        ]
        self.arguments = list(self.names)
        pointers = [
            f"{self._memory(argument)}* const {name} = ({self._memory(argument)}*)pointers[{n}];"
            for n, (argument, name) in enumerate(self.names.items())
        ]
        t = "reverse ? n : T - 1 - n" if self.backward else "reverse ? T - 1 - n : n"
        return "\n".join(
            [
                f'extern "C" void {self.name}(long T, long B, long reverse, long threads, void* const* pointers, '
                "const long* strides) {",
                *pointers,
                *(room for room, _ in packing),
                "#pragma omp parallel num_threads(threads)",
                "{",
                "const long thread = omp_get_thread_num(), count = omp_get_num_threads();",
                *(call for _, call in packing),
                "#pragma omp barrier",
                "const long lo = B * thread / count, hi = B * (thread + 1) / count;",
                *rooms,
                "for (long n = 0; n < T; ++n) {",
                f"const long t = {t}, before = t + reverse, after = t + 1 - reverse, now = n & 1, next = now ^ 1;",
                *body,
                "}",
                "}",
                "}",
                "",
            ]
        )
