"""A configuration from a stranger runs none of their code."""

import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training.targets import check_targets

HARMFUL = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "rnnkit.cli.os.system",  # reachable through rnnkit, not defined there
    "rnnkit.engines.toolchain.load",  # compiles and loads a program
    "rnnkit.training.runs.sys.exit",
    "torch.hub.load",
    "torch.load",
    "torch.utils.cpp_extension.load_inline",
    "lightning.pytorch.trainer.trainer.os.remove",
    "hydra.utils.instantiate",
]


@pytest.mark.parametrize("target", HARMFUL)
@pytest.mark.parametrize("place", ["model", "callbacks.mine", "model.wrappers[0]"])
def test_what_could_run_anything_is_refused_wherever_it_stands(target: str, place: str) -> None:
    node = {"_target_": target}
    config = {"model": {"callbacks.mine": {}}.get(place) or {"wrappers": [node]} if "[" in place else node}
    config = {"callbacks": {"mine": node}} if "callbacks" in place else config
    with pytest.raises(UserError, match="whose code would run") as caught:
        check_targets(OmegaConf.create(config))
    assert place in str(caught.value)
    assert f"RNNKIT_ALLOW={target.split('.')[0]}" in str(caught.value)


def test_every_configuration_of_the_package_is_allowed() -> None:
    from rnnkit.cli.configuration import config_folder

    for file in config_folder().rglob("*.yaml"):
        check_targets(OmegaConf.load(file))  # type: ignore[arg-type]


def test_a_run_folder_from_a_stranger(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(trained, folder)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("rnnkit.models.LanguageModel", "stranger_code.Model"))
    package = tmp_path / "packages"
    package.mkdir()
    (package / "stranger_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(package))
    for command in (["evaluate"], ["generate"], ["resume"]):
        assert run([*command, str(folder)]) == 2
        assert "stranger_code.Model, whose code would run. Try: RNNKIT_ALLOW=stranger_code" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("RNNKIT_ALLOW", "something, stranger_code")
    assert run(["evaluate", str(folder)]) != 0  # it has no Model: but now it was looked for
    assert (tmp_path / "ran").exists()
    sys.modules.pop("stranger_code", None)


def test_code_of_ones_own_needs_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_lab_here.py").write_text("class Model: pass\n")
    config = OmegaConf.create({"model": {"_target_": "my_lab_here.Model"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError):
        check_targets(config)
    check_targets(config, {"my_lab_here.Model"})  # typed on the command line
    monkeypatch.chdir(tmp_path)
    check_targets(config)
