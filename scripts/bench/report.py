"""Tables on the screen, ratios beside their floors and aims, a JSON with all of it, a chart."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from bench.timing import Timing


class Ratio(NamedTuple):
    """How many times as fast (or, of memory, as large) `name` is as `against`, and what it should be.

    A `below` figure should not be above its floor; the others should not be below. Without `against` it is no ratio.
    """

    name: str
    against: str
    floor: float | None = None
    aim: float | None = None
    below: bool = False

    def line(self, found: float) -> str:
        """One row: the figure, the floor, the aim, and whether the floor is missed."""
        floor, aim = ("" if value is None else f"{value:g}" for value in (self.floor, self.aim))
        missed = self.floor is not None and (found > self.floor if self.below else found < self.floor)
        title = f"{self.name} / {self.against}" if self.against else self.name
        return f"  {title:<52}{found:>9.2f}{floor:>9}{aim:>8}{'   misses the floor' * missed}"


class Report:
    """Prints what is measured and, after every table, writes all that there is to `engines.json` in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.results: list[dict[str, Any]] = []

    def times(
        self,
        section: str,
        title: str,
        timings: Mapping[str, Timing],
        engines: Mapping[str, str],
        ratios: list[Ratio],
        **about: Any,
    ) -> None:
        """A table of times and, of those that are there, the ratios of their medians."""
        self._say(f"\n{title}\n  {'':<26}{'engine':<12}{'median ms':>11}{'min ms':>11}{'samples':>9}")
        for name, (median, minimum, samples) in timings.items():
            self._say(f"  {name:<26}{engines[name]:<12}{1e3 * median:>11.4g}{1e3 * minimum:>11.4g}{samples:>9}")
        found = [
            (ratio, timings[ratio.against].median / timings[ratio.name].median)
            for ratio in ratios
            if ratio.name in timings and ratio.against in timings
        ]
        self._ratios("speed", found)
        rows = {name: {**timing._asdict(), "engine": engines[name]} for name, timing in timings.items()}
        self._keep(section, found, seconds=rows, **about)

    def figures(
        self,
        section: str,
        title: str,
        unit: str,
        figures: Mapping[str, float],
        ratios: list[tuple[Ratio, float]],
        **about: Any,
    ) -> None:
        """A table of other figures, with ratios computed elsewhere."""
        self._say(f"\n{title}\n  {'':<42}{unit:>12}")
        for name, value in figures.items():
            self._say(f"  {name:<42}{value:>12.5g}")
        self._ratios("ratio", ratios)
        self._keep(section, ratios, figures=dict(figures), unit=unit, **about)

    def note(self, text: str) -> None:
        """Something left out, and why."""
        self._say(f"\n{text}")

    def draw(self) -> None:
        """`engines.png`, where matplotlib is installed and there is something to draw."""
        if not any(result["section"] == "engines" for result in self.results):
            return
        try:
            from bench.chart import draw
        except ImportError:
            self._say("\nno chart: matplotlib is not installed (pip install 'rnnkit[viz]')")
            return
        draw(self.results, self.folder / "engines.png")
        self._say(f"\ndrawn in {self.folder / 'engines.png'}")

    def _ratios(self, kind: str, ratios: list[tuple[Ratio, float]]) -> None:
        if ratios:
            self._say(f"  {kind:<52}{'found':>9}{'floor':>9}{'aim':>8}")
        for ratio, found in ratios:
            self._say(ratio.line(found))

    def _keep(self, section: str, ratios: list[tuple[Ratio, float]], **about: Any) -> None:
        kept = [{**ratio._asdict(), "found": found} for ratio, found in ratios]
        self.results.append({"section": section, **about, "ratios": kept})
        content = {"machine": machine(), "results": self.results}
        (self.folder / "engines.json").write_text(json.dumps(content, indent=2) + "\n")

    def _say(self, text: str) -> None:
        print(text, flush=True)


def machine() -> dict[str, Any]:
    """What times depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "KMP_", "MKL_"))},
    }
