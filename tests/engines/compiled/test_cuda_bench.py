"""The benchmark's section for GPUs, gone through on the CPU with small sizes, so that no slip waits for a GPU."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnkit.engines.compiled import kernels

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with a CPU in the place of the GPU."""
    monkeypatch.syspath_prepend(SCRIPTS)
    bench = importlib.import_module("bench_engines")
    candidate = bench.Candidate
    monkeypatch.setitem(kernels.KINDS, "cpu", kernels._cuda_kernel)
    monkeypatch.setattr(kernels, "_shared", {})
    monkeypatch.setattr(bench, "Candidate", lambda name, size, *more: candidate(name, size, "cpu", *more[1:]))
    monkeypatch.setattr(bench, "GPU_SIZES", [bench.Size(17, 2, 3, 4)])
    monkeypatch.setattr(bench, "on_gpu", bench.on_cpu)
    monkeypatch.setattr(bench.apart, "measured", lambda *_, **__: 1.0)
    stand_ins: dict[str, Any] = {"is_available": lambda: True, "get_device_name": lambda: "none", "synchronize": int}
    stand_ins |= {"memory_allocated": int, "max_memory_allocated": lambda: 2**20, "reset_peak_memory_stats": int}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return bench


@pytest.mark.slow
def test_every_table_of_the_gpu_is_made(bench: Any, tmp_path: Path) -> None:
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision
    bench.cuda(bench.Report(tmp_path), SimpleNamespace(seconds=0))
    results = json.loads((tmp_path / "engines.json").read_text())["results"]
    tables = [result for result in results if "seconds" in result]
    assert [table["section"] for table in tables] == ["cuda, float32", "cuda, TF32", "cuda, bfloat16"]
    for table in tables:
        assert {ratio["name"] for ratio in table["ratios"]} >= {
            "LSTM auto",
            "GRU auto",
            "LayerNormLSTM auto",
            "unseen auto",
        }
        assert table["seconds"]["LayerNormLSTM auto"]["engine"] == "compiled"
    assert [result["unit"] for result in results if "unit" in result] == ["MiB", "seconds"]
    assert (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision) == before


def test_the_first_call_on_a_gpu_is_measured_too(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = importlib.import_module("bench.candidates")
    made, candidate = [], candidates.Candidate

    def on_the_cpu(name: str, size: Any, device: str) -> Any:
        made.append((name, device))
        return candidate(name, size)

    monkeypatch.setattr(candidates, "Candidate", on_the_cpu)
    assert bench.apart.first_call_on_gpu("unseen compiled", 17, 2, 3, 4) > 0
    assert made == [("nn.LSTM", "cuda"), ("unseen compiled", "cuda")]
