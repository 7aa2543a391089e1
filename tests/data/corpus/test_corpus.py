"""A corpus that is read in blocks is the corpus that is read whole, for any documents, cuts, blocks and stores."""

import gzip
import lzma
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rnnkit.data import TextData
from rnnkit.data.corpus import corpus as stored
from rnnkit.data.corpus import splits as splitting
from rnnkit.data.corpus import store
from rnnkit.data.io import blocks
from rnnkit.data.tokenizers import LEVELS
from rnnkit.errors import UserError

PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def whole_text(content: bytes, level: str) -> str:
    if level == "byte":
        return content.decode("utf-8", "surrogateescape")
    return content.decode().removeprefix("\ufeff").replace("\r\n", "\n")


def whole_join(texts: list[str], level: str) -> str:
    if level == "byte":
        return "".join(texts)
    closed = [text if text.endswith("\n") else text + "\n" for text in texts]
    joined = "".join(closed)
    return joined if level == "word" or texts[-1].endswith("\n") else joined[:-1]


def whole_splits(documents: dict[str, bytes], level: str, valid: float, test: float) -> dict[str, str]:
    """Every split as one text, made in the plainest way."""
    texts = {name: whole_text(content, level) for name, content in sorted(documents.items()) if content}
    if len(texts) >= splitting.MANY_FILES:
        dealt: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
        for name in sorted(texts, key=splitting._place):
            place = splitting._place(name)
            dealt["valid" if place < valid else "test" if place < valid + test else "train"].append(texts[name])
        return {name: whole_join(part, level) if part else "" for name, part in dealt.items()}
    text = whole_join([*texts.values()], level) if texts else ""
    first, second = (int(round(len(text) * (1 - rest), 6)) for rest in (valid + test, test))
    if level in ("word", "subword"):
        while 0 < first < len(text) and text[first - 1] != "\n":
            first += 1
        while 0 < second < len(text) and text[second - 1] != "\n":
            second += 1
    return {"train": text[:first], "valid": text[first:second], "test": text[second:]}


def words_of(text: str) -> int:
    return sum(len(line.split()) + 1 for line in text.removesuffix("\n").split("\n"))


alphabet = st.sampled_from([*"ab  \n\n\r.é€\u2028\u00a0\x1d", "\U0001f600", "<eos>", "<unk>", "\r\n", "\ufeff", "中"])
texts = st.lists(alphabet, max_size=40).map(lambda parts: "".join(parts).encode())
rough = st.one_of(texts, st.binary(max_size=25), st.sampled_from([b"\xe2\x82", b"\xc2", b"\xa0 a", b"\xff", b"\x80\n"]))


@given(
    st.one_of(
        st.tuples(st.sampled_from(["char", "word", "subword"]), st.lists(texts, min_size=1, max_size=6)),
        st.tuples(st.sampled_from(["char", "byte", "byte", "word"]), st.lists(rough, min_size=1, max_size=6)),
    ),
    st.sampled_from([(0.2, 0.2), (0.3, 0.0), (0.05, 0.05), (0.45, 0.45)]),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 40),
    st.sampled_from([1, 2, 100]),
)
@example(("byte", [b"a\xc3", b"\xa9b c d e f\n"]), (0.3, 0.3), 1, 1, 0, 100)
@example(("byte", [b"a\xc2", b"\xa0b c d e f\n"]), (0.3, 0.0), 2, 1, 0, 100)
@example(("subword", [b"low lower  lowest low low lowest\n\n  lower\nlow"] * 3), (0.3, 0.2), 3, 2, 1, 100)
@example(("word", [b"a b <eos> c\nd e f g\nh i j k l m n\n"]), (0.3, 0.2), 3, 2, 1, 100)
def test_every_split_has_the_tokens_and_lengths_of_the_whole_text(
    corpus: tuple[str, list[bytes]],
    fractions: tuple[float, float],
    block: int,
    chunk: int,
    in_memory: int,
    many_files: int,
) -> None:
    level, documents = corpus
    valid, test = fractions
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        patch.setattr(store, "CHUNK", chunk)
        patch.setattr(store, "IN_MEMORY", in_memory)
        patch.setattr(stored, "READ", 5)
        patch.setattr(splitting, "MANY_FILES", many_files)
        packed = {f"{n}.txt" + [*PACK][(n + block) % 3]: content for n, content in enumerate(documents)}
        for name, content in packed.items():
            Path(folder, name).write_bytes(PACK[Path(name).suffix.replace(".txt", "")](content))
        data = TextData(path=folder, level=level, split={"valid_fraction": valid, "test_fraction": test})
        binary = {name for name, content in packed.items() if level != "byte" and b"\0" in content}
        try:
            expected = whole_splits({n: c for n, c in packed.items() if n not in binary}, level, valid, test)
            if test == 0:
                del expected["test"]
            tokenizer = LEVELS[level].train([expected["train"]])
            tokens = {name: tokenizer.encode(text) for name, text in expected.items()}
            fits = all(len(part) > 1 for part in tokens.values()) and all(expected.values())
        except UnicodeDecodeError:
            fits = False
        if not fits:
            with pytest.raises(UserError):
                data.setup("test")
            return
        data.setup("test")
        assert data.tokenizer.tokens == tokenizer.tokens
        assert list(data.splits) == list(expected)
        for name, text in expected.items():
            found = data.splits[name]
            if len(tokens[name]) > in_memory:
                assert not isinstance(found.tokens, torch.Tensor)
            assert found.tokens[:].tolist() == tokens[name].tolist()
            assert found.tokens[1:-1].tolist() == tokens[name][1:-1].tolist()
            lengths = (found.characters, found.bytes, found.words)
            assert lengths == (len(text), len(text.encode("utf-8", "surrogateescape")), words_of(text))
            assert found.unknown == tokens[name].tolist().count(tokenizer.unknown)
