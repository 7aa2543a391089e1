"""Recordings with labels: log-mel energies, names, archives, what is refused."""

import io
import lzma
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.data import AudioLabelData
from rnnkit.data.labeled.log_mel import log_mel, mel_triangles
from rnnkit.data.labeled.recordings import recordings
from rnnkit.errors import UserError

soundfile = pytest.importorskip("soundfile", reason="pip install 'rnnkit[audio]'")

RATE = 8000
DIGITS = {"0": 300.0, "1": 1200.0, "2": 2500.0}
SPEAKERS = ("ann", "bob", "cat", "dan", "eve")


def tone(hertz: float, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def sound(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def contents() -> dict[str, bytes]:
    return {
        f"recordings/{digit}_{speaker}_{take}.wav": sound(tone(hertz * (1 + 0.02 * n), 0.1 + 0.02 * take))
        for digit, hertz in DIGITS.items()
        for n, speaker in enumerate(SPEAKERS)
        for take in range(4)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in contents().items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "set" / "README.md").write_text("no sound")
    return tmp_path / "set"


def packed(path: Path, files: dict[str, bytes]) -> Path:
    kind = "w:xz" if path.suffix == ".xz" else "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, kind) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def ready(**settings: Any) -> AudioLabelData:
    data = AudioLabelData(**{"target_pattern": r"^(\d)_", **settings})
    data.setup()
    return data


def test_log_mel_is_its_equation() -> None:
    """By hand: every window, every frequency, every triangle, in double precision without a fast transform."""
    wave = np.random.default_rng(0).normal(0, 0.1, 700)
    window, hop, size, bands = 200, 80, 256, 12
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    k = np.arange(size // 2 + 1)
    frames = [wave[start : start + window] * hann for start in range(0, len(wave) - window + 1, hop)]
    energy = np.array(
        [[abs(np.sum(f * np.exp(-2j * np.pi * n * np.arange(window) / size))) ** 2 for n in k] for f in frames]
    )
    mel = 2595 * np.log10(1 + k * RATE / size / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), bands + 2) / 2595) - 1)
    hz = k * RATE / size
    by_hand = np.empty((len(frames), bands))
    for band in range(bands):
        low, middle, high = edges_hz[band : band + 3]
        weight = np.where(hz < middle, (hz - low) / (middle - low), (high - hz) / (high - middle)).clip(0)
        by_hand[:, band] = np.log(energy @ weight + 1e-6)
        inside = mel[(weight > 0)]
        assert len(inside) > 0
    found = log_mel(torch.from_numpy(wave).float(), RATE, bands=bands)
    assert found.shape == (7, bands)
    np.testing.assert_allclose(found, by_hand, atol=2e-4)


def test_energies_are_those_of_torch_s_own_transform() -> None:
    wave_N = torch.randn(4000)
    # torch puts a short window into the middle of the transform, 28 samples later: the energies differ by a phase alone
    shifted_N = torch.cat([torch.zeros(28), wave_N, torch.zeros(28)])
    spectrum_KT = torch.stft(
        shifted_N, 256, hop_length=80, win_length=200, window=torch.hann_window(200), center=False, return_complex=True
    )
    expected = torch.log(spectrum_KT.abs().square().T @ mel_triangles(40, 256, RATE).T + 1e-6)
    torch.testing.assert_close(log_mel(wave_N, RATE), expected, atol=1e-4, rtol=1e-4)


def test_triangles_are_1_between_their_middles() -> None:
    total_K = mel_triangles(20, 512, RATE).sum(0)
    edges_hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 22) / 2595) - 1)
    hz = np.linspace(0, 4000, 257)
    inside = (hz >= edges_hz[1]) & (hz <= edges_hz[-2])
    np.testing.assert_allclose(total_K[inside], 1, atol=1e-5)


def test_a_sound_shorter_than_a_window_is_one_step() -> None:
    assert log_mel(torch.ones(10), RATE).shape == (1, 40)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
def test_archives_and_folders_hold_the_same(name: str, folder: Path, tmp_path: Path) -> None:
    archive = packed(tmp_path / name, {**contents(), "recordings/._0_ann_0.wav": b"what macOS adds", "x.txt": b"text"})
    from_archive = list(recordings(archive, "data.path"))
    from_folder = list(recordings(folder, "data.path"))
    assert [recording.name for recording in from_archive] == [recording.name for recording in from_folder]
    assert len(from_folder) == 60
    for ours, theirs in zip(from_archive, from_folder, strict=True):
        assert ours.wave.equal(theirs.wave)
        assert ours.sample_rate == RATE
    torch.testing.assert_close(from_folder[0].wave, torch.from_numpy(tone(300.0, 0.1)).float(), atol=1 / 32768, rtol=0)


