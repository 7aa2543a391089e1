from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rnnkit.data import ByteTokenizer, CharTokenizer, TextData, WordTokenizer, load_tokenizer
from rnnkit.errors import UserError

TEXT = "".join(f"{i} bottles of beer on the wall, é\n" for i in range(400))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def ready(**arguments: object) -> TextData:
    data = TextData(**arguments)  # type: ignore[arg-type]
    data.setup()
    return data


@pytest.mark.usefixtures("real_data")
def test_counts_of_tiny_shakespeare() -> None:
    data = ready(dataset="tiny_shakespeare", split={"valid_fraction": 0.1, "test_fraction": 0.0})
    assert {name: split.characters for name, split in data.splits.items()} == {"train": 1_003_854, "valid": 111_540}
    assert [len(split.tokens) for split in data.splits.values()] == [1_003_854, 111_540]
    assert data.model_kwargs == {"vocabulary_size": 66}  # 65 and <unk>
    assert data.splits["valid"].unknown == 0
    assert data.tokenizer.decode(data.splits["train"].tokens[:13]) == "First Citizen"


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(
    ("dataset", "tokens", "vocabulary"),
    [("ptb", [929_589, 73_760, 82_430], 10_000), ("wikitext2", [2_088_628, 217_646, 245_569], 33_278)],
)
def test_counts_of_the_word_corpora(dataset: str, tokens: list[int], vocabulary: int) -> None:
    data = ready(dataset=dataset, level="word")
    assert list(data.splits) == ["train", "valid", "test"]
    assert [len(split.tokens) for split in data.splits.values()] == tokens
    assert [split.words for split in data.splits.values()] == tokens
    assert data.model_kwargs == {"vocabulary_size": vocabulary}


def test_the_default_needs_no_download() -> None:
    data = ready(dataset="python_stdlib")
    assert 90 <= data.model_kwargs["vocabulary_size"] <= 101
    total = sum(split.characters for split in data.splits.values())
    assert 0.85 < data.splits["train"].characters / total < 0.95
    assert all(split.characters / total > 0.02 for split in data.splits.values())


def test_a_path_goes_before_the_named_set(corpus: Path) -> None:
    assert sum(split.characters for split in ready(path=corpus, dataset="python_stdlib").splits.values()) == len(TEXT)
    explicit = ready(train=corpus, valid=corpus, dataset="python_stdlib")
    assert {name: split.characters for name, split in explicit.splits.items()} == dict.fromkeys(
        ("train", "valid"), len(TEXT)
    )


@pytest.mark.parametrize(("level", "tokens"), [("char", len(TEXT)), ("byte", len(TEXT.encode())), ("word", 400 * 9)])
def test_lengths_in_units_that_do_not_depend_on_the_tokenizer(level: str, tokens: int, corpus: Path) -> None:
    split = ready(train=corpus, valid=corpus, level=level, lanes=8).splits["train"]
    assert len(split.tokens) == tokens
    assert split.tokens.dtype == torch.int32
    assert (split.characters, split.bytes, split.words, split.unknown) == (len(TEXT), len(TEXT.encode()), 400 * 9, 0)


def test_a_last_line_without_its_newline_counts_as_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\nc d")
    (tmp_path / "b.txt").write_text("e")
    data = TextData(train=[tmp_path / "a.txt", tmp_path / "b.txt"], valid=tmp_path / "a.txt", level="word")
    data.setup("validate")
    assert data.tokenizer.decode(data.splits["train"].tokens) == "a b\nc d\ne\n"
    assert data.splits["valid"].words == len(data.splits["valid"].tokens) == 6


def test_the_units_are_the_same_at_every_level_without_a_last_newline(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\nc d")
    for level in ("char", "byte", "word"):
        data = TextData(train=tmp_path / "a.txt", valid=tmp_path / "a.txt", level=level)
        data.setup("test")
        assert data.splits["valid"].words == 6


def test_bytes_of_a_binary_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4)
    data = ready(path=tmp_path / "a.bin", level="byte", lanes=2, bptt_steps=8)
    assert isinstance(data.tokenizer, ByteTokenizer)
    assert torch.cat([split.tokens for split in data.splits.values()]).tolist() == [*range(256)] * 4


