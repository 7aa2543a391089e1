"""Windows against windows cut by hand; splits that see nothing of each other."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data import ForecastData
from rnnkit.data.forecasting.division import assert_disjoint
from rnnkit.data.forecasting.windows import Window
from rnnkit.errors import UserError

STATISTICS = {
    "none": lambda x: (0.0, 1.0),
    "standard": lambda x: (np.mean(x), np.std(x)),
    "mean": lambda x: (0.0, np.mean(np.abs(x))),
    "robust": lambda x: (np.median(x), np.percentile(x, 75) - np.percentile(x, 25)),
}


class Given:
    """A generator that returns what it was made with."""

    def __init__(self, **series: Any) -> None:
        self.series = {name: np.asarray(values, np.float64) for name, values in series.items()}

    def __call__(self) -> Mapping[str, np.ndarray]:
        return self.series


def noise(steps: int, channels: int = 1, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, (steps, channels))
    x[random.random(x.shape) < missing] = np.nan
    return x


def made(*, context: int = 5, horizon: int = 3, **arguments: Any) -> ForecastData:
    data = ForecastData(context=context, horizon=horizon, **arguments)
    data.setup()
    return data


def unscaled(batch: SequenceBatch, x: torch.Tensor) -> torch.Tensor:
    return batch.extra.location[:, None] + batch.extra.scale[:, None] * x


def same(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", STATISTICS)
def test_every_window_is_the_one_cut_by_hand(scaling: str) -> None:
    series = {"a": noise(40, 2, 1, missing=0.1), "b": noise(60, 2, 2, missing=0.1)}
    data = made(
        generator=Given(**series), split={"valid_steps": 8, "test_steps": 8}, scaling=scaling, times={"season": 4}
    )
    # from the ends of each split
    for split, first, last in (("train", 0, 16), ("valid", 16, 8), ("test", 8, 0)):
        expected = {
            (name, origin)
            for name, x in series.items()
            for origin in range(5 if split == "train" else len(x) - first, len(x) - last - 3 + 1)
        }
        batch = data.collate(data.splits[split])
        found = [(data.splits[split].panel.ids[window.series], window.origin) for window in data.splits[split]]
        assert set(found) == expected
        assert len(found) == len(expected)
        assert batch.lengths is None
        for lane, (name, origin) in enumerate(found):
            x = series[name]
            same(unscaled(batch, batch.inputs.past)[lane], x[origin - 5 : origin])
            same(unscaled(batch, batch.targets)[lane], x[origin : origin + 3])
            assert batch.extra.origin[lane] == origin
            for channel in range(2):
                training = x[: len(x) - 16, channel]
                location, scale = STATISTICS[scaling](training[~np.isnan(training)])
                assert float(batch.extra.location[lane, channel]) == pytest.approx(location, rel=1e-5)
                assert float(batch.extra.scale[lane, channel]) == pytest.approx(scale, rel=1e-5)
                before = x[: len(x) - (16 if split != "test" else 8), channel]
                apart = np.nanmean(np.abs(before[4:] - before[:-4]))
                assert float(batch.extra.seasonal_error[lane, channel]) == pytest.approx(apart / scale, rel=1e-5)


def test_no_split_sees_another() -> None:
    """Whatever a later split is, what an earlier one reads and what it is scaled by stays the same."""
    x = noise(100)
    changed = x.copy()
    changed[70:85] = 1e6
    changed[85:] = -1e6
    first, second = made(generator=Given(a=x)), made(generator=Given(a=changed))
    for split, equal in (("train", True), ("valid", False), ("test", False)):
        one, other = (data.collate(data.splits[split]) for data in (first, second))
        assert torch.equal(one.inputs.past, other.inputs.past) is equal
        assert torch.equal(one.targets, other.targets) is equal
        assert torch.equal(one.extra.scale, other.extra.scale)
    steps = {
        split: {step for window in first.splits[split] for step in range(window.origin, window.origin + 3)}
        for split in first.splits
    }
    assert steps["train"] == set(range(5, 70))
    assert steps["valid"] == set(range(70, 85))
    assert steps["test"] == set(range(85, 100))


def test_a_leak_is_noticed() -> None:
    series, origins = np.zeros(2, np.int64), np.array([5, 6])
    assert_disjoint({"train": (series, origins), "test": (series, origins + 4)}, 1, horizon=3)
    with pytest.raises(AssertionError, match="test windows forecast steps that an earlier split has seen"):
        assert_disjoint({"train": (series, origins), "test": (series, origins + 3)}, 1, horizon=3)


def test_windows_keep_their_strides() -> None:
    data = made(generator=Given(a=noise(100)), windows={"stride": 4, "eval_stride": 5})
    assert [window.origin for window in data.splits["train"]] == list(range(5, 68, 4))
    assert [window.origin for window in data.splits["valid"]] == [70, 75, 80]


def test_a_short_series_has_a_short_past_and_the_batch_says_so() -> None:
    long, short = noise(40, seed=1), noise(10, seed=2)
    data = made(generator=Given(long=long, short=short), split={"valid_steps": 3, "test_steps": 3})
    windows = data.splits["train"]
    only = next(window for window in windows if window.series == 1)
    assert [window for window in windows if window.series == 1] == [only]
    assert only.origin == 1
    batch = data.collate([windows[0], only])
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [5, 1]
    assert batch.num_steps == 6
    assert batch.inputs.past[1].isnan().flatten().tolist() == [False, True, True, True, True]
    assert batch.inputs.time_deltas[1].tolist() == [1] * 5
    same(unscaled(batch, batch.inputs.past)[1, :1], short[:1])
    same(unscaled(batch, batch.targets)[1], short[1:4])
    alone = data.collate([windows[0]])
    assert alone.lengths is None
    torch.testing.assert_close(alone.inputs.past[0], batch.inputs.past[0])


def test_windows_drawn_for_an_epoch_are_as_many_of_each_series_and_others_in_the_next() -> None:
    data = made(generator=Given(a=noise(40), b=noise(400)), windows={"per_series": 6}, batch_size=4)
    loader = data.train_dataloader()

    def epoch() -> list[tuple[int, int]]:
        batches = list(loader)
        assert len(batches) == 3
        scales = data.splits["train"].encoded.scale[:, 0]
        return sorted(
            (int((scales == scale).nonzero()), step)
            for batch in batches
            for scale, step in zip(batch.extra.scale[:, 0], batch.extra.origin.tolist(), strict=True)
        )

    first, second = epoch(), epoch()
    assert [series for series, _ in first] == [0] * 6 + [1] * 6
    assert first != second
    again = made(generator=Given(a=noise(40), b=noise(400)), windows={"per_series": 6}, batch_size=4)
    again.load_state_dict({"position": {"batch": 0, "epoch": 1, "sequences": 12, "batch_size": 4}})
    loader = again.train_dataloader()
    assert epoch() == second


def test_fractions_and_steps_say_the_same() -> None:
    for arguments in (
        {"split": {"valid_fraction": 0.2, "test_fraction": 0.1}},
        {"split": {"valid_steps": 20, "test_steps": 10}},
        {"split": {"train_steps": 70, "valid_steps": 20, "test_steps": 10}},
        {"split": {"valid_steps": 20, "test_fraction": 0.1}},
    ):
        data = made(generator=Given(a=noise(100)), **arguments)
        assert {name: len(windows) for name, windows in data.splits.items()} == {"train": 63, "valid": 18, "test": 8}


def test_steps_behind_the_last_split_are_not_used() -> None:
    data = made(generator=Given(a=noise(150)), split={"train_steps": 70, "valid_steps": 20, "test_steps": 10})
    assert max(window.origin for window in data.splits["test"]) == 97


def test_no_test_split() -> None:
    assert set(made(generator=Given(a=noise(60)), split={"test_fraction": 0}).splits) == {"train", "valid"}


def test_windows_without_a_value_are_left_out() -> None:
    x = noise(100)
    x[20:40] = np.nan
    data = made(generator=Given(a=x))
    left = {window.origin for window in data.splits["train"]}
    # no value in 3 steps from the origin on, or in 5 before it
    assert set(range(5, 68)) - left == {*range(20, 38), *range(25, 41)}
    assert "train 42 (21 windows without a value dropped), valid 13, test 13" in data.report[-1]


@pytest.mark.parametrize(
    ("steps", "arguments", "message"),
    [
        (10, {"horizon": 8}, r"^data\.horizon: .* train split, .*got 7 of 10 steps of series a\. Try: data\.horizon=3"),
        (100, {"horizon": 20}, r"^data\.horizon: .* in the valid split.*; got 15 of 100 steps"),
        (100, {"split": {"valid_steps": 60, "test_steps": 60}}, r"^data\.horizon: .*; got 0 of 100 steps"),
        (100, {"split": {"train_steps": 80, "valid_steps": 20, "test_steps": 10}}, r"^data\.horizon: .*the test split"),
        (100, {"split": {"train_steps": 80}}, r"^data\.split\.train_steps: expected also data\.split\.valid_steps"),
        (100, {"split": {"valid_from": "2024-01-01"}}, r"^data\.split\.valid_from: expected series with time"),
        (100, {"split": {"valid_fraction": 0}}, r"^valid split: expected windows with values; got none"),
        (100, {"split": {"valid_fraction": 1.0}}, r"^data\.split\.valid_fraction: "),
        (100, {"split": {"test_fraction": 0.9}}, r"^data\.split\.test_fraction: expected 0, .*; got 0\.9 with"),
        (100, {"split": {"valid_steps": -1}}, r"^data\.split\.valid_steps: expected a number of steps; got -1"),
        (100, {"context": 0}, r"^data\.context: expected a whole number, 1 or more; got 0"),
        (100, {"windows": {"per_series": 0}}, r"^data\.windows\.per_series: "),
        (100, {"scaling": "minmax"}, r"^data\.scaling: expected one of none, standard, mean, robust; got 'minmax'"),
        (100, {"covariates": {"time_features": True}}, r"^data\.covariates\.time_features: expected time stamps; got"),
        (100, {"times": {"fill_gaps": True}}, r"^data\.times\.fill_gaps: expected time stamps; got a file"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(steps: int, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(generator=Given(a=noise(steps)), **arguments)


def test_short_series_are_left_out_on_demand() -> None:
    series = {"a": noise(60), "b": noise(4), "c": noise(60)}
    with pytest.raises(UserError, match=r"got 2 of 4 steps of series b\. Try: .* data\.split\.drop_short=true"):
        made(generator=Given(**series))
    data = made(generator=Given(**series), split={"drop_short": True})
    assert data.splits["train"].panel.ids == ["a", "c"]
    assert "1 of 3 series are too short and dropped" in data.report


def test_a_channel_without_values_is_refused_and_a_constant_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    x = noise(60, 2)
    x[:, 1] = np.nan
    with pytest.raises(UserError, match=r"^data\.target: expected at least one value in every channel.*none in '2'"):
        made(generator=Given(a=x))
    x[:, 1] = 7
    batch = next(iter(made(generator=Given(a=x)).val_dataloader()))
    assert "constant in training, and not rescaled: 1 channel" in capsys.readouterr().err
    assert batch.extra.scale[0, 1] == 1
    assert batch.targets[..., 1].abs().max() == 0


def test_the_examples_of_a_split_are_a_sequence() -> None:
    windows = made(generator=Given(a=noise(60))).splits["valid"]
    assert isinstance(windows[-1], Window)
    assert windows[1:3] == [windows[1], windows[2]]
    with pytest.raises(IndexError):
        windows[len(windows)]


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("etth1", {"train": 8640 - 336 - 96 + 1, "valid": 2785, "test": 2785}),
        ("exchange_rate", {"train": 4552 - 96 - 3 + 1, "valid": 1516, "test": 1516}),
        ("m4_hourly", {"train": 414 * 32, "valid": 414, "test": 414}),
    ],
)
def test_published_sets_have_the_windows_of_their_literature(name: str, counts: dict[str, int]) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    configs = Path(__file__).parents[3] / "configs"
    with initialize_config_dir(str(configs), version_base=None):
        data = instantiate(compose(overrides=[f"+data={name}", "+seed=1"]).data)
    data.setup()
    assert {split: len(windows) for split, windows in data.splits.items()} == counts
    assert math.isfinite(sum(float(batch.targets.sum()) for batch in data.test_dataloader()))
