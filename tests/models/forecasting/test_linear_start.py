"""A direct forecaster that starts from a repetition of the last steps."""

import pytest
import torch

from rnnkit.batch import ForecastInputs
from rnnkit.cells import GRUCell
from rnnkit.errors import UserError
from rnnkit.models import DirectForecaster
from rnnkit.models.forecasting.distributions import Gaussian


@pytest.mark.parametrize("scaling", ["standard", "mean", "last"])
def test_it_is_the_naive_forecast_at_first(scaling: str) -> None:
    sizes = {"channels": 2, "horizon": 5, "context": 12, "hidden_size": 8}
    model = DirectForecaster(GRUCell, Gaussian(), **sizes, scaling=scaling, linear=12, linear_lag=3)
    past_BTC = 5 + torch.rand(4, 12, 2)
    mean_BHC = model.output.mean(model(ForecastInputs.of(past_BTC, horizon=5)))
    torch.testing.assert_close(mean_BHC, past_BTC[:, [9, 10, 11, 9, 10]])
    mean_BHC.sum().backward()
    assert model.rnn.cells[0].weight_ih.grad.abs().sum() == 0  # the head learns first
    assert model.step[-1].weight.grad.abs().sum() > 0


def test_a_lag_that_is_not_read() -> None:
    with pytest.raises(UserError, match=r"model\.linear_lag"):
        DirectForecaster(GRUCell, Gaussian(), channels=1, horizon=5, context=12, linear=4, linear_lag=5)
