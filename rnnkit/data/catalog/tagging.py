"""Data sets of sentences for tagging."""

from rnnkit.data.catalog.entry import GITHUB, DataSet, File

PYTHON_NAMES = "python_names"

_EWT = f"{GITHUB}/UniversalDependencies/UD_English-EWT/15d613d8447b3478787d4c278730a1e48a945efb"
_WNUT = f"{GITHUB}/leondz/emerging_entities_17/e52a2d2a71ac1a051ca2d532eef28653c5c02603"

TAGGING: dict[str, DataSet] = {
    PYTHON_NAMES: DataSet(
        "names in the functions of Python's standard library with their roles as tags; needs no download", "PSF-2.0"
    ),
    "ud_english_ewt": DataSet(
        "Universal Dependencies 2.16, English Web Treebank: 254,818 words with parts of speech, features and relations",
        "CC BY-SA 4.0 (the annotation; the texts belong to their authors)",
        (
            File(
                "train",
                ("ud_english_ewt/en_ewt-ud-train.conllu",),
                f"{_EWT}/en_ewt-ud-train.conllu",
                14_203_025,
                "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            ),
            File(
                "valid",
                ("ud_english_ewt/en_ewt-ud-dev.conllu",),
                f"{_EWT}/en_ewt-ud-dev.conllu",
                1_805_545,
                "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            ),
            File(
                "test",
                ("ud_english_ewt/en_ewt-ud-test.conllu",),
                f"{_EWT}/en_ewt-ud-test.conllu",
                1_804_515,
                "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
            ),
        ),
    ),
    "wnut17": DataSet(
        "emerging entities of six types in tweets and comments, 5,690 sentences (Derczynski et al. 2017)",
        "CC BY 4.0",
        (
            File(
                "train",
                ("wnut17/wnut17train.conll",),
                f"{_WNUT}/wnut17train.conll",
                493_781,
                "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
            ),
            File(
                "valid",
                ("wnut17/emerging.dev.conll",),
                f"{_WNUT}/emerging.dev.conll",
                114_749,
                "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
            ),
            File(
                "test",
                ("wnut17/emerging.test.annotated",),
                f"{_WNUT}/emerging.test.annotated",
                192_425,
                "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
            ),
        ),
    ),
}
