"""The loops and the order in which one step of a graph is computed, and the values that are stored.

A value is stored only if necessary: for a product, after a reduction, or for use after the time loop. All other values
are computed where they are read, and values of one shape share a loop.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from torch import fx

from rnnkit.engines.compiled.cpu.contraction import Loops, lane_axis, leaps, orders, terms
from rnnkit.engines.compiled.cpu.expressions import EXPENSIVE, memory_type
from rnnkit.engines.compiled.cpu.index import Index, Split, flat
from rnnkit.engines.compiled.cpu.loads import Reader
from rnnkit.engines.compiled.cpu.nests import Nest, Task
from rnnkit.engines.compiled.plan.arguments import Place
from rnnkit.engines.compiled.trace.graphs import (
    PRODUCTS,
    REDUCTIONS,
    Untraceable,
    ancestors,
    arguments,
    aten,
    batch_axis,
    features,
    is_constant,
    is_within_rows,
    operands,
    opname,
    value,
)

BROADCAST = 4
"""The number of repetitions from which on a costly element is stored instead of recomputed."""
FLATTENING = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default, aten.unsqueeze.default,
    aten.squeeze.dims, aten.squeeze.dim,
}  # fmt: skip


class Schedule:
    """The loops and products of one step: `stages` of loops, each followed by the `products` whose factors it computes.

    `known` are the values that can be read, and their places; `written` the values to compute, and their places.
    """

    def __init__(self, known: dict[fx.Node, Place], written: list[tuple[fx.Node, Place]]) -> None:
        if not written:
            raise Untraceable("no gradient flows through its state, so its steps are independent")
        self.known = known
        self.written: dict[fx.Node, list[Place]] = {}
        for node, place in written:
            self.written.setdefault(node, []).append(place)
        self.scratch: set[fx.Node] = set()
        needed = ancestors(self.written, lambda node: node in known)
        graph = next(iter(self.written)).graph
        calls = [node for node in graph.nodes if node in needed and node.op == "call_function"]
        self.nodes = [node for node in calls if node not in known and not is_constant(node)]
        products = [node for node in self.nodes if node.target in PRODUCTS]
        self.sums = {node for node in products if is_within_rows(node) or node.target is aten.matmul.default}
        self.products = {node: self._factors(node) for node in products if node not in self.sums}
        while True:
            self.stages = self._schedule()
            repeated = self._repeated()
            if not repeated:
                break
            self.scratch |= repeated

    def _schedule(self) -> list[list[Nest]]:
        """Return the loops of each stage; the products of a stage follow its loops."""
        self.ready: dict[fx.Node, int] = {}
        self.tasks: dict[fx.Node, list[Task]] = {}
        self.stage: dict[fx.Node, int] = {}
        for node in self.nodes:
            stage = max((self.ready.get(argument, 0) for argument in arguments(node)), default=0)
            self.ready[node] = stage + (node in self.products)
            self.stage[node] = stage
        stages: list[list[Nest]] = [[] for _ in range(1 + max(self.ready.values(), default=0))]
        inputs = [node for node in self.written if node not in self.nodes]
        self.copied = {lanes: None for lanes, _ in self.products.values() if self.in_place(lanes) is None}
        for node in dict.fromkeys([*self.nodes, *self.copied, *inputs]):
            if node in self.written or node in self.copied or self.has_scratch(node):
                self.tasks[node] = self._tasks_for(node)
                for task in self.tasks[node]:
                    self._place(task, stages)
        return stages

    def has_scratch(self, node: fx.Node) -> bool:
        """Whether a value is stored in the thread's scratch memory."""
        whole = node in self.sums or node.target in REDUCTIONS or node.target is aten.cat.default
        return node in self.nodes and (node in self.scratch or whole) and self.written_home(node) is None

    def written_home(self, node: fx.Node) -> Place | None:
        """Return an argument that the loop itself has written and from which a value can be read."""
        places = self.written.get(node, [])
        return next((place for place in places if place.argument.kind in ("step", "next", "history", "turn")), None)

    def in_place(self, lanes: fx.Node) -> Place | str | None:
        """Return where a product finds its factor: an argument, or scratch memory; None if it must be copied."""
        if memory_type(value(lanes).dtype) == "bf16":
            return "scratch" if lanes in self.products or self.has_scratch(lanes) else None
        if lanes in self.known and self.known[lanes].argument.kind != "shared":
            return self.known[lanes]
        if lanes in self.products or self.has_scratch(lanes):
            return "scratch"
        return self.written_home(lanes)

    def _tasks_for(self, node: fx.Node) -> list[Task]:
        if node in self.known or node not in self.nodes or node in self.products:
            return [Task(node, node)]
        if node.target is aten.cat.default:
            parts, axis = (*operands(node), 0)[:2]
            axis %= value(node).dim()
            if axis == batch_axis(node):
                raise Untraceable("it concatenates batches")
            tasks, begin = [], 0
            for part in parts:
                tasks.append(Task(node, part, (lane_axis(node, axis),), begin))
                begin += value(part).shape[axis]
            return tasks
        if node in self.sums:
            source, axis = terms(node)
            return [Task(node, source, (lane_axis(source, axis),))]
        if node.target in REDUCTIONS:
            source = arguments(node)[0]
            given = (*operands(node), None)[1] or range(value(source).dim())
            return [Task(node, source, tuple({lane_axis(source, axis % value(source).dim()) for axis in given}))]
        return [Task(node, node)]

    def is_reduction(self, task: Task) -> bool:
        """Whether a task is a sum or a maximum over its axes."""
        return task.source is not task.node and (task.node in self.sums or task.node.target in REDUCTIONS)

    def _place(self, task: Task, stages: list[list[Nest]]) -> None:
        """Add a task to the first loops of its shape after all values that it reads."""
        reads = self._loops(task)
        task.stage = max([self.ready.get(node, 0) for node, _ in reads] + [self.ready.get(task.source, 0)])
        earliest = 0
        for node, place in reads:
            for other in self.tasks.get(node, []):
                if other is not task and other.stage == task.stage:
                    alike = other.sizes == task.sizes and other.source is node and not any(other.reduced)
                    same = alike and place == flat(other.index(), features(other.source))
                    earliest = max(earliest, other.position + (not same))
        for position, nest in enumerate(stages[task.stage]):
            # a sum over an axis of one element has no loop, and belongs to no other loops
            sums = [self.is_reduction(other) and not any(other.reduced) for other in (*nest.tasks, task)]
            same = nest.reduced == task.reduced or not (any(sums) or (any(nest.reduced) and any(task.reduced)))
            alike = nest.sizes == task.sizes and nest.tasks[0].loose == task.loose
            if position >= earliest and alike and same:
                task.position = position
                nest.reduced = nest.reduced if any(nest.reduced) else task.reduced
                nest.tasks.append(task)
                return
        task.position = len(stages[task.stage])
        stages[task.stage].append(Nest(task.sizes, task.reduced, [task]))

    def _loops(self, task: Task) -> list[tuple[fx.Node, Index]]:
        """Choose the loops of a task, in the order with the best memory access; return its reads of stored values."""
        summed = task.axes if self.is_reduction(task) else ()
        tried: list[Any] = []
        for loops in orders(features(task.source), summed):
            reads = self._tried(task, loops, summed)
            innermost = f"i{len(task.sizes) - 1}"
            jumps = leaps([place for _, place in reads], innermost)
            tried.append((task.loose, jumps, len(tried), task.sizes, task.reduced, task.order, reads))
            if not (task.loose or jumps):
                break
        task.loose, _, _, task.sizes, task.reduced, task.order, reads = min(tried, key=lambda found: found[:3])
        return [(node, place) for node, place in reads if node not in self.known]

    def _tried(self, task: Task, loops: Loops, summed: tuple[int, ...]) -> list[tuple[fx.Node, Index]]:
        """Set the loops of a task, splitting some; return its reads of stored values."""
        task.loose = False
        while True:
            task.sizes = [size for _, size in loops]
            task.reduced = [axis in summed for axis, _ in loops]
            task.order = list(dict.fromkeys(axis for axis, _ in loops))
            try:
                return self._reads(task)
            except Split as split:
                n = int(split.variable[1:])
                axis, size = loops[n]
                task.loose = size % split.inner != 0 or size == split.inner
                if not task.loose:
                    loops[n : n + 1] = [(axis, size // split.inner), (axis, split.inner)]

    def _reads(self, task: Task) -> list[tuple[fx.Node, Index]]:
        """Return the reads of stored values by a task."""
        found: list[tuple[fx.Node, Index]] = []

        def load(node: fx.Node, place: Index) -> str | None:
            written = node in self.products or (node is not task.node and node in self.tasks and self._is_home(node))
            if not written and node not in self.known:
                return None
            found.append((node, place))
            return "0"

        self.read(Reader(task.ranges, load, task.loose), task)
        return found

    def _is_home(self, node: fx.Node) -> bool:
        return self.has_scratch(node) or self.written_home(node) is not None

    def read(self, reader: Reader, task: Task) -> str:
        """Return the variable of a task's element."""
        return reader.read(task.source, reader.at(task.source, task.index()))

    def _repeated(self) -> set[fx.Node]:
        """Return costly values that would be computed several times, in one loop or in several."""
        counts: dict[fx.Node, int] = {}
        for nests in self.stages:
            for nest in nests:
                reader = self.reader(nest, lambda node, place: "0")
                for task in nest.tasks:
                    self.read(reader, task)
                iterations = prod(nest.sizes)
                for node in reader.computed:
                    # a broadcast value is computed once for each element of the larger one
                    again = BROADCAST * prod(features(node)) < iterations
                    if (opname(node) in EXPENSIVE or (again and opname(node) == "div")) and not self._is_home(node):
                        counts[node] = counts.get(node, 0) + 1 + again
        return {node for node, count in counts.items() if count > 1}

    def reader(self, nest: Nest, load: Callable[[fx.Node, Index], str]) -> Reader:
        """Return a reader for the body of some loops, which loads values that are known or computed by then."""
        first = nest.tasks[0]

        def load_if_done(node: fx.Node, place: Index) -> str | None:
            if node in self.known or node in self.products:
                return load(node, place)
            if node not in self.tasks or not self._is_home(node):
                return None
            done = all((t.stage, t.position) < (first.stage, first.position) for t in self.tasks[node])
            return load(node, place) if done else None

        return Reader(first.ranges, load_if_done, first.loose)

    def _factors(self, product: fx.Node) -> tuple[fx.Node, fx.Node]:
        """Return the factor that belongs to the rows, and the weights."""
        left, right = arguments(product)
        lanes, weights = (left, right) if batch_axis(right) is None else (right, left)
        if weights not in self.known:
            raise Untraceable("it multiplies by a matrix that is computed in every step")
        while lanes not in self.known and lanes.target in FLATTENING and self._keeps_order(lanes):
            lanes = arguments(lanes)[0]
        return lanes, weights

    def _keeps_order(self, view: fx.Node) -> bool:
        if view.target is not aten.permute.default:
            return True
        source = arguments(view)[0]
        batch, shape = batch_axis(source), value(source).shape
        order = [axis for axis in operands(view)[1] if axis != batch and shape[axis] != 1]
        return order == sorted(order)