def test_labels_splits_and_batches(folder: Path) -> None:
    data = ready(path=folder, test_pattern=r"_0\.wav$", batch_size=16)
    assert {name: len(examples) for name, examples in data.splits.items()} == {"train": 39, "valid": 6, "test": 15}
    assert all(str(example.id).endswith("_0.wav") for example in data.splits["test"])
    assert not any(str(e.id).endswith("_0.wav") for name in ("train", "valid") for e in data.splits[name])
    for examples in data.splits.values():
        assert all(data.task_kwargs["classes"][e.target] == e.id.split("/")[1][0] for e in examples)  # type: ignore[union-attr]
    steps_NI = torch.cat([example.inputs for example in data.splits["train"]])
    torch.testing.assert_close(steps_NI.mean(0), torch.zeros(40), atol=1e-4, rtol=0)
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.shape[2] == data.model_kwargs["input_size"] == 40


def test_a_rule_for_the_test_split_does_not_empty_a_training_split_in_silence(folder: Path) -> None:
    for settings in ({"test_pattern": r"_0\.wav$"}, {"group_pattern": r"_(\w+)_", "split": {"test_groups": ["eve"]}}):
        with pytest.raises(UserError, match=r"data.train: expected no sequences that a rule assigns to the test split"):
            ready(train=folder, **settings)


def test_no_speaker_is_in_two_splits(folder: Path) -> None:
    for settings in (
        {"split": {"valid_fraction": 0.2, "test_fraction": 0.2}},
        {"split": {"test_groups": ["eve"], "valid_fraction": 0.25}},
    ):
        data = ready(path=folder, group_pattern=r"_(\w+)_", **settings)
        homes = {name: {example.group for example in examples} for name, examples in data.splits.items()}
        assert [len(home) for home in homes.values()] == [3, 1, 1]
        assert set.union(*homes.values()) == set(SPEAKERS)
    assert homes["test"] == {"eve"}


def test_a_pattern_with_a_slash_sees_the_path(tmp_path: Path) -> None:
    files = {f"{word}/{n}.wav": sound(tone(300 + 50 * n)) for word in ("yes", "no") for n in range(10)}
    data = ready(path=packed(tmp_path / "a.tar", files), target_pattern="^(.+)/", split={"test_fraction": 0})
    assert data.task_kwargs["classes"] == ["no", "yes"]


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(300), np.zeros(len(tone(300)))], 1)
    (tmp_path / "a.wav").write_bytes(sound(both))
    (recording,) = recordings(tmp_path / "a.wav", "data.path")
    torch.testing.assert_close(recording.wave, torch.from_numpy(both.mean(1)).float(), atol=1 / 32768, rtol=0)


def test_what_was_learned_comes_back(folder: Path, tmp_path: Path) -> None:
    data = ready(path=folder)
    data.save(tmp_path)
    again = AudioLabelData(target_pattern=r"^(\d)_", test=folder)
    again.load(tmp_path)
    again.setup("test")
    ours = {str(example.id): example for examples in data.splits.values() for example in examples}
    for example in again.splits["test"]:
        assert example.inputs.equal(ours[str(example.id)].inputs)
        assert example.target == ours[str(example.id)].target
    one = folder / "recordings" / "1_bob_2.wav"
    renamed = tmp_path / "unknown.wav"
    renamed.write_bytes(one.read_bytes())
    (example,) = again.read_inputs(renamed)
    assert example.inputs.equal(ours["recordings/1_bob_2.wav"].inputs)
    assert example.target is None
    with pytest.raises(UserError, match=r"--input: expected a .wav file.*; got standard input"):
        next(again.read_inputs(None))


def test_a_centered_recording_does_not_know_its_microphone(tmp_path: Path) -> None:
    """A gain, the simplest of microphones, adds the same to all logarithms."""
    noise = np.random.default_rng(0).normal(0, 0.1, (6, 4000))
    files = {f"{n % 2}_a_{n}.wav": sound(samples) for n, samples in enumerate(noise)}
    files |= {f"{n % 2}_b_{n}.wav": sound(samples * 0.4) for n, samples in enumerate(noise)}
    archive = packed(tmp_path / "a.tar", files)
    for center, same in ((True, True), (False, False)):
        data = AudioLabelData(target_pattern=r"^(\d)_", path=archive, center=center, split={"test_fraction": 0})
        found = {str(example.id): example.inputs for examples in data.read().values() for example in examples}
        for n in range(6):
            loud, soft = found[f"{n % 2}_a_{n}.wav"], found[f"{n % 2}_b_{n}.wav"]
            assert np.allclose(loud, soft, atol=0.05) == same
            if not center:
                np.testing.assert_allclose(loud - soft, -2 * np.log(0.4), atol=0.05)


