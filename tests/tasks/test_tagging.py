"""The tagging task, from the loss to the command line."""

import io
import json
import math
import os
import random
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnkit.batch import IGNORED, SequenceBatch, TagExtra, TokenInputs
from rnnkit.cells import LSTMCell
from rnnkit.cli import run
from rnnkit.models import Tagger
from rnnkit.tasks import Tagging
from rnnkit.training import Monitor, Run

NAMES = ["O", "B-x", "I-x"]
QUICK = ["model.hidden_size=16", "model.dropout=0.1", "model.word_dropout=0", "optimizer.lr=2e-2"]
QUICK += ["model.embedding_size=12", "model.character_size=8", "trainer.log_every_n_steps=5"]
QUICK += ["callbacks.confusion=null", "trainer.enable_progress_bar=false"]


def batch_of(tags_BT: list[list[int]], lengths: list[int] | None = None) -> SequenceBatch:
    targets_BT = torch.tensor(tags_BT)
    words_BT = torch.arange(targets_BT.numel()).view_as(targets_BT) % 9
    ones = torch.ones(9, dtype=torch.long)
    inputs = TokenInputs(words_BT, words_BT * 0, words_BT, ones[:, None] * 2, ones)
    extra = TagExtra(words_BT % 3)
    if lengths is None:
        return SequenceBatch(inputs, targets_BT, extra=extra)
    return SequenceBatch(inputs, targets_BT, torch.tensor(lengths), num_steps=sum(lengths), extra=extra)


def tagging(*, crf: bool = False) -> Tagging:
    model = Tagger(9, 5, NAMES, LSTMCell, hidden_size=4, embedding_size=4, character_size=4, crf=crf)
    return Tagging(model, partial(torch.optim.SGD, lr=0.1), tags=NAMES).eval()


