"""Data that disappear, are cut short, or are made to do harm: the run goes on, or one message names the file."""

import gzip
import importlib.util
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.utils._pytree import tree_leaves

from rnnkit.data import AudioLabelData, ForecastData, SequenceData, SeriesLabelData, TagData, TextLabelData
from rnnkit.data.catalog import DATA_SETS
from rnnkit.data.io import blocks, decoding, sources
from rnnkit.data.labeled.recordings import recordings
from rnnkit.errors import UserError

HAS_SOUND = importlib.util.find_spec("soundfile") is not None
sound_only = pytest.mark.skipif(not HAS_SOUND, reason="pip install 'rnnkit[audio]'")


def wav(seconds: float, hertz: float) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(int(8000 * seconds)) * hertz / 1300), 8000, format="WAV")
    return file.getvalue()


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_tags(folder: Path) -> SequenceData[Any]:
    for name, size in (("train", 60), ("valid", 12)):
        lines = (f"word{n % 7} {'XO'[n % 2]}\n" + "\n" * (n % 3 == 0) for n in range(size))
        (folder / f"{name}.conll").write_text("".join(lines))
    (folder / "vectors.txt").write_text("word1 0.5 0.25\nword2 1 2\n")
    return TagData(
        train=folder / "train.conll", valid=folder / "valid.conll", vectors=str(folder / "vectors.txt"), batch_size=5
    )


def write_forecasts(folder: Path) -> SequenceData[Any]:
    rows = "".join(f"2024-01-{1 + n // 24:02} {n % 24:02}:00,{n % 24},{n}\n" for n in range(400))
    (folder / "a.csv").write_text("time,x,y\n" + rows)
    return ForecastData(path=folder / "a.csv", context=12, horizon=4, windows={"stride": 5})


def write_texts(folder: Path) -> SequenceData[Any]:
    (folder / "a.csv").write_text("text,label\n" + "".join(f"{'w ' * (1 + n % 9)},{n % 2}\n" for n in range(90)))
    return TextLabelData(path=folder / "a.csv", batch_size=5)


def write_series(folder: Path) -> SequenceData[Any]:
    rows = "".join(f"{n // 6},{n % 6},{n * 0.7},{'ab'[n // 6 % 2]}\n" for n in range(360))
    (folder / "a.csv").write_text("id,t,x,label\n" + rows)
    return SeriesLabelData(path=folder / "a.csv", id_column="id", step_column="t", batch_size=5)


def write_recordings(folder: Path) -> SequenceData[Any]:
    for n in range(24):
        (folder / f"{n % 2}_{n}.wav").write_bytes(wav(0.1 + 0.01 * n, 300 * (1 + n % 2)))
    return AudioLabelData(path=folder, target_pattern=r"^(\d)_", batch_size=5)


KINDS: dict[str, Callable[[Path], SequenceData[Any]]] = {
    "tags": write_tags,
    "forecasts": write_forecasts,
    "texts": write_texts,
    "series": write_series,
    "recordings": write_recordings,
}


