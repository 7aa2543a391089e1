"""A configuration from a stranger names what computes, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rnnkit.errors import UserError
from rnnkit.training.configuration import own_code
from rnnkit.training.configuration.target_checks import check_targets

HARMFUL = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "functools.partial",
    "rnnkit.cli.os.system",  # reachable through rnnkit, not defined there
    "rnnkit.engines.toolchain.load",  # compiles and loads a program
    "rnnkit.training.run.run.sys.exit",
    "rnnkit.training.run.storage.torch.load",
    "rnnkit.training.run.storage.write",
    "rnnkit.training.checks.nonfinite.NonFiniteGuard",
    "rnnkit.training.resume.checkpoints.RunCheckpoint",
    "rnnkit.training.report.loggers.RunTensorBoardLogger",
    "rnnkit.training.fit",
    "rnnkit.training.Run",
    "rnnkit.tasks.base.torch.hub.load",
    "rnnkit.data.io.download.urlopen",
    "rnnkit.models.language_model.RNN",  # imported there, and defined elsewhere
    "rnnkit.tasks.Classification.load_from_checkpoint",
    "torch.hub.load",
    "torch.load",
    "torch.save",
    "torch.utils.cpp_extension.load_inline",
    "torch.nn.modules.module.torch.load",
    "torch.nn.attention._fa3._fa3_import_module",
    "torch.nn.modules.module._load_state_dict",
    "torch.nn.Module.load_state_dict",
    "torch.nn.Module.__init__",
    "torch.nn.Embedding.from_pretrained",
    "torch.nn.init.torch.load",
    "torch.optim.lr_scheduler.os.system",
    "lightning.pytorch.trainer.trainer.os.remove",
    "lightning.pytorch.cli.instantiate_class",
    "lightning.pytorch.core.saving.save_hparams_to_yaml",
    "lightning.pytorch.core.saving._load_from_checkpoint",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
    "lightning.pytorch.callbacks.LambdaCallback",
    "lightning.pytorch.callbacks.OnExceptionCheckpoint",
    "lightning.pytorch.callbacks.SpikeDetection",
    "lightning.pytorch.callbacks.LearningRateFinder",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.profilers.PyTorchProfiler",
    "lightning.pytorch.strategies.DeepSpeedStrategy",
    "lightning.pytorch.plugins.io.TorchCheckpointIO",
    "hydra.utils.instantiate",
    "hydra.utils.call",
]


@pytest.mark.parametrize("target", HARMFUL)
@pytest.mark.parametrize("place", ["model", "callbacks.mine", "model.wrappers[0]", "trainer.strategy", "clipping"])
def test_what_could_run_anything_is_refused_wherever_it_stands(target: str, place: str) -> None:
    node = {"_target_": target}
    outer, _, inner = place.partition(".")
    config = {outer: {"wrappers": [node]} if "[" in place else {inner: node} if inner else node}
    with pytest.raises(UserError, match="whose code would run") as caught:
        check_targets(OmegaConf.create(config))
    assert place in str(caught.value)
    assert f"RNNKIT_ALLOW={target.split('.')[0]}" in str(caught.value)


@pytest.mark.parametrize(
    "node",
    [
        {"_args_": [{"_target_": "os.system"}]},
        {"_partial_": True, "_recursive_": False, "_convert_": "object", "inner": {"_target_": "os.system"}},
        {1: {"_target_": "os.system"}},
        {True: [[{"_target_": "os.system"}]]},
        {"_target_": ["os.system"]},
        {"_target_": {"_target_": "os.system"}},
        {"_target_": None},
        {"_target_": 3},
        {"_target_": ""},
        {"_target_": "os"},
        {"_target_": "${a}"},
        {"_target_": "torch.nn..Linear"},
        {"_target_": " torch.nn.Linear"},
        {"_target_": "torch.nn.Linear\n"},
        {"_target_": "torch.nn.Lⅰnear"},
        {"_target_": "torch.nn.Linear", "weights_only": False},
    ],
)
def test_a_target_in_an_odd_place_or_shape(node: Any) -> None:
    with pytest.raises(UserError):
        check_targets(OmegaConf.create({"model": {"_target_": "torch.nn.Sequential", "x": node}}))
    with pytest.raises(UserError):
        check_targets(OmegaConf.create(node))


@pytest.mark.parametrize(
    "target",
    [
        *("torch.nn.Linear", "torch.nn.modules.linear.Linear", "torch.optim.Adafactor", "torch.optim.adam.Adam"),
        *("torch.optim.lr_scheduler.CosineAnnealingLR", "lightning.Trainer", "lightning.pytorch.Trainer"),
        *("lightning.pytorch.callbacks.LearningRateMonitor", "rnnkit.RNN", "rnnkit.cells.wrapped"),
        *(
            "rnnkit.cells.lstm.LSTMCell",
            "rnnkit.models.forecasting.distributions.Gaussian",
            "rnnkit.data.CharTokenizer",
        ),
        *("rnnkit.cells.LSTMCel",),  # a slip: whoever constructs it says that there is none
    ],
)
def test_what_only_computes_is_allowed(target: str) -> None:
    check_targets(OmegaConf.create({"model": {"_target_": target}}))


TRAINER, CHECKPOINT = "lightning.Trainer", "lightning.pytorch.callbacks.ModelCheckpoint"


@pytest.mark.parametrize(
    ("target", "name", "bad", "good"),
    [
        (TRAINER, "default_root_dir", "/tmp", None),
        (TRAINER, "logger", True, False),
        (TRAINER, "callbacks", [{"_target_": CHECKPOINT}], []),
        (TRAINER, "plugins", ["x"], None),
        (TRAINER, "model_registry", "them/theirs", None),
        (TRAINER, "profiler", "pytorch", "simple"),
        (TRAINER, "profiler", {"_target_": "torch.nn.Linear"}, None),
        (TRAINER, "strategy", "deepspeed", "ddp_find_unused_parameters_true"),
        (TRAINER, "strategy", {"_target_": "torch.nn.Linear"}, "auto"),
        (TRAINER, "accelerator", "../x", "cpu"),
        (TRAINER, "_args_", ["x"], []),
        (CHECKPOINT, "dirpath", "elsewhere", None),
        (CHECKPOINT, "_args_", ["elsewhere"], []),
        (CHECKPOINT, "filename", "../../x", "mine-{epoch:02d}-{val/loss:.3f}"),
        (CHECKPOINT, "filename", "/x", "x"),
        (CHECKPOINT, "filename", "a/b", "a.b"),
        (CHECKPOINT, "filename", "{/x}", "{x}"),
        (CHECKPOINT, "filename", "{epoch:c}{epoch:c}/x", "{epoch:d}"),
        (CHECKPOINT, "filename", "..", "a"),
    ],
)
def test_arguments_that_lead_out_of_the_run_folder_are_the_users_to_type(
    target: str, name: str, bad: Any, good: Any
) -> None:
    check_targets(OmegaConf.create({"a": {"_target_": target, name: good}}))
    config = OmegaConf.create({"a": {"_target_": target, name: bad}})
    with pytest.raises(UserError, match=rf"^a\.{name}"):
        check_targets(config)
    if isinstance(bad, str | bool):
        check_targets(config, {f"a.{name}": bad})
        with pytest.raises(UserError):
            check_targets(config, {f"a.{name}": f"{bad} "})


def test_every_configuration_of_the_package_is_allowed() -> None:
    from rnnkit.cli.configuration import config_folder

    for file in config_folder().rglob("*.yaml"):
        check_targets(OmegaConf.load(file))  # type: ignore[arg-type]


def test_what_is_refused_is_not_imported(tmp_path: Path) -> None:
    """Nor are modules of torch and lightning that hold nothing allowed."""
    (tmp_path / "stranger_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    program = f"""
