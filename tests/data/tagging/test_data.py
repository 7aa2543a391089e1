"""TagData: from files to batches, and back to files."""

import gzip
import io
import json
import random
from pathlib import Path

import pytest
import torch

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.data import TagData
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.data.tagging.vocabulary import BEGIN, END, UNKNOWN, Vocabulary
from rnnkit.errors import UserError
from rnnkit.predictions import TagPrediction

TRAIN = "EU B-ORG\nrejects O\n\nrejects O\nthe B-ORG\nEU I-ORG\n\nPeter B-PER\n\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    parts = {"train": TRAIN * 3, "valid": "EU O\nvetoes O\n\n", "test": "the O\n"}
    for name, text in parts.items():
        (tmp_path / f"{name}.conll").write_text(text)
    return {name: str(tmp_path / f"{name}.conll") for name in parts}


def ready(**arguments: object) -> TagData:
    data = TagData(**arguments)  # type: ignore[arg-type]
    data.setup()
    return data


def words_of(data: TagData, batch: SequenceBatch) -> list[list[str]]:
    """The tokens of a batch by the characters that the model sees."""
    alphabet = ["", "?", "", "", *data.vocabulary.alphabet]
    spelled = ["".join(alphabet[i] for i in row) for row in batch.inputs.characters.tolist()]
    lengths = [batch.shape[1]] * batch.shape[0] if batch.lengths is None else batch.lengths.tolist()
    return [
        [spelled[i] for i in row[:length]]
        for row, length in zip(batch.inputs.word_index.tolist(), lengths, strict=True)
    ]


