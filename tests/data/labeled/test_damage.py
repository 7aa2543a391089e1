"""Files that were damaged anywhere end in a UserError or are read; nothing else comes out."""

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnnkit.data import AudioLabelData, CMAPSSData, SeriesLabelData, TextLabelData
from rnnkit.data.labeled.base import LabeledData
from rnnkit.errors import UserError

TRIES = 40


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.random.default_rng(0).normal(size=(12, 5, 2)), y=["a", "b"] * 6)
    return file.getvalue()


def tar() -> bytes:
    soundfile = pytest.importorskip("soundfile", reason="pip install 'rnnkit[audio]'")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for n in range(6):
            sound = io.BytesIO()
            soundfile.write(sound, np.sin(np.arange(900) * (0.1 + n % 2)), 8000, format="WAV")
            member = tarfile.TarInfo(f"{n % 2}_{n}.wav")
            member.size = len(sound.getvalue())
            archive.addfile(member, io.BytesIO(sound.getvalue()))
    return file.getvalue()


def rows(line: Callable[[int], str], number: int = 12) -> bytes:
    return "".join(line(n) + "\n" for n in range(number)).encode()


LONG = b"who,t,x,label\n" + rows(lambda n: f"s{n // 2},{n % 2},{n * 1.5},{'ab'[n // 2 % 2]}")
FILES: dict[str, tuple[Callable[[], bytes], Callable[[Path], LabeledData]]] = {
    "a.csv": (
        lambda: b"text,label\n" + rows(lambda n: f'"w{n}, ""x""",{"ab"[n % 2]}'),
        lambda path: TextLabelData(path=path, split={"test_fraction": 0}),
    ),
    "b.jsonl": (
        lambda: rows(lambda n: json.dumps({"text": f"w{n}", "label": n % 2})),
        lambda path: TextLabelData(path=path, split={"test_fraction": 0}),
    ),
    "c.csv": (
        lambda: LONG,
        lambda path: SeriesLabelData(path=path, split={"test_fraction": 0}, id_column="who", step_column="t"),
    ),
    "d.csv": (
        lambda: rows(lambda n: f"{n % 2},{n}.5,{n * n},3"),
        lambda path: SeriesLabelData(
            path=path, split={"test_fraction": 0}, layout="wide", table={"header": False}, target_column=0
        ),
    ),
    "e.ts": (
        lambda: b"@classLabel true a b\n@data\n" + rows(lambda n: f"{n},2,3:{n},5,?:{'ab'[n % 2]}"),
        lambda path: SeriesLabelData(path=path, split={"test_fraction": 0}),
    ),
    "f.npz": (npz, lambda path: SeriesLabelData(path=path, split={"test_fraction": 0})),
    "g.tar": (tar, lambda path: AudioLabelData(path=path, split={"test_fraction": 0}, target_pattern=r"^(\d)_")),
    "h.txt": (
        lambda: rows(lambda n: " ".join(map(str, [n // 3, n % 3 + 1, *range(n, n + 24)]))),
        lambda path: CMAPSSData(path=path, split={"test_fraction": 0, "valid_fraction": 0.3}),
    ),
}


def damaged(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice((1, 1, 2, 20)))
    kind = chance.randrange(4)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[end:]
    if kind == 2:
        return content[:start] + content[start:end] + content[start:]
    return content[:start] + bytes(chance.choices(b'\0\x1b\xff\n\r,:"?a0-.e', k=end - start)) + content[end:]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("error")
def test_damage_is_told_or_harmless(name: str, tmp_path: Path) -> None:
    content, reading = FILES[name]
    whole = content()
    path = tmp_path / name
    path.write_bytes(whole)
    reading(path).setup()  # as it is, it can be read
    chance = random.Random(name)
    told = 0
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        try:
            reading(path).setup()
        except UserError:
            told += 1
    assert told > TRIES // 10
