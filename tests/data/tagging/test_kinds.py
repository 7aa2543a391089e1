"""What tags are, and in which columns they stand, is found, asked about or told: from files to files."""

import io
from pathlib import Path

import pytest
import torch

from rnnkit.data import TagData
from rnnkit.data.tagging.schemes import convert, spans
from rnnkit.errors import UserError
from rnnkit.predictions import TagPrediction
from rnnkit.tasks.metrics.spans import SpanCounts

BIO = [
    "B-x O B-y I-y I-y O".split(),  # noqa: SIM905
    "O B-x I-x B-x O O".split(),  # noqa: SIM905
    "B-y B-x I-x O O B-y".split(),  # noqa: SIM905
]
SCHEMES = ["bio", "bioes", "bilou", "bmes", "bmewo", "io", "iob1", "ioe1", "ioe2"]


def columns(sentences: list[list[str]], extra: str = "") -> str:
    return "".join("".join(f"w{n}{extra} {tag}\n" for n, tag in enumerate(tags)) + "\n" for tags in sentences)


def ready(path: Path, text: str, **arguments: object) -> TagData:
    path.write_text(text)
    data = TagData(path=str(path), **arguments)  # type: ignore[arg-type]
    data.setup()
    return data


def predicted(data: TagData, path: Path, tags: list[list[str]]) -> str:
    """The file with these tags, as `rnnkit predict` writes it."""
    sink = io.StringIO()
    write = data.writer(sink, "conllu" if path.suffix == ".conllu" else "conll")
    for sentence, found in zip(data.read_inputs(path), tags, strict=True):
        write(sentence, TagPrediction(found))
    return sink.getvalue()