def flac(declared: int) -> bytes:
    """A file of 2,000 samples that declares others."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(2000), 8000, format="FLAC")
    content = bytearray(file.getvalue())
    content[21:26] = (content[21] & 0xF0 | declared >> 32).to_bytes(1, "big") + (declared & 0xFFFFFFFF).to_bytes(
        4, "big"
    )
    return bytes(content)


FLAC = flac(2**36 - 1)
REFUSED: dict[str, tuple[dict[str, bytes], dict[str, Any], str]] = {
    "damaged": ({"0_a_0.wav": b"RIFFnothing"}, {}, r"data.path: expected sound files; got 0_a_0.wav"),
    "empty": ({"0_a_0.wav": sound(np.zeros(0))}, {}, r"expected sound; got 0_a_0.wav, which has no samples"),
    "two rates": (
        {"0_a_0.wav": sound(tone(300)), "1_a_0.wav": sound(tone(300, rate=16000), 16000)},
        {},
        r"expected 8000 samples per second, as in data.sample_rate .*; got 16000 in 1_a_0.wav. Try: ffmpeg",
    ),
    "another rate": ({"0_a_0.wav": sound(tone(300))}, {"sample_rate": 16000}, r"expected 16000 samples .*; got 8000"),
    "no match": (
        {"zero.wav": sound(tone(300))},
        {},
        r"data.target_pattern: expected '\^\(\\d\)_' in every name; got 'zero.wav'",
    ),
    "no sound": ({"a.txt": b"text"}, {}, r"data.path: expected wav files, a folder or an archive of them; got none"),
    "one class": (
        {f"0_a_{n}.wav": sound(tone(300)) for n in range(5)},
        {},
        r"expected two classes or more; got only '0'",
    ),
    "narrow bands": (
        {"0_a_0.wav": sound(tone(300))},
        {"bands": 200},
        r"data.bands: expected fewer or wider bands",
    ),
    "more bands than any": ({"0_a_0.wav": sound(tone(300))}, {"bands": 10**12}, r"data.bands: expected fewer"),
    "a hop of no sample": ({"0_a_0.wav": sound(tone(300))}, {"hop_ms": 0.01}, r"0\.01 ms are shorter than a sample"),
    "a second of two billion": (
        {"0_a_0.wav": sound(tone(300), 2**31 - 1)},
        {},
        r"expected at most 1,000,000 samples per second; got 2,147,483,647 in 0_a_0.wav",
    ),
    "declared, not there": ({"0_a_0.wav": FLAC}, {}, r"expected a plausible compression ratio; got 0_a_0.wav"),
    "no pattern": ({}, {"target_pattern": "("}, r"data.target_pattern: expected a regular expression; got '\('"),
    "no bracket": ({}, {"target_pattern": r"\d_"}, r"data.target_pattern: expected one group in brackets"),
    "no bands": ({}, {"bands": 0}, r"data.bands: expected a positive number; got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_in_one_message(case: str, tmp_path: Path) -> None:
    files, settings, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        ready(path=packed(tmp_path / "a.tar", files), **settings)


def test_damaged_archives(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.tar", contents()).read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(lzma.compress(whole)[:-100])
    with pytest.raises(UserError, match=r"data.path: expected a whole .xz file; got .*cut.tar.xz"):
        ready(path=tmp_path / "cut.tar.xz")
    (tmp_path / "cut.tar").write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"data.path: expected a complete tar archive; got cut.tar"):
        ready(path=tmp_path / "cut.tar")
    link = tarfile.TarInfo("././@LongLink")
    link.size, link.type = 5, tarfile.GNUTYPE_LONGNAME
    (tmp_path / "deep.tar").write_bytes((link.tobuf(tarfile.GNU_FORMAT) + b"a.wav".ljust(512, b"\0")) * 5000)
    with pytest.raises(UserError, match=r"data.path: expected a complete tar archive; got deep.tar"):
        ready(path=tmp_path / "deep.tar")
    (tmp_path / "no.tar").write_bytes(b"no archive at all" * 100)
    with pytest.raises(UserError, match=r"data.path: expected a complete tar archive; got no.tar"):
        ready(path=tmp_path / "no.tar")


def test_without_soundfile_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        UserError, match=r"expected the package soundfile; got none. Try: pip install 'rnnkit\[audio\]'"
    ):
        ready(path=folder)


@pytest.mark.usefixtures("real_data")
def test_spoken_digits_have_the_published_counts() -> None:
    data = ready(dataset="fsdd", test_pattern=r"_[0-4]\.wav$", group_pattern=None)
    sizes = {name: len(examples) for name, examples in data.splits.items()}
    assert sizes["train"] + sizes["valid"] == 2700
    assert sizes["test"] == 300
    assert np.bincount([example.target for example in data.splits["test"]]).tolist() == [30] * 10
