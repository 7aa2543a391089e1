"""Sampling from a recurrent model: one step at a time, in constant memory."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rnnkit.errors import UserError
from rnnkit.masks import last_valid


class NotFiniteError(UserError):
    """Raised if the model's scores are NaN or infinite, as after training has diverged: no token can be sampled."""

    def __init__(self, drawn: int) -> None:
        got = f"NaN or infinity after {drawn} tokens"
        super().__init__("model", "finite scores of the next token", got, fix="rnnkit train optimizer.lr=1e-4")


@torch.no_grad()
def generate(
    model: nn.Module,
    prompts: Sequence[Tensor],
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    forbidden: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Yields the next token of each prompt, [B] ids, `length` times, as soon as it is sampled.

    The prompts are read once. After that the state is carried and each token takes one step, so memory does not grow
    with `length`. With `temperature` 0, a prompt has the same continuation alone and in a batch.

    Args:
        model: maps `(ids_BT, state, lengths=...)` to `(logits_BTV, state)`. It runs in eval mode; its mode is restored.
        prompts: B tensors of ids, none empty, of any lengths.
        length: the number of tokens to sample.
        temperature: divides the logits; 0 chooses the most likely token.
        top_k: samples from the k most likely tokens; 0 samples from all.
        top_p: samples from the smallest set of most likely tokens whose probabilities add up to p
            (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751); 1 samples from all.
        forbidden: ids that are never sampled, for example the unknown token.
        generator: the random number generator; None uses torch's default.

    Raises:
        UserError: if a prompt is empty or a value is out of range, before anything is sampled.
        NotFiniteError: if the model's scores are not finite, during sampling.

    >>> from rnnkit.cells import GRUCell
    >>> from rnnkit.models import LanguageModel
    >>> model = LanguageModel(10, GRUCell, hidden_size=8)
    >>> torch.stack(list(generate(model, [torch.tensor([1, 2]), torch.tensor([3])], length=5)), dim=1).shape
    torch.Size([2, 5])
    """
    _check_settings(prompts, length, temperature, top_k, top_p)
    return _draw(model, prompts, length, temperature, top_k, top_p, list(forbidden), generator)


@torch.no_grad()
def _draw(
    model: nn.Module,
    prompts: Sequence[Tensor],
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    forbidden: list[int],
    generator: torch.Generator | None,
) -> Iterator[Tensor]:
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        ids_BT = pad_sequence([prompt.long() for prompt in prompts], batch_first=True).to(device)
        logits_BTV, state = model(ids_BT, lengths=None if len(prompts) == 1 else lengths.to(device))
        logits_BV = last_valid(logits_BTV, lengths.to(device))
        for drawn in range(length):
            if not bool(logits_BV.isfinite().all()):
                raise NotFiniteError(drawn)
            ids_B = sample(logits_BV.float(), temperature, top_k, top_p, forbidden, generator)
            yield ids_B
            if drawn + 1 < length:
                logits_BTV, state = model(ids_B[:, None], state)
                logits_BV = logits_BTV[:, 0]
    finally:
        model.train(was_training)


def sample(
    logits_BV: Tensor,
    temperature: float,
    top_k: int,
    top_p: float,
    forbidden: list[int],
    generator: torch.Generator | None,
) -> Tensor:
    """Samples one id [B] for each row of logits; see `generate` for the arguments."""
    if forbidden:
        logits_BV = logits_BV.index_fill(1, torch.tensor(forbidden, device=logits_BV.device), -torch.inf)
    if temperature < torch.finfo(torch.float32).tiny:  # dividing by it would overflow like dividing by 0
        return logits_BV.argmax(dim=-1)
    temperature = min(temperature, 1e30)  # finite in float32
    # the largest logit becomes 0, so that none overflows at a low temperature
    logits_BV, ids_BV = ((logits_BV - logits_BV.amax(dim=-1, keepdim=True)) / temperature).sort(dim=-1, descending=True)
    if 0 < top_k < logits_BV.shape[-1]:
        logits_BV[:, top_k:] = -torch.inf
    probability_BV = logits_BV.softmax(dim=-1)
    if top_p < 1:
        # a token is kept while the more likely ones before it do not add up to p; the most likely is always kept
        before_BV = probability_BV.cumsum(dim=-1) - probability_BV
        probability_BV[:, 1:].masked_fill_(before_BV[:, 1:] >= top_p, 0)
    rank_B1 = torch.multinomial(probability_BV, 1, generator=generator)
    return ids_BV.gather(1, rank_B1).squeeze(1)


def _check_settings(prompts: Sequence[Any], length: int, temperature: float, top_k: int, top_p: float) -> None:
    if not prompts or min(len(prompt) for prompt in prompts) == 0:
        raise UserError("prompts", "at least one token in each prompt", "none", fix="prompts=[torch.tensor([0])]")
    if length < 1:
        raise UserError("length", "1 or more tokens", str(length), fix="--length 400")
    if not 0 <= temperature < math.inf:
        raise UserError("temperature", "a finite number, 0 or more", str(temperature), fix="--temperature 0.8")
    if top_k < 0:
        raise UserError("top_k", "0 (all tokens) or more", str(top_k), fix="--top-k 40")
    if not 0 < top_p <= 1:
        raise UserError("top_p", "a probability in (0, 1]", str(top_p), fix="--top-p 0.95")
