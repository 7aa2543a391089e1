"""Outputs against torch.distributions, numerical integration and large samples."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Normal
from torch.distributions import StudentT as TorchStudentT
from torch.nn.functional import softplus
from torch.testing import assert_close

from rnnkit.errors import UserError
from rnnkit.models.forecasting import Parameters
from rnnkit.models.forecasting.distributions import Gaussian, NegativeBinomial, Output, Point, Quantiles, StudentT
from rnnkit.models.forecasting.distributions.drawing import drawing_from
from rnnkit.models.forecasting.distributions.paths import crps_of_samples, quantiles_of_samples

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]


def parameters(size: int, *, location: bool = True) -> Parameters:
    raw_BNCP = torch.randn(2, 3, 4, size, dtype=torch.float64)
    location_BC = torch.randn(2, 4, dtype=torch.float64) if location else torch.zeros(2, 4, dtype=torch.float64)
    return Parameters(raw_BNCP, location_BC, torch.rand(2, 4, dtype=torch.float64) * 5 + 0.5)


def by_torch(output: Output, given: Parameters) -> torch.distributions.Distribution:
    raw, m, s = given.raw, given.location[:, None], given.scale[:, None]
    if isinstance(output, Gaussian):
        return Normal(m + s * raw[..., 0], s * (softplus(raw[..., 1]) + 1e-3))
    if isinstance(output, StudentT):
        return TorchStudentT(2 + softplus(raw[..., 2]), m + s * raw[..., 0], s * (softplus(raw[..., 1]) + 1e-3))
    mean, alpha = s * (softplus(raw[..., 0]) + 1e-4), (softplus(raw[..., 1]) + 1e-4) / s.sqrt()
    return TorchNegativeBinomial(1 / alpha, probs=alpha * mean / (1 + alpha * mean))


DISTRIBUTIONS = [Gaussian(), StudentT(), NegativeBinomial()]
ids = [type(output).__name__ for output in DISTRIBUTIONS]


@pytest.mark.parametrize("output", DISTRIBUTIONS, ids=ids)
def test_the_loss_is_the_negative_log_likelihood(output: Output) -> None:
    given = parameters(output.size, location=not isinstance(output, NegativeBinomial))
    targets = torch.randint(0, 30, (2, 3, 4)).double()
    assert_close(output.loss(given, targets), -by_torch(output, given).log_prob(targets))


@pytest.mark.parametrize("output", DISTRIBUTIONS, ids=ids)
def test_samples_have_the_moments_of_the_distribution_and_come_again_with_the_seed(output: Output) -> None:
    given = parameters(output.size, location=not isinstance(output, NegativeBinomial))
    raw = given.raw.clone()
    raw[..., -1] += 4 if isinstance(output, StudentT) else 0  # so that the variance of the sample variance is finite
    given = given._replace(raw=raw)
    generator = torch.Generator().manual_seed(3)
    drawn = output.sample(given, 20000, generator)
    expected = by_torch(output, given)
    error = (expected.variance / 20000).sqrt()
    assert ((drawn.mean(0) - expected.mean).abs() < 5 * error).all()
    assert_close(drawn.var(0), expected.variance, rtol=0.2, atol=0.05)
    assert_close(output.mean(given), expected.mean)
    again = output.sample(given, 20000, torch.Generator().manual_seed(3))
    assert torch.equal(drawn, again)


@pytest.mark.parametrize("output", DISTRIBUTIONS, ids=ids)
def test_samples_come_from_the_generator_alone(output: Output) -> None:
    given = parameters(output.size, location=False)
    generator = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    one, next_one = output.sample(given, 50, generator), output.sample(given, 50, generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, next_one)
    generator.manual_seed(3)
    torch.manual_seed(8)
    assert torch.equal(output.sample(given, 50, generator), one)


def test_counts_are_drawn_as_torch_draws_them() -> None:
    """Bit by bit where the division by the rate of torch's own is by 1."""
    raw = torch.tensor([math.log(math.expm1(1)), math.log(math.expm1(1))], dtype=torch.float64).view(1, 1, 1, 2)
    one = torch.ones(1, 1, dtype=torch.float64)
    given = Parameters(raw - 1e-4 / (1 - math.exp(-1)), 0 * one, one)  # mean and alpha are 1, nearly
    torch.manual_seed(4)
    drawn = NegativeBinomial().sample(given, 1000)
    torch.manual_seed(4)
    assert float((drawn == by_torch(NegativeBinomial(), given).sample(torch.Size([1000]))).double().mean()) > 0.99


