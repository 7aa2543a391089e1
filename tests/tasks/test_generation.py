from collections import Counter

import pytest
import torch
from torch.testing import assert_close

from rnnkit.cells import GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel
from rnnkit.tasks import generate
from rnnkit.tasks.generation import sample


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(13, LSTMCell, hidden_size=16)
    for parameter in model.parameters():  # opinions strong enough to differ from token to token
        parameter.data.mul_(4)
    return model


def drawn(model: LanguageModel, prompts: list[torch.Tensor], **settings: object) -> torch.Tensor:
    return torch.stack(list(generate(model, prompts, **settings)), dim=1)  # type: ignore[arg-type]


def test_greedy_text_is_what_rereading_the_whole_text_at_every_step_gives(model: LanguageModel) -> None:
    text = torch.tensor([[3, 1, 4, 1, 5]])
    model.eval()
    for _ in range(12):
        text = torch.cat([text, model(text)[0][:, -1:].argmax(-1)], dim=1)
    assert torch.equal(drawn(model, [text[0, :5]], length=12, temperature=0), text[:, 5:])


def test_prompts_of_different_lengths_get_in_a_batch_what_they_get_alone(model: LanguageModel) -> None:
    prompts = [torch.tensor([1]), torch.tensor([2, 3, 4, 5]), torch.tensor([6, 7])]
    together = drawn(model, prompts, length=9, temperature=0)
    assert torch.equal(together, torch.cat([drawn(model, [prompt], length=9, temperature=0) for prompt in prompts]))


def test_a_seed_repeats_and_another_differs(model: LanguageModel) -> None:
    seeds = [torch.Generator().manual_seed(seed) for seed in (5, 5, 6)]
    texts = [drawn(model, [torch.tensor([1])], length=30, generator=seed) for seed in seeds]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])


def test_the_first_token_comes_before_the_others_are_drawn(model: LanguageModel) -> None:
    calls = Counter()  # type: ignore[var-annotated]
    model.register_forward_pre_hook(lambda *_: calls.update(["forward"]))
    stream = generate(model, [torch.tensor([1, 2, 3])], length=100)
    assert calls["forward"] == 0
    next(stream)
    assert calls["forward"] == 1
    next(stream)
    assert calls["forward"] == 2


def test_the_training_mode_comes_back(model: LanguageModel) -> None:
    model.train()
    drawn(model, [torch.tensor([1])], length=2)
    assert model.training


def frequencies(**settings: object) -> torch.Tensor:
    logits_BV = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20000, 4)
    rules = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "forbidden": [], **settings}
    ids = sample(logits_BV, **rules, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    return torch.bincount(ids, minlength=4) / 20000


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.79}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.81}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.83}, [0.625, 0.375, 0, 0]),
        ({"forbidden": [0]}, [0, 0.6, 0.3, 0.1]),
        ({"temperature": 0.5}, [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0, "forbidden": [0]}, [0, 1, 0, 0]),
    ],
)
def test_tokens_are_drawn_with_the_probabilities_that_the_rules_leave(
    settings: dict[str, object], expected: list[float]
) -> None:
    found = frequencies(**settings)
    assert_close(found, torch.tensor(expected, dtype=torch.float32), atol=0.012, rtol=0)
    assert torch.equal(found == 0, torch.tensor(expected) == 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length: expected 1 or more"),
        ({"temperature": -1.0}, "temperature: expected a finite number, 0 or more"),
        ({"temperature": float("nan")}, "temperature: expected a finite number, 0 or more"),
        ({"top_k": -1}, "top_k: expected 0"),
        ({"top_p": 0.0}, "top_p: expected a probability"),
        ({"top_p": 1.1}, "top_p: expected a probability"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_drawn(settings: dict[str, object], message: str) -> None:
    model = LanguageModel(5, GRUCell, hidden_size=4)
    with pytest.raises(UserError, match=message):
        generate(model, [torch.tensor([1])], **{"length": 3, **settings})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="prompts: expected at least one token"):
        generate(model, [torch.tensor([], dtype=torch.long)], length=3)