import sys
import lightning.pytorch, rnnkit.training
from omegaconf import OmegaConf
from rnnkit.training.configuration.target_checks import check_targets
before = set(sys.modules)
sys.path.insert(0, {str(tmp_path)!r})
for target in ("stranger_code.Model", "stranger_code", "torch.nn.attention._fa3.x", "torch.utils.cpp_extension.load",
               "torch.distributed.run.main", "rnnkit.cli.explain.run", "rnnkit.testing.check_cell", "antigravity.x"):
    try:
        check_targets(OmegaConf.create({{"a": {{"_target_": target}}}}))
    except ValueError:
        continue
    raise SystemExit(target)
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_class_of_ones_own_is_followed_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "my_lab_here.py").write_text("class Model: pass\nclass Other: pass\n")
    config = OmegaConf.create({"model": {"_target_": "my_lab_here.Model"}})
    other = OmegaConf.create({"model": {"_target_": "my_lab_here.Other"}})
    path = list(sys.path)
    try:
        monkeypatch.chdir(mine)
        with pytest.raises(UserError):
            check_targets(config)
        assert sys.path == path  # the folder is not searched for what is refused
        check_targets(config, {"model._target_": "my_lab_here.Model"})
        assert sys.path == [*path, str(mine)]
        with pytest.raises(UserError):
            check_targets(config)  # typed, but by a command that trains nothing
        own_code.remember({"model._target_": "my_lab_here.Model", "model.size": 3})
        check_targets(config)
        with pytest.raises(UserError):
            check_targets(other)  # of the same module, never typed
        sys.path[:] = path
        monkeypatch.chdir(theirs)
        with pytest.raises(UserError):
            check_targets(config)  # a stranger's file of the same name, elsewhere
        monkeypatch.setenv("RNNKIT_ALLOW", "something, my_lab_here")
        check_targets(config)
    finally:
        sys.path[:] = path


@pytest.mark.parametrize("content", ["", "{", "{}", "3", "[" * 100_000, '[["my_lab_here.Model"]]'])
def test_a_damaged_memory_remembers_nothing(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "rnnkit").mkdir()
    (tmp_path / "rnnkit" / "own_classes.json").write_text(content)
    (tmp_path / "my_lab_here.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        check_targets(OmegaConf.create({"model": {"_target_": "my_lab_here.Model"}}))
    own_code.remember({"model._target_": "my_lab_here.Model"})
    assert own_code.is_remembered("my_lab_here.Model")


def test_what_was_typed_elsewhere_than_its_folder_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    own_code.remember({"a._target_": "os.system", "b._target_": "subprocess.run", "c._target_": "torch.load"})
    assert not (tmp_path / "state").exists()
    assert os.environ["XDG_STATE_HOME"]