@pytest.mark.parametrize("trained", [None, "bio", "bioes"])
@pytest.mark.parametrize("is_bare", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities_of_every_scheme_are_counted_and_come_back_as_they_were(
    scheme: str, is_bare: bool, trained: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read from a file whose scheme nobody named: all entities are there, and a right prediction is the file again."""
    tags = [convert(one, scheme) for one in BIO]
    if is_bare:
        tags = [convert([tag.split("-")[0] for tag in one], scheme) for one in BIO]
    data = ready(tmp_path / "a.txt", columns(tags * 20), scheme=trained)
    kinds = 1 if is_bare else 2
    said = f"tags: entities of {kinds} type{'s' * (kinds > 1)}, marked as in {scheme}"
    assert capsys.readouterr().err.startswith(said)
    counts = SpanCounts(data.vocabulary.tags)
    for batch in data.train_dataloader():
        counts.update(batch.targets, batch.targets)
    expected = 16 * sum(len(spans(one)) for one in tags)
    assert counts.compute().sum(0).tolist() == [expected] * 3
    (tmp_path / "new.txt").write_text(columns([["O"] * 6] * 3))
    back = [one if trained is None else convert(one, trained) for one in tags]
    assert predicted(data, tmp_path / "new.txt", back) == columns(tags)


def test_strays_are_counted_and_change_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = [convert(one, "iob1") for _ in range(50) for one in BIO]
    tags[3][0] = tags[30][0] = "B-x"
    data = ready(tmp_path / "a.txt", columns(tags), scheme="bio")
    printed = capsys.readouterr().err
    assert "tags: entities of 2 types, marked as in iob1\n" in printed
    assert "train: 2 of 440 tags of entities do not follow iob1 and are read by the rules of conlleval" in printed
    assert "the first is B-x at 'w0', a.txt line 22\n" in printed
    (tmp_path / "new.txt").write_text("w0 O\nw1 O\n")
    assert predicted(data, tmp_path / "new.txt", [["B-x", "I-x"]]) == "w0 I-x\nw1 I-x\n\n"


@pytest.mark.parametrize("tag", ["X-x", "x", "O-x", "b-x", "B_x", "x-B", "I", "-", "B-"])
@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("scheme", [None, "bioes"])
def test_a_tag_of_no_scheme_among_those_of_one_is_asked_about(
    tag: str, split: str, scheme: str | None, tmp_path: Path
) -> None:
    texts = {"train": columns(BIO * 9), "valid": columns(BIO)}
    texts[split] += f"w O\nv {tag}\n\n"
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    files = {name: str(tmp_path / f"{name}.txt") for name in texts}
    line = texts[split].count("\n") - 2
    with pytest.raises(
        UserError, match=rf"data\.tag_column: .*'{tag}': 1 \(at 'v', {split}\.txt line {line}\)"
    ) as raised:
        TagData(**files, scheme=scheme).setup()  # type: ignore[arg-type]
    assert "Try: data.scheme=plain" in str(raised.value)
    plain = TagData(**files, scheme="plain")  # type: ignore[arg-type]
    plain.setup()
    if split == "train":
        assert tag in plain.vocabulary.tags
        assert plain.model_kwargs["scheme"] is None


@pytest.mark.parametrize("tags", ["NOUN VERB O", "O B S I X", "N-SG S-NOM V-PRS"])
def test_labels_of_their_own_stay_as_they_are(tags: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ready(tmp_path / "a.txt", columns([tags.split()] * 20))
    assert set(data.vocabulary.tags) == set(tags.split())
    assert f"tags: {len(tags.split())} labels without a scheme of entities" in capsys.readouterr().err


def test_splits_in_two_schemes_are_asked_about_and_converted_if_wanted(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(columns(BIO * 9))
    (tmp_path / "valid.txt").write_text(columns([convert(one, "bilou") for one in BIO]))
    files = {name: str(tmp_path / f"{name}.txt") for name in ("train", "valid")}
    with pytest.raises(
        UserError, match=r"data\.valid: expected tags in bio, as in training; got bilou.*data\.scheme=bio"
    ):
        TagData(**files).setup()  # type: ignore[arg-type]
    data = TagData(**files, scheme="bio")  # type: ignore[arg-type]
    data.setup()
    (batch,) = data.val_dataloader()
    assert [[data.vocabulary.tags[i] for i in row] for row in batch.targets.tolist()] == BIO


def test_a_file_without_tags_is_refused(tmp_path: Path) -> None:
    text = "1\ta\t_\t_\tNN\t_\t_\t_\t_\t_\n\n" * 20
    with pytest.raises(UserError, match=r"data\.tag_column: expected tags; got only '_'.*Try: data\.tag_column=xpos"):
        ready(tmp_path / "a.conllu", text)
    assert ready(tmp_path / "a.conllu", text, tag_column="xpos").vocabulary.tags == ["NN"]


@pytest.mark.parametrize("is_restored", [False, True])
@pytest.mark.parametrize(
    ("trained", "arguments", "given", "expected"),
    [
        ("a N X\n\n", {}, "a N\n", "a N T\n\n"),
        ("a N X\n\n", {}, "a N X\n", "a N T\n\n"),
        ("a N X\n\n", {}, "a\n", "a T\n\n"),
        ("a X N\n\n", {"tag_column": 1}, "a X N\n", "a T N\n\n"),
        ("a X N\n\n", {"tag_column": 1}, "a N\n", None),
        ("a N X\n\n", {}, "a N X Z\n", None),
        ("a L N X\n\n", {}, "a N\n", None),
        ("1\ta\tN\tX\n\n", {"token_column": 1}, "1\ta\tN\n", "1\ta\tN\tT\n\n"),
        ("1\ta\tN\tX\n\n", {"token_column": -3, "tag_column": -1}, "1\ta\tN\n", "1\ta\tN\tT\n\n"),
        ("a\tN\tX\n\n", {}, "a N\n", None),
    ],
)
def test_columns_count_as_in_training(
    trained: str, arguments: dict[str, object], given: str, expected: str | None, is_restored: bool, tmp_path: Path
) -> None:
    data = ready(tmp_path / "a.txt", trained * 20, **arguments)
    if is_restored:
        data.save(tmp_path)
        data = TagData(path="a.txt", **arguments)  # type: ignore[arg-type]
        data.load(tmp_path)
    (tmp_path / "new.txt").write_text(given)
    if expected is None:
        with pytest.raises(UserError, match=r"--input: .*new\.txt line 1"):
            predicted(data, tmp_path / "new.txt", [["T"]])
    else:
        (sentence,) = data.read_inputs(tmp_path / "new.txt")
        assert sentence.tokens == ["a"]
        assert predicted(data, tmp_path / "new.txt", [["T"]]) == expected


def test_columns_that_lack_the_tags_are_not_measured(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a N X\nb N Y\n\n" * 9)
    (tmp_path / "valid.txt").write_text("a N\nb N\n")
    with pytest.raises(UserError, match=r"data\.valid: .*lines with 2 columns, not 3: 2 \(valid\.txt line 1"):
        TagData(train=str(tmp_path / "train.txt"), valid=str(tmp_path / "valid.txt")).setup()


@pytest.mark.parametrize("format_", ["conllu", "conll"])
def test_the_column_of_the_tag_is_that_of_training_in_conllu_too(format_: str, tmp_path: Path) -> None:
    row = "1\ta\t_\tN\tNN\t_\t_\t_\t_\t_\n\n"
    data = ready(tmp_path / "a.conllu", row * 20, tag_column="xpos")
    (tmp_path / "new.conllu").write_text(row)
    (tmp_path / "new.jsonl").write_text('{"tokens": ["a"]}')
    assert predicted(data, tmp_path / "new.conllu", [["T"]]) == row.replace("NN", "T")
    sink = io.StringIO()
    (sentence,) = data.read_inputs(tmp_path / "new.jsonl")
    data.writer(sink, format_)(sentence, TagPrediction(["T"]))
    assert sink.getvalue() == ("1\ta\t_\t_\tT\t_\t_\t_\t_\t_\n\n" if format_ == "conllu" else "a\tT\n\n")


def test_a_token_that_would_break_the_columns_is_not_written_to_them(tmp_path: Path) -> None:
    data = ready(tmp_path / "a.jsonl", '{"tokens": ["a\\tb"], "tags": ["X"]}\n' * 20)
    sentence, *_ = data.read_inputs(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"--format: expected tokens without tabs .*'a\\tb'.*Try: --format jsonl"):
        data.writer(io.StringIO(), "conll")(sentence, TagPrediction(["X"]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.conllu", "", r"expected text; got .*a\.conllu, which is empty\. Try: data\.path=my_sentences\.conllu"),
        ("a.txt", "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n", r"a\.txt, which looks like CoNLL-U.*Try: data\.format=conllu"),
        ("a.txt", "a X\n\nb Y\nc", r"lines with 1 columns, not 2: 1 \(a\.txt line 4: 'c'\)"),
        ("a.txt", "a X\nb Y\nc Z", r"occurs nowhere else: 1 \(a\.txt line 3: 'c Z'\)"),
        (
            "a.txt",
            "# id 1\na X\nb Y\n",
            r"start with # and have 3 columns, not 2: 1 .*Try: grep -v '\^#\[\[:space:\]\]' ",
        ),
        (
            "a.txt",
            "a X\rb Y\r",
            r"carriage returns in the middle of a line: 1 .*Try: tr '\\r' '\\n' < .*a\.txt > new\.txt",
        ),
        ("a.txt", "word,tag\na,X\n", r"lines with only one column and therefore without a tag: 2"),
        ("a.conllu", "a X\n", r"lines that are neither words nor comments: 1 \(a\.conllu line 1: 'a X'\)"),
    ],
)
def test_files_that_cannot_be_vouched_for_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"data\.path: .*{message}"):
        ready(tmp_path / name, text)


def test_a_readme_beside_the_data_is_not_learned(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n" * 20)
    (tmp_path / "README.md").write_text("hello world\n")
    with pytest.raises(UserError, match=r"expected files that all end in \.conllu; got 'README\.md' and 'a\.conllu'"):
        TagData(path=str(tmp_path)).setup()
    TagData(path=f"{tmp_path}/*.conllu").setup()


def test_what_is_passed_over_or_assumed_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = '{"tokens": ["a", "b"], "tags": ["X", "Y"]}\n' * 20 + '{"tokens": [], "tags": []}\n'
    data = ready(tmp_path / "a.jsonl", lines)
    assert sum(map(len, data.splits.values())) == 20
    assert "sentences without a token, skipped: 1 (a.jsonl line 21)\n" in capsys.readouterr().err
    ready(tmp_path / "a.conllu", "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n\n" * 19 + "1\ta\t_\t_\t_\t_\t_\t_\t_\t_")
    printed = capsys.readouterr().err
    assert "extra empty lines, skipped: 19 (a.conllu line 3, a.conllu line 6, a.conllu line 9, ...)\n" in printed
    assert "no empty line after the last sentence: 1 (a.conllu line 58)\n" in printed
    ready(tmp_path / "a.txt", "a X\nb Y\n\n" * 20 + f"{'c' * 30} X")
    printed = capsys.readouterr().err
    assert f"no newline at the end, read as complete: 1 (a.txt line 61: '{'c' * 30} X')\n" in printed
    assert "1 word longer than data.max_characters=24; their middle is dropped\n" in printed


def test_a_stream_ends_where_it_is_wrong_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready(tmp_path / "a.txt", "a X\nb Y\n\n" * 20)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n\nb Y\n\nc d e\n\nf\n\n"), encoding="ascii"))
    arriving = data.read_inputs(None)
    assert next(arriving).tokens == ["a"]
    assert next(arriving).tokens == ["b"]
    with pytest.raises(
        UserError, match=r"--input: .*lines with 3 columns, not the 2 of training: 1 \(standard input line 5"
    ):
        next(arriving)


def test_bare_parts_make_legal_predictions(tmp_path: Path) -> None:
    data = ready(tmp_path / "a.txt", columns([["B", "I", "O"]] * 20), scheme="bioes")
    assert set(data.vocabulary.tags) == {"B", "E", "O"}
    (batch, *_) = data.val_dataloader()
    assert torch.equal(batch.targets[0], torch.tensor([data.vocabulary.tags.index(tag) for tag in "BEO"]))
