"""A checkpoint of another version, another model or other data: read where that can be, else told what differs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from rnnkit import __version__
from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training import Run
from rnnkit.training.run import provenance, storage
from rnnkit.training.run.differences import differences


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def changed(folder: Path, **changes: Any) -> None:
    """Rewrites what the checkpoints of a run say of their origin."""
    for name in ("best", "last"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        checkpoint = storage.read(path)
        checkpoint["rnnkit"] |= changes
        storage.write(checkpoint, path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command says, which must fail."""
    assert run([*arguments]) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()  # behind those on how files were read
    return line


def test_a_checkpoint_says_what_wrote_it_and_what_its_data_learned(trained: Path) -> None:
    made = Run.open(trained).checkpoint("best")["rnnkit"]
    assert (made["version"], made["format"]) == (__version__, provenance.FORMAT)
    assert made["learnt"] == {"vocabulary.json": (trained / "vocabulary.json").read_text()}


@pytest.mark.parametrize("command", ["generate", "resume"])
def test_a_later_format_names_the_version_that_wrote_it(
    command: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(copy, format=provenance.FORMAT + 1, version="7.1.0")
    text = refused(capsys, command, str(copy))
    assert "which rnnkit 7.1.0 wrote in a newer format. Try: pip install 'rnnkit>=7.1.0'" in text


def test_a_checkpoint_of_the_first_version_is_gone_on_from(copy: Path) -> None:
    """What it did not write yet is taken away, and it wrote no checksum."""
    path = copy / "checkpoints" / "last.ckpt"
    whole = {name: weight.clone() for name, weight in storage.read(path)["state_dict"].items()}
    for name in ("best", "last"):
        path = path.with_stem(name)
        checkpoint = storage.read(path)
        del checkpoint["rnnkit"], checkpoint["row"]
        callbacks = checkpoint["callbacks"]
        callbacks["RandomState"] = callbacks["RandomState"]["processes"][0]
        monitor = next(name for name in callbacks if name.startswith("Monitor"))
        callbacks[monitor] = {name: callbacks[monitor][name] for name in ("tokens", "seconds")}
        torch.save(checkpoint, path)
    assert run(["generate", str(copy), "--length", "5"]) == 0
    assert run(["resume", str(copy), "trainer.max_epochs=3"]) == 0
    after = Run.open(copy).checkpoint("last")
    assert after["global_step"] == 60
    assert not all(torch.equal(whole[name], after["state_dict"][name]) for name in whole)


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_vocabulary_that_was_swapped_is_noticed_by_its_first_entries(
    command: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "vocabulary.json"
    vocabulary = json.loads(path.read_text())
    tokens = vocabulary["tokens"]
    tokens[2], tokens[5] = tokens[5], tokens[2]
    path.write_text(json.dumps(vocabulary))
    text = refused(capsys, command, str(copy))
    assert f"vocabulary.json', where tokens[2] is {tokens[2]!r} instead of {tokens[5]!r}, tokens[5] is" in text


def test_a_vocabulary_that_is_written_another_way_is_the_same(copy: Path) -> None:
    path = copy / "vocabulary.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert run(["generate", str(copy), "--length", "5"]) == 0


def test_data_that_have_changed_are_refused_before_anything_is_written(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcde fghij klmno\n" * 300)
    folder = tmp_path / "run"
    assert run(["train", *small, f"data.path={text}", "trainer.max_epochs=1", f"run_dir={folder}"]) == 0
    text.write_text("abcdx fghij klmno\n" * 300)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    capsys.readouterr()
    told = refused(capsys, "resume", str(folder), "trainer.max_epochs=2")
    assert "data: expected the data that the run began with; got others: in vocabulary.json, tokens[" in told
    assert "tokens[6] is 'f' instead of 'e'" in told
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_run_of_another_model_is_not_gone_on_with(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = (copy / "config.yaml").read_text().replace("hidden_size: 24", "hidden_size: 25")
    (copy / "config.yaml").write_text(config.replace("dropout: 0.2", "dropout: 0.1"))
    text = refused(capsys, "resume", str(copy), "trainer.max_epochs=3")
    assert "model.rnn.cells.0.weight_ih is 96 x 24 in the checkpoint and 100 x 25 in the model" in text
    assert "more. Try: the config.yaml that it was trained with" in text


def test_another_cell_names_what_is_not_there(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = OmegaConf.load(copy / "config.yaml")
    config.model.cell = {"_target_": "rnnkit.cells.GRUCell", "_partial_": True}
    OmegaConf.save(config, copy / "config.yaml")
    text = refused(capsys, "generate", str(copy))
    assert "model.rnn.cells.0.weight_ih is 96 x 24 in the checkpoint and 72 x 24 in the model" in text


def test_what_is_no_checkpoint_of_a_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weights": torch.zeros(3)}, copy / "checkpoints" / "best.ckpt")
    assert "which holds no weights" in refused(capsys, "generate", str(copy))


def test_what_other_data_learned_is_compared_by_its_entries(tmp_path: Path) -> None:
    made = {"rnnkit": {"learnt": {"data.json": json.dumps({"targets": ["a", "b"], "inputs": {"mean": [0.5, 2.0]}})}}}
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"targets": ["a", "b"], "inputs": {"mean": [0.5000001, 2.0]}}))
    provenance.check_learned(made, tmp_path)  # other processors round otherwise
    path.write_text(json.dumps({"targets": ["b", "a"], "inputs": {"mean": [0.6, 2.0]}}))
    with pytest.raises(
        UserError, match=r"data\.json', where targets\[0\] is 'b' instead of 'a', .*, inputs\.mean\[0\]"
    ):
        provenance.check_learned(made, tmp_path)
    for damaged in (b"\xff{", b"[" * 100_000):
        path.write_bytes(damaged)
        provenance.check_learned(made, tmp_path)  # whoever reads the file tells that


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-9}, []),
        ({"a": 1.0}, {"a": 1.1}, ["a is 1.1 instead of 1.0"]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["a has 3 entries instead of 2"]),
        ({"a": float("nan")}, {"a": float("nan")}, []),
        ({"a": {"b": "x"}}, {"a": {"c": "x"}}, ["a.b is nothing instead of 'x'", "a.c is 'x' instead of nothing"]),
        ([1], {"a": 1}, [" is {'a': 1} instead of [1]"]),
        ({"a": "e" * 99}, {"a": "f"}, [f"a is 'f' instead of '{'e' * 36}..."]),
    ],
)
def test_where_json_values_differ(was: Any, now: Any, found: list[str]) -> None:
    assert list(differences(was, now)) == found
