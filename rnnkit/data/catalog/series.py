"""Data sets of time series for forecasting."""

from rnnkit.data.catalog.entry import GITHUB, DataSet, File

_ETT = f"{GITHUB}/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small"
_M4 = f"{GITHUB}/Mcompetitions/M4-methods/6c1067e5a57161249b17289a565178dc7a3fb3ca/Dataset"

SERIES: dict[str, DataSet] = {
    "etth1": DataSet(
        "series: electricity transformer 1, 7 channels, 17,420 hours",
        "CC BY-ND 4.0",
        (
            File(
                "path",
                ("ett/ETTh1.csv",),
                f"{_ETT}/ETTh1.csv",
                2_589_657,
                "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            ),
        ),
    ),
    "etth2": DataSet(
        "series: electricity transformer 2, 7 channels, 17,420 hours",
        "CC BY-ND 4.0",
        (
            File(
                "path",
                ("ett/ETTh2.csv",),
                f"{_ETT}/ETTh2.csv",
                2_417_960,
                "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
            ),
        ),
    ),
    "ettm1": DataSet(
        "series: electricity transformer 1, 7 channels, 69,680 quarters of an hour",
        "CC BY-ND 4.0",
        (
            File(
                "path",
                ("ett/ETTm1.csv",),
                f"{_ETT}/ETTm1.csv",
                10_360_719,
                "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
            ),
        ),
    ),
    "exchange_rate": DataSet(
        "series: 8 exchange rates, 7,588 days; exchange_rate/exchange_rate.txt.gz of "
        "github.com/laiguokun/multivariate-time-series-data",
        "none stated: for evaluation only",
        (
            File(
                "path",
                ("exchange_rate/exchange_rate.txt",),
                None,  # the source has only a compressed file
                546_336,
                "0127465b51e3cd3c360f8eb2be30cfd294689a2a55903eb8245aafc396626c7f",
            ),
        ),
    ),
    "m4_hourly": DataSet(
        "series: 414 hourly series of the M4 competition, 48 steps ahead",
        "none stated: for evaluation only",
        (
            File(
                "train",
                ("m4/Hourly-train.csv",),
                f"{_M4}/Train/Hourly-train.csv",
                2_347_115,
                "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
            ),
            File(
                "test",
                ("m4/Hourly-test.csv",),
                f"{_M4}/Test/Hourly-test.csv",
                132_820,
                "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
            ),
        ),
    ),
}