def test_a_batch_by_hand(files: dict[str, str]) -> None:
    data = ready(**files)
    assert data.vocabulary.words == ["EU", "rejects", "Peter", "the"]
    assert data.vocabulary.tags == ["B-ORG", "O", "B-PER", "I-ORG"]
    batch = data.collate(data.splits["train"][:3])
    assert batch.inputs.words.tolist() == [[1, 2, 0], [2, 4, 1], [3, 0, 0]]
    assert batch.targets.tolist() == [[0, 1, IGNORED], [1, 0, 3], [2, IGNORED, IGNORED]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [2, 3, 1]
    assert batch.num_steps == batch.num_valid_steps == 6
    assert words_of(data, batch) == [["EU", "rejects"], ["rejects", "the", "EU"], ["Peter"]]
    assert len(batch.inputs.characters) == 4  # each distinct word once
    assert batch.inputs.sizes.tolist() == [(row != 0).sum() for row in batch.inputs.characters]
    assert {int(row[0]) for row in batch.inputs.characters} == {BEGIN}
    assert all(row[n - 1] == END for row, n in zip(batch.inputs.characters, batch.inputs.sizes, strict=True))
    same = data.collate(data.splits["train"][:1] * 2)
    assert same.lengths is None
    assert same.num_steps is None
    assert words_of(data, same) == [["EU", "rejects"]] * 2


def test_what_training_never_saw(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files["valid"]).write_text("EU O\nvetões B-LOC\nit I-LOC\nnow O\n")
    data = ready(**files)
    batch = data.collate(data.splits["valid"])
    assert batch.inputs.words.tolist() == [[1, 0, 0, 0]]
    C, outside = len(data.vocabulary.tags), data.vocabulary.tags.index("O")
    assert batch.targets.tolist() == [[outside, C + 1, C + 2, outside]]  # parts B and I
    assert "valid: 2 tokens with a tag that is not in the training split, counted as wrong\n" in capsys.readouterr().err
    assert words_of(data, batch)[0][1] == "?et?es"
    assert UNKNOWN in batch.inputs.characters


def test_the_usual_tag_is_the_most_frequent_one_and_that_of_rare_words_for_unknown_ones(tmp_path: Path) -> None:
    text = "a X\na Y\na Y\nb Z\nb Z\nc Z\nd W\ne W\n\n"
    (tmp_path / "a.conll").write_text(text)
    (tmp_path / "b.conll").write_text("a X\nb X\nnew X\n")
    data = ready(train=str(tmp_path / "a.conll"), valid=str(tmp_path / "b.conll"))
    usual = data.collate(data.splits["valid"]).extra.most_frequent_tag[0].tolist()
    assert [data.vocabulary.tags[i] for i in usual] == ["Y", "Z", "W"]


def test_ids_from_rare_from_on_are_those_of_words_seen_once(files: dict[str, str]) -> None:
    Path(files["train"]).write_text("a X\na X\nb X\nc X\n")
    data = ready(**files)
    assert data.vocabulary.words[: data.model_kwargs["rare_from"] - 1] == ["a"]
    assert ready(**files, min_count=2).vocabulary.words == ["a"]
    Path(files["train"]).write_text("The X\nthe X\nC X\n")
    lower = ready(**files, lowercase=True)
    assert (lower.vocabulary.words, lower.vocabulary.rare_from) == (["the", "c"], 2)
    batch = lower.collate(lower.splits["train"])
    assert batch.inputs.words.tolist() == [[1, 1, 2]]
    assert words_of(lower, batch) == [["The", "the", "C"]]
    assert data.model_kwargs["vocabulary_size"] == 4


def test_long_words_keep_their_ends() -> None:
    sentences = [Sentence(["abcdefgh"], ["X"])]
    vocabulary = Vocabulary.build(sentences, None, 1, 5, False, [])
    vocabulary.encode(sentences)
    assert sentences[0].encoded is not None
    spelled = [vocabulary.alphabet[i - END - 1] for i in sentences[0].encoded.forms.characters[0].tolist()[1:-1]]
    assert "".join(spelled) == "abcgh"


def test_entities_are_converted_for_training_and_back_for_the_reader(files: dict[str, str]) -> None:
    data = ready(**files, scheme="bioes")
    assert set(data.vocabulary.tags) == {"O", "S-ORG", "B-ORG", "E-ORG", "S-PER"}
    sink = io.StringIO()
    write = data.writer(sink, "conll")
    write(Sentence(["a", "b", "c"]), TagPrediction(["B-ORG", "E-ORG", "S-PER"]))
    assert sink.getvalue() == "a\tB-ORG\nb\tI-ORG\nc\tB-PER\n\n"


def test_mistakes_in_the_scheme_are_counted(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files["valid"]).write_text("a I-ORG\nb O\nc B-PER\nd I-PER\n")
    ready(**files, scheme="bio")
    assert (
        "valid: 1 of 3 tags of entities do not follow bio and are read by the rules of conlleval; "
        "the first is I-ORG at 'a', valid.conll line 1\n"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("packed", [False, True])
def test_formats_go_by_names_and_agree(tmp_path: Path, packed: bool) -> None:
    rng = random.Random(0)
    tagged = [[(rng.choice("abcd"), rng.choice("XYZ")) for _ in range(rng.randint(1, 6))] for _ in range(40)]
    columns = "\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in one) for one in tagged)
    conllu = "\n\n".join(
        "\n".join("\t".join([str(n), word, "_", tag, *"______"]) for n, (word, tag) in enumerate(one, 1))
        for one in tagged
    )
    lines = "\n".join(json.dumps({"tokens": [w for w, _ in one], "tags": [t for _, t in one]}) for one in tagged)
    batches = []
    for name, text in (("a.conll", columns), ("a.conllu", conllu), ("a.jsonl", lines)):
        path = tmp_path / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        data = ready(path=str(path), batch_size=4)
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 32, "valid": 4, "test": 4}
        batches.append(next(iter(data.train_dataloader())))
    for batch in batches[1:]:
        assert torch.equal(batch.targets, batches[0].targets)
        assert torch.equal(batch.inputs.characters, batches[0].inputs.characters)


def test_what_was_learned_comes_back(files: dict[str, str], tmp_path: Path) -> None:
    data = ready(**files, scheme="bioes")
    data.save(tmp_path / "run")
    again = TagData(test=files["test"], scheme="bioes")
    again.load(tmp_path / "run")
    again.setup("test")
    assert again.model_kwargs == data.model_kwargs
    assert again.task_kwargs == data.task_kwargs
    for mine, other in zip(data.test_dataloader(), again.test_dataloader(), strict=True):
        assert torch.equal(mine.targets, other.targets)
        assert all(torch.equal(a, b) for a, b in zip(mine.inputs, other.inputs, strict=True))


def test_new_sentences_are_encoded_like_those_of_the_splits(files: dict[str, str], tmp_path: Path) -> None:
    data = ready(**files)
    (tmp_path / "new.conll").write_text(TRAIN)
    read = list(data.read_inputs(tmp_path / "new.conll"))
    assert [sentence.tags for sentence in read] == [None] * 3
    new, old = data.collate(read), data.collate(data.splits["train"][:3])
    assert torch.equal(new.inputs.words, old.inputs.words)
    assert words_of(data, new) == words_of(data, old)


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("conll", "EU T\nrejects T\n\n"),
        ("csv", "sentence,token,tag\n1,EU,T\n1,rejects,T\n"),
        ("jsonl", '{"tokens": ["EU", "rejects"], "tags": ["T", "T"]}\n'),
        ("conllu", "1\tEU\t_\tT\t_\t_\t_\t_\t_\t_\n2\trejects\t_\tT\t_\t_\t_\t_\t_\t_\n\n"),
    ],
)
def test_predictions_in_every_format(format_: str, expected: str, files: dict[str, str], tmp_path: Path) -> None:
    data = ready(**files)
    (tmp_path / "new.conll").write_text("EU O\nrejects O\n")
    sink = io.StringIO()
    write = data.writer(sink, format_)
    for sentence in data.read_inputs(tmp_path / "new.conll"):
        write(sentence, TagPrediction(["T"] * len(sentence.tokens)))
    assert sink.getvalue() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"data\.path: expected sentences to read; got nothing"),
        ({"path": "a", "train": "b"}, r"data\.path: expected either .*data\.train too\. Try: data\.path=null"),
        ({"train": "TRAIN"}, r"data\.train and data\.valid: expected both; got data\.train only"),
        (
            {"path": "TRAIN", "format": "conll"},
            r"data\.format: expected null or one of conllu, columns, jsonl; got 'c",
        ),
        ({"path": "TRAIN", "scheme": "iob"}, r"data\.scheme: expected null or one of bio, bioes, plain; got 'iob'"),
        ({"path": "TRAIN", "tag_column": 0, "scheme": "bio"}, r"data\.path: expected a token and .*no tag in column 0"),
        ({"path": "TRAIN", "min_count": 0}, r"data\.min_count: expected a whole number, 1 or more; got 0"),
        (
            {"path": "TRAIN", "split": {"valid_fraction": 0}},
            r"data\.split\.valid_fraction: expected a number between 0 and 1; got 0",
        ),
        (
            {"path": "TRAIN", "split": {"test_fraction": 0.95}},
            r"data\.split\.test_fraction: expected 0, for no test split",
        ),
        ({"path": "TRAIN", "tag_column": "upos"}, r"data\.tag_column: expected the number of a column"),
        (
            {"path": "EMPTY"},
            r"data\.path: expected text; got .*empty\.conll, which is empty\. Try: data\.path=my_sentences\.conllu",
        ),
        ({"path": "BLANK"}, r"data\.path: expected sentences; got none in .*blank\.conll"),
        ({"path": "LATIN"}, r"data\.path: expected UTF-8 text; got .*latin\.conll"),
        ({"path": "SHORT"}, r"data\.path: .*lines with 1 columns, not 2: 1 \(short\.conll line 3: 'b'\)"),
        ({"path": "POS", "scheme": "bio"}, r"data\.scheme: expected tags of entities, .*got NN, VB"),
        (
            {"path": "TRAIN", "vectors": "nowhere.txt"},
            r"data\.vectors: expected a file that can be read; got nowhere\.txt",
        ),
    ],
)
def test_mistakes_get_a_message(
    arguments: dict[str, object], message: str, files: dict[str, str], tmp_path: Path
) -> None:
    contents = {"EMPTY": b"", "BLANK": b"\n \n", "LATIN": "éþ O\n".encode("latin-1"), "SHORT": b"a X\n\nb\n"}
    contents["POS"] = b"a NN\nb VB\n\n" * 10
    for name, content in contents.items():
        (tmp_path / f"{name.lower()}.conll").write_bytes(content)
    known = {name: str(tmp_path / f"{name.lower()}.conll") for name in contents} | {"TRAIN": files["train"]}
    given = {key: known.get(value, value) if isinstance(value, str) else value for key, value in arguments.items()}
    with pytest.raises(UserError, match=message):
        ready(**given)


def test_standard_input_that_is_no_text(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("éþ\n".encode("latin-1")), encoding="utf-8"))
    with pytest.raises(UserError, match="--input: expected UTF-8 text; got standard input"):
        list(ready(**files).read_inputs(None))


def test_other_formats_to_write_are_refused(files: dict[str, str]) -> None:
    with pytest.raises(UserError, match="--format: expected conllu, conll, jsonl or csv; got 'xml'"):
        ready(**files).writer(io.StringIO(), "xml")