def test_a_refusal_within_a_draw_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), drawing_from(torch.Generator().manual_seed(1)):
        torch.poisson(torch.rand(3) - 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_of_students_t_have_its_tails() -> None:
    """Against the distribution function for 2.5 degrees of freedom, integrated numerically."""
    raw = torch.tensor([0.0, 0.0, math.log(math.expm1(0.5))], dtype=torch.float64).view(1, 1, 1, 3)
    one = torch.ones(1, 1, dtype=torch.float64)
    drawn = StudentT().sample(Parameters(raw, 0 * one, one), 200_000).flatten()
    t = TorchStudentT(torch.tensor(2.5, dtype=torch.float64), 0.0, math.log(2) + 1e-3)
    x = torch.linspace(-3000, 3000, 4_000_001, dtype=torch.float64)
    below = torch.cumulative_trapezoid(t.log_prob(x).exp(), x)
    for level in (0.001, 0.025, 0.1, 0.3, 0.5, 0.9, 0.999):
        quantile = x[int((below < level).sum())]
        assert float((drawn < quantile).double().mean()) == pytest.approx(level, abs=5 * math.sqrt(level / 200_000))


def integrated_crps(distribution: torch.distributions.Distribution, targets: Tensor) -> Tensor:
    """The definition: the square of the distance of the distribution function from that of the target, integrated."""
    x = torch.linspace(-80, 80, 320_001, dtype=torch.float64).view(-1, 1, 1, 1)
    gap = distribution.cdf(x) - (x >= targets).double()
    return torch.trapezoid(gap.square(), x, dim=0)


def test_the_score_of_a_gaussian_is_the_integral_that_defines_it() -> None:
    given, targets = parameters(2), 3 * torch.randn(2, 3, 4, dtype=torch.float64)
    assert_close(
        Gaussian().crps(given, targets), integrated_crps(by_torch(Gaussian(), given), targets), rtol=1e-3, atol=1e-3
    )


def test_the_score_of_samples_is_its_definition_and_tends_to_the_closed_form() -> None:
    given, targets = parameters(2), 3 * torch.randn(2, 3, 4, dtype=torch.float64)
    drawn = Gaussian().sample(given, 40)
    pairs = (drawn[:, None] - drawn[None]).abs().sum((0, 1)) / (2 * 40 * 39)
    assert_close(crps_of_samples(drawn, targets), (drawn - targets).abs().mean(0) - pairs)
    many = crps_of_samples(Gaussian().sample(given, 20000), targets)
    assert_close(many, Gaussian().crps(given, targets), rtol=0.05, atol=0.05)


def test_quantiles_of_a_gaussian_and_of_samples() -> None:
    given = parameters(2)
    expected = torch.stack([by_torch(Gaussian(), given).icdf(torch.tensor(level)) for level in LEVELS])
    assert_close(Gaussian().quantiles(given, LEVELS), expected, rtol=1e-5, atol=1e-5)
    drawn = Gaussian().sample(given, 30)
    assert_close(quantiles_of_samples(drawn, LEVELS), drawn.quantile(torch.tensor(LEVELS, dtype=torch.float64), dim=0))


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    """The levels of a sample, found by minimizing the loss over a grid, one after the other."""
    output = Quantiles([0.1, 0.5, 0.8])
    targets = torch.randn(1, 4001, 1, dtype=torch.float64)
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    for index, level in enumerate(output.levels):
        raw = torch.zeros(1, 1, 1, 3, dtype=torch.float64)
        losses = []
        for value in grid:
            raw[..., index] = value
            losses.append(output.loss(Parameters(raw.expand(1, 4001, 1, 3), 0 * one, one), targets).mean())
        best = grid[int(torch.stack(losses).argmin())]
        assert best.item() == pytest.approx(targets.quantile(level).item(), abs=0.011)


def test_the_pinball_loss_by_hand_and_as_a_score() -> None:
    output = Quantiles([0.1, 0.5, 0.9])
    raw = torch.tensor([[0.0, 1.0, 3.0], [3.0, 1.0, 0.0]]).view(1, 2, 1, 3)
    given = Parameters(raw, torch.ones(1, 1), torch.full((1, 1), 2.0))  # values 1, 3, 7
    targets = torch.full((1, 2, 1), 2.0)
    by_hand = 2 / 3 * (0.1 * 1 + 0.5 * 1 + 0.1 * 5)
    assert output.loss(given, targets)[0, 0, 0].item() == pytest.approx(by_hand)
    assert_close(output.crps(given, targets)[0, 1], output.crps(given, targets)[0, 0])  # sorted
    assert_close(output.quantiles(given, [0.1, 0.3, 0.9]).flatten(1)[:, 1], torch.tensor([1.0, 2.0, 7.0]))
    assert not output.provides([0.05])
    assert output.provides([0.1, 0.9])


def test_the_score_of_many_quantiles_tends_to_that_of_the_distribution() -> None:
    levels = [(2 * i + 1) / 998 for i in range(499)]
    given = parameters(2)
    mean, deviation = by_torch(Gaussian(), given).mean, by_torch(Gaussian(), given).stddev
    raw = torch.special.ndtri(torch.tensor(levels, dtype=torch.float64)) * deviation[..., None] + mean[..., None]
    one = torch.ones(2, 4, dtype=torch.float64)
    targets = 3 * torch.randn(2, 3, 4, dtype=torch.float64)
    assert_close(
        Quantiles(levels).crps(Parameters(raw, 0 * one, one), targets),
        Gaussian().crps(given, targets),
        rtol=0.01,
        atol=0.01,
    )


@pytest.mark.parametrize("error", ["mse", "mae", "huber"])
def test_errors_of_a_point(error: str) -> None:
    given = Parameters(torch.tensor([0.25, 2.0]).view(1, 2, 1, 1), torch.ones(1, 1), torch.full((1, 1), 2.0))
    expected = {"mse": [0.25, 16.0], "mae": [0.5, 4.0], "huber": [0.125, 3.5]}[error]
    assert Point(error).loss(given, torch.ones(1, 2, 1)).flatten().tolist() == expected
    assert Point(error).mean(given).flatten().tolist() == [1.5, 5.0]


@pytest.mark.parametrize("output", [*DISTRIBUTIONS, Point(), Quantiles()], ids=[*ids, "Point", "Quantiles"])
def test_moved_parameters_speak_of_moved_values(output: Output) -> None:
    """What is said of x and then moved to m + s x is what is said of m + s x."""
    given = parameters(output.size, location=not isinstance(output, NegativeBinomial))
    scale = torch.full((2, 4), 4.0, dtype=torch.float64)
    location = torch.zeros_like(scale) if isinstance(output, NegativeBinomial) else 3 * torch.ones_like(scale)
    moved = given.rescaled(location, scale)
    expected = location[:, None] + scale[:, None] * output.mean(given)
    assert_close(output.mean(moved), expected)


@pytest.mark.parametrize("output", [*DISTRIBUTIONS, Quantiles()], ids=[*ids, "Quantiles"])
def test_half_precision_parameters_are_read_in_single(output: Output) -> None:
    given = parameters(output.size, location=False)
    half = Parameters(given.raw.bfloat16(), given.location.float(), given.scale.float())
    assert output.loss(half, torch.ones(2, 3, 4)).dtype == torch.float32


def test_what_an_output_can_say_nothing_of_is_refused() -> None:
    with pytest.raises(UserError, match=r"output.levels=\[0.1,0.5,0.9\]"):
        Quantiles([0.1, 0.9])
    with pytest.raises(UserError, match=r"output.error: expected one of mse, mae, huber"):
        Point("rmse")