def test_the_vocabulary_is_the_training_split_s_and_the_unknown_is_counted(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("ab" * 50 + "c")
    (tmp_path / "valid.txt").write_text("abXYc")
    data = ready(train=tmp_path / "train.txt", valid=tmp_path / "valid.txt", min_count=2, lanes=1, bptt_steps=8)
    assert data.tokenizer.tokens == ("a", "b", "<unk>")
    assert [data.splits[name].unknown for name in ("train", "valid")] == [1, 3]


def test_a_given_tokenizer_is_kept_and_decides_the_level(corpus: Path) -> None:
    tokenizer = WordTokenizer.train(["bottles of beer\n"])
    data = TextData(test=corpus, tokenizer=tokenizer)
    data.setup("test")
    assert data.tokenizer is tokenizer
    assert list(data.splits) == ["test"]
    assert data.splits["test"].unknown == 400 * 5  # number, on, the, wall, é


def test_the_vocabulary_is_saved_beside_the_run(corpus: Path, tmp_path: Path) -> None:
    data = ready(path=corpus)
    data.save(tmp_path / "run")
    assert load_tokenizer(tmp_path / "run" / "vocabulary.json").tokens == data.tokenizer.tokens


def test_setup_reads_once(corpus: Path) -> None:
    data = ready(path=corpus)
    splits = dict(data.splits)
    corpus.unlink()
    data.setup("fit")
    assert all(data.splits[name] is split for name, split in splits.items())


def test_loaders(corpus: Path) -> None:
    data = ready(path=corpus, lanes=16, bptt_steps=32, eval_lanes=4)
    for windows, split, lanes in (
        (data.train_dataloader(), "train", 16),
        (data.val_dataloader(), "valid", 4),
        (data.test_dataloader(), "test", 4),
        (data.windows("train", lanes=1, steps=32), "train", 1),
    ):
        first = next(iter(windows))
        tokens = data.splits[split].tokens
        assert first.inputs.shape == (lanes, 32)
        assert first.inputs[0].tolist() == tokens[:32].tolist()
        assert sum(int((batch.targets >= 0).sum()) for batch in windows) == len(tokens) - 1


def test_a_short_validation_split_has_fewer_lanes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcd" * 100)
    (tmp_path / "b.txt").write_text("abc")
    data = ready(train=tmp_path / "a.txt", valid=tmp_path / "b.txt", lanes=4)
    assert [batch.inputs.tolist() for batch in data.val_dataloader()] == [[[0], [1]]]


def test_processes_share_the_lanes(corpus: Path) -> None:
    data = ready(path=corpus, lanes=4, eval_lanes=3)
    data.trainer = SimpleNamespace(global_rank=1, world_size=2)  # type: ignore[assignment]
    assert [len(next(iter(w)).reset) for w in (data.train_dataloader(), data.val_dataloader())] == [2, 2]
    data.lanes = 5
    with pytest.raises(UserError, match=r"data\.lanes: .*multiple of 2"):
        data.train_dataloader()


def test_a_training_text_too_short_says_what_fits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 1000)
    with pytest.raises(
        UserError, match=r"64 lanes x 64 steps; got 899 predictions\. Try: data\.lanes=14 data\.bptt_steps=64"
    ):
        ready(path=tmp_path / "a.txt")
    ready(path=tmp_path / "a.txt", lanes=14, bptt_steps=64)
    TextData(path=tmp_path / "a.txt").setup("test")  # evaluation needs no training windows
    with pytest.raises(UserError, match=r"Try: data\.lanes=1 data\.bptt_steps=899"):
        ready(path=tmp_path / "a.txt", bptt_steps=5000)


def test_a_split_without_a_prediction_is_refused(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "b.txt").write_text("a")
    with pytest.raises(UserError, match=r"valid split: expected at least two tokens; got 1\. .*data\.valid="):
        ready(train=corpus, valid=tmp_path / "b.txt")


def test_a_split_that_does_not_exist(corpus: Path) -> None:
    data = ready(path=corpus, split={"test_fraction": 0.0})
    with pytest.raises(UserError, match="split: expected one of train, valid; got 'test'"):
        data.test_dataloader()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"data\.path: expected a text to read; got nothing\. Try: data\.path="),
        (
            {"path": "a", "train": "b", "valid": "c"},
            r"data\.path: expected either .*; got data\.train, data\.valid too",
        ),
        ({"train": "b"}, r"both; got data\.train only\. Try: data\.train=corpus\.txt data\.valid=other_corpus\.txt"),
        ({"test": "b", "dataset": "ptb"}, r"both; got data\.test only"),
        (
            {"path": "a", "level": "charakter"},
            r"one of char, byte, word, subword; got 'charakter'\. Try: data\.level=char",
        ),
        ({"path": "a", "level": "words"}, r"Try: data\.level=word"),
        ({"path": "a", "lanes": 0}, r"data\.lanes: expected a whole number, 1 or more; got 0"),
        ({"path": "a", "bptt_steps": -1}, r"data\.bptt_steps: .*; got -1"),
        ({"path": "a", "eval_lanes": 2.5}, r"data\.eval_lanes: .*; got 2\.5"),
        ({"path": "a", "min_count": 0}, r"data\.min_count: "),
        (
            {"path": "a", "split": {"valid_fraction": 0.0}},
            r"data\.split\.valid_fraction: expected a number between 0 and 1; got 0\.0",
        ),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_read(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextData(**arguments).setup()  # type: ignore[arg-type]


def test_an_unknown_set_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"got 'tiny_shakespear'\. Try: data\.dataset=tiny_shakespeare"):
        ready(dataset="tiny_shakespear")


def test_before_setup_there_is_no_tokenizer(corpus: Path) -> None:
    with pytest.raises(RuntimeError, match="before setup"):
        _ = TextData(path=corpus).model_kwargs


def test_the_char_tokenizer_is_the_default(corpus: Path) -> None:
    assert isinstance(ready(path=corpus).tokenizer, CharTokenizer)