def toy(sentences: int, seed: int) -> str:
    """Columns in which a tag is the next word's, `last` at the end, so that only reading backwards can tell."""
    rng = random.Random(seed)
    found = [[rng.choice(["ice", "fire", "stone"]) for _ in range(rng.randint(2, 8))] for _ in range(sentences)]
    return "".join("".join(f"{a} {b}\n" for a, b in zip(one, [*one[1:], "last"], strict=True)) + "\n" for one in found)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("toy")
    for seed, (name, count) in enumerate({"train": 200, "valid": 40, "test": 40}.items()):
        (folder / f"{name}.conll").write_text(toy(count, seed))
    return {name: folder / f"{name}.conll" for name in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def overrides(files: dict[str, Path]) -> list[str]:
    return ["task=tagging", "data=columns", *(f"data.{name}={path}" for name, path in files.items()), *QUICK]


@pytest.fixture(scope="module")
def trained(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    assert run(["train", *overrides, "trainer.max_epochs=20", "callbacks.report=null", f"run_dir={folder}"]) == 0
    return folder


def test_the_loss_is_the_mean_over_valid_tokens() -> None:
    task = tagging()
    batch = batch_of([[0, 1, 2], [2, IGNORED, IGNORED]], [3, 1])
    e_BTC = torch.randn(2, 3, 3)
    p_BTC = e_BTC.softmax(-1)
    by_hand = -sum(math.log(p) for p in (p_BTC[0, 0, 0], p_BTC[0, 1, 1], p_BTC[0, 2, 2], p_BTC[1, 0, 2])) / 4
    assert task.loss(e_BTC, batch).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_a_padded_batch_has_the_loss_of_its_sentences_alone(crf: bool) -> None:
    task = tagging(crf=crf)
    together = batch_of([[0, 1, 2], [2, IGNORED, IGNORED]], [3, 1])
    inputs = together.inputs
    alone = [
        SequenceBatch(
            inputs._replace(words=inputs.words[b : b + 1, :n], word_index=inputs.word_index[b : b + 1, :n]),
            together.targets[b : b + 1, :n],
            None,
        )
        for b, n in enumerate((3, 1))
    ]
    losses = [task.training_step(batch, 0).item() * batch.num_valid_steps for batch in alone]
    assert task.training_step(together, 0).item() == pytest.approx(sum(losses) / 4, rel=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_figures_of_a_split_by_hand(crf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tagging(crf=crf)
    found_BT = torch.tensor([[1, 2, 0], [0, 1, 0]])
    monkeypatch.setattr(task.model, "decode", lambda e_BTC, lengths: found_BT)
    batch = batch_of([[1, 2, 2], [0, IGNORED, IGNORED]], [3, 1])  # words 0 1 2 3, usual tags 0 1 2 0
    task.update_metrics(batch, "test")
    figures = task.compute_metrics("test")
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["unknown_accuracy"] == 1.0  # word 0
    assert figures["baseline_accuracy"] == pytest.approx(2 / 4)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0, 0, 0)  # an entity one word too short
    with torch.no_grad():
        assert figures["loss"] == pytest.approx(task.training_step(batch, 0).item(), rel=1e-5)
    names, matrix_CC = task.confusion() or ([], torch.empty(0))
    assert names == NAMES
    assert matrix_CC.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    details = task.report()
    assert "4 tokens, 1 of them (25.00%) of words that training never saw" in details
    assert "baseline: the tag that each word has most often in training: accuracy 0.5000" in details


@pytest.mark.parametrize("crf", [False, True])
def test_tags_that_training_never_saw_are_wrong_and_have_no_loss(crf: bool) -> None:
    task = tagging(crf=crf)
    task.update_metrics(batch_of([[0, 0, 0], [0, 4, IGNORED]], [3, 2]), "val")  # 4 = C + 1, the B of an unseen type
    seen = task.compute_metrics("val")
    names, matrix_CC = task.confusion() or ([], torch.empty(0))
    assert names == [*NAMES, "(unseen)"]
    assert matrix_CC.sum() == 5
    assert matrix_CC[3].sum() == 1
    assert seen["accuracy"] == matrix_CC.diagonal().sum() / 5
    assert "(unseen)" in task.report()
    kept = batch_of([[0, 0, 0]]) if crf else batch_of([[0, 0, 0], [0, IGNORED, IGNORED]], [3, 2])._replace(num_steps=4)
    with torch.no_grad():
        assert seen["loss"] == pytest.approx(task.training_step(kept, 0).item(), rel=1e-5)


def test_tags_that_depend_on_the_next_word_are_learned(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["best_val/accuracy"] == 1.0


def test_one_direction_cannot_learn_them(overrides: list[str], tmp_path: Path) -> None:
    few = ["trainer.max_epochs=8", "model.bidirectional=false", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *overrides, *few]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best_val/accuracy"] < 0.6


def test_evaluate_on_the_test_split_and_on_another_file(
    trained: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(trained)]) == 0
    text = capsys.readouterr().out
    assert "accuracy           1.0000" in text
    assert "baseline: the tag that each word has most often in training: accuracy 0." in text
    assert run(["evaluate", str(trained), "--data", str(files["valid"]), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"] == 1.0
    assert figures["sequences"] == 40
    assert figures["baseline_accuracy"] < 0.6


def test_predict_writes_the_format_that_it_reads(trained: Path, files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["test"].read_text()
    words = "".join(line.split(" ")[0] + "\n" for line in whole.splitlines())
    (tmp_path / "words.conll").write_text(words)
    for source, expected in ((files["test"], whole), (tmp_path / "words.conll", whole)):
        output = tmp_path / "found.conll"
        assert run(["predict", str(trained), "--input", str(source), "--output", str(output)]) == 0
        assert output.read_text() == expected


def test_predict_answers_standard_input_sentence_by_sentence(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ice\nfire\n\nstone\n"))
    assert run(["predict", str(trained)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"tokens": ["ice", "fire"], "tags": ["fire", "last"]},
        {"tokens": ["stone"], "tags": ["last"]},
    ]


@pytest.mark.parametrize("variant", [[], ["model.crf=true", "averaging=ema", "trainer.precision=bf16-mixed"]])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_one_that_was_not(
    variant: list[str], overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal in the middle of the second epoch, with dropout of words and features."""
    overrides = [*overrides, "trainer.max_epochs=3", "callbacks.report=null", *variant]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0
    original = Monitor.on_train_batch_end
    batches = 0

    def interrupting(self: Monitor, *arguments: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={tmp_path / 'stopped'}"])
    assert batches == 10
    assert run(["resume", str(tmp_path / "stopped")]) == 0
    whole, resumed = (Run.open(tmp_path / name).checkpoint("last")["state_dict"] for name in ("whole", "stopped"))
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_given_vectors_are_used_and_come_back_with_the_run(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("ice 1 0 0\nfire 0 1 0\nstone 0 0 1\n")
    only = [
        "model.embedding_size=0",
        "model.characters=null",
        f"data.vectors={vectors}",
    ]
    folder = tmp_path / "run"
    assert run(["train", *overrides, *only, "trainer.max_epochs=20", f"run_dir={folder}"]) == 0
    vectors.unlink()
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
    weights = Run.open(folder).checkpoint("best")["state_dict"]["model.vectors.weight"]
    assert torch.equal(weights, torch.cat([torch.zeros(1, 3), torch.eye(3)]))


def test_the_table_of_tags_is_in_tensorboard(overrides: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(["train", *overrides, "trainer.max_epochs=1", f"run_dir={folder}"]) == 0
    board = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    (event,) = board.Tensors("val/report/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "precision" in text
    assert "baseline" in text