def flat(batch: Any) -> list[Any]:
    return [leaf.nan_to_num(-1).tolist() if isinstance(leaf, Tensor) else leaf for leaf in tree_leaves(batch)]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=sound_only) if kind == "recordings" else kind for kind in KINDS]
)
@pytest.mark.parametrize("harm", ["removed", "rewritten"])
def test_files_that_go_while_training_do_no_harm(kind: str, harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    whole, harmed = KINDS[kind](folder), KINDS[kind](folder)
    for data in (whole, harmed):
        data.setup()
    expected = [[flat(batch) for batch in loader] for loader in (whole.train_dataloader(), whole.val_dataloader())]
    training = iter(harmed.train_dataloader())
    found = [flat(next(training))]
    if harm == "removed":
        shutil.rmtree(folder)
    else:
        for path in folder.iterdir():
            path.write_bytes(b"other\n" * 1000)
    found += [flat(batch) for batch in training]
    assert [found, [flat(batch) for batch in harmed.val_dataloader()]] == expected


@pytest.mark.parametrize("kind", ["texts", pytest.param("recordings", marks=sound_only)])
def test_a_file_that_goes_while_a_folder_is_read_is_named(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"a": b"text,label\nw,1\n", "b": b"text,label\nw,2\n"}
    if kind == "recordings":
        contents = dict.fromkeys(("0_a", "0_b"), wav(0.1, 300))
    suffix = ".wav" if kind == "recordings" else ".csv"
    for name, content in contents.items():
        (tmp_path / f"{name}{suffix}").write_bytes(content)
    first, second = (tmp_path / f"{name}{suffix}" for name in contents)
    original = blocks.byte_blocks

    def losing(path: Path, argument: str = "data.path") -> Any:
        second.unlink(missing_ok=True)
        return original(path, argument)

    for module in (blocks, decoding, sources):
        monkeypatch.setattr(module, "byte_blocks", losing)
    data: SequenceData[Any] = (
        AudioLabelData(path=tmp_path, target_pattern=r"^(\d)_")
        if kind == "recordings"
        else TextLabelData(path=tmp_path)
    )
    with pytest.raises(UserError, match=rf"data\.path: .*{second.name}: No such file"):
        data.setup()
    assert first.exists()


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("kind", ["tags", "forecasts", "texts", "series"])
def test_a_packed_file_that_is_cut_short_is_named(kind: str, suffix: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path)
    path = tmp_path / ("train.conll" if kind == "tags" else "a.csv")
    packed = path.with_name(path.name + suffix)
    content = (gzip if suffix == ".gz" else lzma).compress(path.read_bytes())
    packed.write_bytes(content[: len(content) * 2 // 3])
    data: SequenceData[Any] = {
        "tags": lambda: TagData(path=packed),
        "forecasts": lambda: ForecastData(path=packed, context=12, horizon=4),
        "texts": lambda: TextLabelData(path=packed),
        "series": lambda: SeriesLabelData(path=packed, id_column="id", step_column="t"),
    }[kind]()
    with pytest.raises(UserError, match=rf"data\.path: expected a whole {suffix} file; got \S*{packed.name}: "):
        data.setup()


@sound_only
def test_an_archive_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", {f"0_{n}.wav": wav(0.2, 100 * n) for n in range(3)})
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"a whole \.gz file; got \S*a\.tar\.gz"):
        list(recordings(path, "data.path"))


@sound_only
def test_an_archive_writes_nothing_and_its_links_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.wav").write_bytes(wav(0.3, 700))
    path = inside / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("../evil.wav", "/evil.wav", "good.wav"):
            member = tarfile.TarInfo(name)
            member.size = len(wav(0.1, 300))
            tar.addfile(member, io.BytesIO(wav(0.1, 300)))
        for name, kind in (
            ("link.wav", tarfile.SYMTYPE),
            ("hard.wav", tarfile.LNKTYPE),
            ("pipe.wav", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../secret.wav"
            tar.addfile(member)
    before = {path for path in Path(tmp_path).rglob("*") if path.is_file()}
    assert [recording.name for recording in recordings(path, "data.path")] == ["../evil.wav", "/evil.wav", "good.wav"]
    assert {path for path in Path(tmp_path).rglob("*") if path.is_file()} == before
    assert not Path("/evil.wav").exists()


@sound_only
def test_a_member_that_promises_more_than_its_archive_holds(tmp_path: Path) -> None:
    member = tarfile.TarInfo("0_a.wav")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 44)}
    content = b"1\n0\n0\n".ljust(512, b"\0")
    member.size = len(content)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content))
    with pytest.raises(UserError, match=r"a\.tar: 0_a\.wav would have 17,592,186,044,416 bytes"):
        list(recordings(path, "data.path"))


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundredth of the limit; what packs as well but stays below it is read."""
    monkeypatch.setattr("rnnkit.data.io.packed.ALLOWED", 10 << 20)
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"text,label\n")
        for _ in range(64):
            file.write(b"w,1\n" * (1 << 18))
    with pytest.raises(UserError, match=r"a\.csv\.gz, whose [\d,]+ bytes unpack to more than [12]\d,\d{3},\d{3}"):
        TextLabelData(path=path).setup()
    with gzip.open(path, "wb") as file:
        file.write(b"w" * (9 << 20))
    assert len(sources.read_bytes(path)) == 9 << 20


def test_arrays_that_unpack_to_huge_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnkit.data.io.packed.ALLOWED", 10 << 20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((4, 1 << 20)), y=["a", "b"] * 2)
    with zipfile.ZipFile(path) as found:
        assert sum(member.file_size for member in found.infolist()) > 32 << 20
    with pytest.raises(UserError, match=r"a plausible compression ratio; got a\.npz, whose [\d,]+ bytes unpack to"):
        SeriesLabelData(path=path).setup()


@pytest.mark.parametrize("name", DATA_SETS)
def test_no_name_of_the_catalog_leads_out_of_the_data_folder(name: str) -> None:
    for file in DATA_SETS[name].files:
        for path in map(PurePosixPath, file.names):
            assert not path.is_absolute()
            assert ".." not in path.parts
