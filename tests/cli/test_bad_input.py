"""Mistakes end in one message that names the argument, what was expected, what arrived and the way out; exit code 2."""

import re
import shutil
import socket
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.cli.configuration import OPTIONAL_GROUPS, groups

BAD_OVERRIDES = {
    "optimizer.lrr=1": r"optimizer\.lrr: expected a configuration key .* does not exist\. Try: optimizer\.lr=1",
    "optimzer.lr=1": r"optimzer\.lr: .* Try: optimizer\.lr=1",
    "trainer.max_epoch=2": r"trainer\.max_epoch: .* Try: trainer\.max_epochs=2",
    "model.cell.forgetbias=1": r"model\.cell\.forgetbias: .* Try: model\.cell\.forget_bias=1",
    "model/cell=gruu": r"model/cell: expected one of .*elman, gru,.*lstm.*; got 'gruu'\. Try: model/cell=gru",
    "model/cel=gru": r"model/cel: expected a configuration group .* Try: model/cell=gru",
    "cell=gru": r"cell: .* Try: model/cell=gru",
    "experiment=tiny_shakespear": r"experiment: .* Try: experiment=tiny_shakespeare",
    "lr": r"overrides: expected KEY=VALUE pairs; got lr",
    "model.hidden_size=abc": r"model\.hidden_size: .* 1 or more; got 'abc'\. Try: model\.hidden_size=256",
    "model.num_layers=2.5": r"model\.num_layers: expected a whole number from 1 to 10000; got 2\.5",
    "model.tied=3": r"model\.tied: expected true or false; got 3",
    "model.hidden_size=0": r"model\.hidden_size: .* 1 or more; got 0\. Try: model\.hidden_size=256",
    "model.dropout=1.5": r"dropout: expected .*; got 1\.5",
    "model.bidirectional=true": r"model\.bidirectional: expected false.*Try: model\.bidirectional=false",
    "+model.depth=3": r"model\.depth: expected an argument of rnnkit\.models\.LanguageModel; got depth",
    "model.cell._target_=my_lab.Cell": r"model\.cell\._target_: expected something .*; got my_lab\.Cell",
    "data.path=nowhere.txt": r"data\.path: expected a file that can be read; got nowhere\.txt: No such file",
    "data.level=chars": r"data\.level: expected one of char, byte, word, subword; got 'chars'\. Try: data\.level=char",
    "data.lanes=0": r"data\.lanes: expected a whole number, 1 or more; got 0",
    "trainer.precision=bf17": r"trainer\.precision: .*bf16-true.*got 'bf17'\. Try: trainer\.precision=bf16",
    "model.checkpoint_every=0": r"model\.checkpoint_every: expected a whole number, 1 or more or null; got 0",
    "data=nothing": r"data: expected one of .*got 'nothing'",
    "clipping.max_norm=-1": r"clipping\.max_norm: expected a number above 0; got -1",
    "trainer.max_epochs=-1": r"trainer\.max_epochs: expected a number of epochs or steps, .*got neither",
    "output=student_t": r"output: expected a task with this group: forecasting; .* task=forecasting output=student_t",
    "output.error=mae": r"output: expected a task with this group.* Try: task=forecasting output\.error=mae",
    "averaging=null": r"averaging: expected one of ema, nonmonotonic; got null\. Try: ~averaging",
    "model.cell=gru": r"model\.cell: expected .* a choice with a slash; got 'gru'\. Try: model/cell=gru$",
    "model=tagger": r"model: expected a model for language_modeling; got Tagger, .* Try: task=tagging$",
    "averaging.decay=0.9": r"averaging\.decay: expected one of ema, .* first.* Try: averaging=ema averaging\.decay",
    "model/cell=null": r"model/cell: expected one of .*; got null\. Try: model/cell=",
    "seed=x": r"seed: expected a whole number from 0 to 4294967295; got 'x'. Try: seed=1",
}


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run([*arguments]) == 2
    caught = capsys.readouterr()
    *notices, message = caught.err.strip().splitlines()  # how the data were read, and one line of complaint
    assert message.startswith("rnnkit: ")
    assert "Traceback" not in caught.err
    assert not any(line.startswith("rnnkit: ") for line in notices)
    return message


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_overrides_that_make_no_sense(
    override: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert re.search(BAD_OVERRIDES[override], complaint(capsys, "train", *small, override))
    assert not list(tmp_path.iterdir()), "something half-written is in the way of the next try"


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_a_gpu_where_there_is_none(small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Try: trainer=cpu" in complaint(capsys, "train", *small, "trainer=gpu", f"run_dir={tmp_path / 'run'}")


@pytest.mark.parametrize("devices", ["[0]", "[0,1]", "'0,'", "-1"])
def test_numbers_of_devices_on_a_cpu(
    devices: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "trainer.accelerator=cpu", f"trainer.devices={devices}", f"run_dir={tmp_path / 'run'}"]
    message = complaint(capsys, "train", *arguments)
    assert "trainer.devices: expected the number of processes on a CPU, or auto; got" in message
    assert message.endswith("Try: trainer.devices=1")


@pytest.mark.skipif("__import__('importlib.util').util.find_spec('torch_xla') is not None")
def test_a_device_whose_package_is_not_installed(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = complaint(capsys, "train", *small, "trainer.accelerator=tpu", f"run_dir={tmp_path / 'run'}")
    assert "settings that this machine can run; got" in message
    assert "Try: trainer=cpu" in message


TEXTS = {
    "empty": (b"", r"data.path: expected text; got .*empty"),
    "binary": (b"ab\0cd" * 500, r"data.path: expected text; got .*NUL byte at offset 2.*data.level=byte"),
    "latin": (b"caf\xe9 " * 500, r"data.path: expected .*UTF-8.*offset 3.*"),
    "short": (
        b"just a few words " * 20,
        r"data.lanes: expected a training text of at least one window .*Try: data.lanes=\d+",
    ),
    "cut.gz": (b"\x1f\x8b\x08\x00\x00\x00", r"data.path: expected .*cut.gz"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_cannot_be_trained_on(
    name: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    content, message = TEXTS[name]
    (tmp_path / name).write_bytes(content)
    arguments = [*small, "data.lanes=64", f"data.path={tmp_path / name}", f"run_dir={tmp_path / 'run'}"]
    assert re.search(message, complaint(capsys, "train", *arguments))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("group", OPTIONAL_GROUPS)
def test_groups_that_a_run_can_do_without(group: str, small: list[str], tmp_path: Path) -> None:
    """What the message on `averaging=null` advises."""
    asked = [*small, "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.log_every_n_steps=1"]
    chosen = [] if group == "experiment" else [f"{group}={groups()[group][0]}"]
    assert run(["train", *asked, *chosen, f"run_dir={tmp_path / 'with'}"]) == 0
    assert run(["train", *asked, f"~{group}", f"run_dir={tmp_path / 'without'}"]) == 0
    assert group not in OmegaConf.load(tmp_path / "without" / "config.yaml")


def test_a_folder_that_holds_a_run_is_not_written_over(
    small: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in trained.rglob("*"))
    text = complaint(capsys, "train", *small, f"run_dir={trained}")
    assert "run_dir: expected a folder without a run in it" in text
    assert f"rnnkit resume {Path('.')}"[:13] in text
    assert sorted((path, path.stat().st_mtime_ns) for path in trained.rglob("*")) == before


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.mark.parametrize("command", [["evaluate"], ["generate"], ["resume"]])
def test_folders_that_hold_no_run(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = complaint(capsys, *command, str(tmp_path / "nowhere"))
    assert "run: expected the folder of a run; got" in text
    assert "does not exist" in text
    assert "which holds no config.yaml" in complaint(capsys, *command, str(tmp_path))


def test_checkpoints_that_are_missing_or_cut_short(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = copy / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:5000])
    assert "damaged (it is truncated" in complaint(capsys, "evaluate", str(copy))
    assert "Try: --checkpoint last" in complaint(capsys, "generate", str(copy))
    best.unlink()
    assert "expected the checkpoint best.ckpt; got only last" in complaint(capsys, "evaluate", str(copy))
    shutil.rmtree(copy / "checkpoints")
    assert "expected the checkpoint last.ckpt; got none" in complaint(capsys, "resume", str(copy))


def test_a_checkpoint_of_another_model(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("hidden_size: 24", "hidden_size: 25"))
    text = complaint(capsys, "generate", str(copy))
    assert "expected a checkpoint of the model in config.yaml" in text
    assert re.search(r"model\.embedding\.weight is \d+ x 24 in the checkpoint and \d+ x 25 in the model", text)


def test_damaged_vocabularies_and_configurations(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "vocabulary.json").write_text("{")
    assert "vocabulary" in complaint(capsys, "generate", str(copy))
    for text in ("a: [", "just text", "model: {}"):
        (copy / "config.yaml").write_text(text)
        assert "config.yaml" in complaint(capsys, "evaluate", str(copy))


def test_prompts_that_the_model_cannot_read(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = complaint(capsys, "generate", str(trained), "--prompt", "the 海 Z")
    assert "--prompt: expected characters of the training text; got '海', 'Z', which the model has never seen" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "-1"], "--temperature 0.8"),
        (["--length", "0"], "--length 400"),
        (["--length", "many"], "invalid int value: 'many'"),
        *((["--temperature", value], "--temperature 0.8") for value in ("inf", "nan")),
        *((["--top-p", value], "--top-p 0.95") for value in ("7", "0", "-1", "nan", "inf")),
        (["--top-k", "-1"], "--top-k 40"),
        (["--seed", "-1"], "--seed 1"),
        (["--seed", str(10**20)], "--seed 1"),
        (["--seed", "1.5"], "invalid int value: '1.5'"),
        (["--tempreature", "1"], "unrecognized arguments: --tempreature"),
    ],
)
def test_arguments_out_of_range(
    arguments: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in complaint(capsys, "generate", str(trained), *arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--temperature", "1e-300"], ["--temperature", "1e300"], ["--top-k", str(10**20)], ["--top-p", "1e-300"]],
)
def test_arguments_at_the_end_of_their_range(
    arguments: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", str(trained), "--length", "5", "--prompt", "the", *arguments]) == 0
    assert len(capsys.readouterr().out.rstrip("\n")) >= 4


def test_splits_and_lanes_that_do_not_exist(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected one of train, valid, test; got 'tset'" in complaint(
        capsys, "evaluate", str(trained), "--split", "tset"
    )
    assert "--lanes: expected 1 or more; got 0" in complaint(capsys, "evaluate", str(trained), "--lanes", "0")


def test_what_a_resumed_run_cannot_change(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Try: trainer.max_epochs=3" in complaint(capsys, "resume", str(copy), "trainer.max_epoch=3")
    assert "optimizer.lr: expected" in complaint(capsys, "resume", str(copy), "optimizer.lr=1.0")
    assert "model/cell: expected" in complaint(capsys, "resume", str(copy), "model/cell=gru")
    assert "expected a whole number, 1 or more, -1 or null; got 'x'" in complaint(
        capsys, "resume", str(copy), "trainer.max_epochs=x"
    )
    before = (copy / "config.yaml").read_text()
    assert "Try: trainer.max_epochs=11" in complaint(capsys, "resume", str(copy), "trainer.max_epochs=1")
    assert (copy / "config.yaml").read_text() == before
    assert "expected something left to train" in complaint(capsys, "resume", str(copy))


def test_boards_and_ports(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder: expected a folder of runs" in complaint(capsys, "board", str(tmp_path / "nowhere"))
    with socket.socket() as busy:
        busy.bind(("localhost", 0))
        busy.listen()
        port = busy.getsockname()[1]
        text = complaint(capsys, "board", str(trained), "--port", str(port))
    assert f"--port: expected a free port; got {port}" in text
    assert f"Try: --port {port + 1}" in text


def test_commands_and_data_sets_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Try: rnnkit train" in complaint(capsys, "trian")
    assert "Try: data.dataset=ptb" in complaint(capsys, "data", "get", "pbt")
    assert "rnnkit data list" in complaint(capsys, "data", "get")


def test_debug_shows_where_an_error_came_from(trained: Path) -> None:
    from rnnkit.errors import UserError

    with pytest.raises(UserError):
        run(["generate", str(trained), "--length", "0", "debug=true"])


def test_all_problems_are_told_at_once_and_before_anything_is_read(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["model.hidden_size=0", "optimizer.lr=-1", "data.lanes=0", "clipping.max_norm=-3", "data.path=nowhere.txt"]
    assert run(["train", *small, *bad, f"run_dir={tmp_path / 'run'}"]) == 2
    first, *rest = capsys.readouterr().err.strip().splitlines()
    assert first == "rnnkit: 4 problems"
    said = [line.split(":")[0].strip() for line in rest]
    assert sorted(said) == ["clipping.max_norm", "data.lanes", "model.hidden_size", "optimizer.lr"]
    assert not (tmp_path / "run").exists()
    assert run(["train", *small, "seed=x", "model.num_layers=two", f"run_dir={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rnnkit: 2 problems\n  seed: expected a whole number")
    assert "\n  model.num_layers: expected a whole number" in said
