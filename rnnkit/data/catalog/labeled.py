"""Data sets of sequences with one class or number each."""

from rnnkit.data.catalog.entry import GITHUB, DataSet, File

_AEON = f"{GITHUB}/aeon-toolkit/aeon/a101ddc8b35a65441609b45c9bcce5aeafa0c131/aeon/datasets/data"
_CMAPSS = f"{GITHUB}/hankroark/Turbofan-Engine-Degradation/ffde9492639af9c02ef6ab6607f8029dc8302591/CMAPSSData"
_ECG = f"{GITHUB}/HFuoc/ECG5000-Anomaly/aa4773795d825b890cfe9b12640bfb350a68b516/data/raw"
_NATOPS = f"{GITHUB}/Navidfoumani/Disjoint-CNN/38180ccc1f050a3fee6961f5b4ea3bc132016ab3/Multivariate_ts/NATOPS"
_SST2 = f"{GITHUB}/clairett/pytorch-sentiment-classification/457ffd83de90a9d6d472d8ffc31bbffe40a8b236/data/SST2"


def _file(part: str, folder: str, name: str, home: str | None, size: int, sha256: str) -> File:
    return File(part, (f"{folder}/{name}",), None if home is None else f"{home}/{name}", size, sha256)


LABELED: dict[str, DataSet] = {
    "sst2": DataSet(
        "sentences of film reviews, positive or negative: 6,920 for training",
        "none stated: for evaluation only",
        (
            _file(
                "train",
                "sst2",
                "train.tsv",
                _SST2,
                720_259,
                "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            ),
            _file(
                "valid",
                "sst2",
                "dev.tsv",
                _SST2,
                92_057,
                "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
            ),
            _file(
                "test",
                "sst2",
                "test.tsv",
                _SST2,
                188_749,
                "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
            ),
        ),
    ),
    "fsdd": DataSet(
        "Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers; the folder `recordings` of "
        "Jakobovski/free-spoken-digit-dataset on GitHub, or data.path=that folder",
        "CC BY-SA 4.0",
        (
            _file(
                "path",
                "fsdd",
                "recordings.tar.xz",
                None,
                23_429_120,
                "9cbd40a399fee10d4611dc8ffe6de219695fd804a62dfb43373f183715b43877",
            ),
        ),
    ),
    "japanese_vowels": DataSet(
        "nine speakers of two vowels: 270 and 370 series of 12 channels (Kudo et al. 1999)",
        "CC BY 4.0 (UCI)",
        (
            _file(
                "train",
                "japanese_vowels",
                "JapaneseVowels_TRAIN.ts",
                f"{_AEON}/JapaneseVowels",
                487_971,
                "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
            ),
            _file(
                "test",
                "japanese_vowels",
                "JapaneseVowels_TEST.ts",
                f"{_AEON}/JapaneseVowels",
                649_132,
                "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
            ),
        ),
    ),
    "natops": DataSet(
        "six gestures of aircraft handling: 180 and 180 series of 24 channels (UEA archive)",
        "unclear: for evaluation only",
        (
            _file(
                "train",
                "natops",
                "NATOPS_TRAIN.ts",
                _NATOPS,
                2_119_514,
                "3567f0aa297e89327215ee1147537e06f7bdc51f48ac8d2c39aaa34fb1eab1b7",
            ),
            _file(
                "test",
                "natops",
                "NATOPS_TEST.ts",
                _NATOPS,
                2_119_227,
                "3a9a41a948c30d19db6b9e0ec44d946d42199c4f8724c2aa6e8b71b28612404e",
            ),
        ),
    ),
    "basic_motions": DataSet(
        "standing, walking, running or badminton by a watch: 40 and 40 series of 6 channels (UEA archive)",
        "unclear: for evaluation only",
        (
            _file(
                "train",
                "basic_motions",
                "BasicMotions_TRAIN.ts",
                f"{_AEON}/BasicMotions",
                227_790,
                "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
            ),
            _file(
                "test",
                "basic_motions",
                "BasicMotions_TEST.ts",
                f"{_AEON}/BasicMotions",
                227_713,
                "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
            ),
        ),
    ),
    "ecg5000": DataSet(
        "heartbeats, normal or abnormal: 500 and 4,500; the test file was rebuilt in another order",
        "UCR archive, from PhysioNet (ODC-By 1.0)",
        (
            _file(
                "train",
                "ecg5000",
                "ECG5000_TRAIN.ts",
                _ECG,
                786_781,
                "1935be5cc08203aa7c0de288fbceb48997d475f43ee610fa373fd6f4a0d66775",
            ),
            _file(
                "test",
                "ecg5000",
                "ECG5000_TEST_normal_vs_abnormal.csv",
                None,
                7_083_836,
                "94b758918b1ee8913071f0fb7d050aa99d855775af8bb13a87ff8e6d69ff465b",
            ),
        ),
    ),
    "cmapss_fd001": DataSet(
        "remaining life of turbofan engines: 100 for training, 100 for the test (Saxena et al. 2008)",
        "US government work",
        (
            _file(
                "train",
                "cmapss",
                "train_FD001.txt",
                _CMAPSS,
                3_515_356,
                "963b5e22825b34d8b21c69e1aeb4af3e647050eb672ee8834ba4b5d91d2de0f8",
            ),
            _file(
                "test",
                "cmapss",
                "test_FD001.txt",
                _CMAPSS,
                2_228_855,
                "3cda7109ce17bafb5443f2ac926cfcf88154b941b8c4cf95eb55d1ddd6f52851",
            ),
            _file(
                "remaining",
                "cmapss",
                "RUL_FD001.txt",
                _CMAPSS,
                429,
                "a19c8ec94931949d0485bdc35118206e9c81c4547b422efb9cf86f4ceddbceca",
            ),
        ),
    ),
}
