"""The CRF against the sum over all paths, written out."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.layers import CRF
from rnnkit.layers.forward_backward import log_partition
from rnnkit.layers.viterbi import viterbi
from rnnkit.tags import LegalTags, legal_tags, split_tag

TAGS = ["O", "B-x", "I-x", "B-y", "I-y"]
LENGTHS = torch.tensor([5, 1, 3, 4])


def paths_of(e_TC: Tensor, crf: CRF) -> list[tuple[float, tuple[int, ...]]]:
    """Every legal path of one row with its score, best first."""
    steps, tags = e_TC.shape
    e, a = e_TC.double().tolist(), crf.transitions.double().tolist()
    start, end = crf.start.double().tolist(), crf.end.double().tolist()
    found = []
    for path in itertools.product(range(tags), repeat=steps):
        if not (crf.allowed_start[path[0]] and crf.allowed_end[path[-1]]):
            continue
        if not all(crf.allowed[i, j] for i, j in itertools.pairwise(path)):
            continue
        score = start[path[0]] + end[path[-1]] + sum(e[t][y] for t, y in enumerate(path))
        found.append((score + sum(a[i][j] for i, j in itertools.pairwise(path)), path))
    return sorted(found, reverse=True)


def log_sum(paths: list[tuple[float, tuple[int, ...]]]) -> float:
    top = paths[0][0]
    return top + math.log(math.fsum(math.exp(score - top) for score, _ in paths))


def random_crf(scheme: str | None) -> tuple[CRF, Tensor]:
    tags = TAGS if scheme != "bioes" else ["O", "S-x", "B-x", "I-x", "E-x"]
    crf = CRF(len(tags), legal_tags(tags, scheme))
    for scores in crf.parameters():
        torch.nn.init.normal_(scores)
    return crf, 2 * torch.randn(4, 5, len(tags))


@pytest.mark.parametrize("scheme", [None, "bio", "bioes"])
def test_everything_equals_the_sum_over_all_paths(scheme: str | None) -> None:
    crf, e_BTC = random_crf(scheme)
    e_BTC[1, 1:] = torch.nan  # what stands in the padding matters nowhere
    tags_BT = torch.zeros(4, 5, dtype=torch.long)
    tags_BT[1, 1:] = -100
    likelihood_B = crf.log_likelihood(e_BTC, tags_BT, LENGTHS)
    decoded_BT = crf.decode(e_BTC, LENGTHS)
    paths_BNT, log_p_BN = crf.n_best(e_BTC, 7, LENGTHS)
    marginals_BTC = crf.marginals(e_BTC, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        paths = paths_of(e_BTC[b, :length], crf)
        log_z = log_sum(paths)
        zeros = next(score for score, path in paths if path == (0,) * length)
        assert likelihood_B[b].item() == pytest.approx(zeros - log_z, abs=1e-4)
        assert tuple(decoded_BT[b, :length].tolist()) == paths[0][1]
        assert not decoded_BT[b, length:].any()
        for n, (score, path) in enumerate(paths[:7]):
            assert tuple(paths_BNT[b, n, :length].tolist()) == path
            assert log_p_BN[b, n].item() == pytest.approx(score - log_z, abs=1e-4)
        assert (log_p_BN[b, len(paths) :] == -torch.inf).all()
        expected_TC = torch.zeros(5, crf.transitions.shape[0], dtype=torch.float64)
        for score, path in paths:
            for t, y in enumerate(path):
                expected_TC[t, y] += math.exp(score - log_z)
        torch.testing.assert_close(marginals_BTC[b].double(), expected_TC, atol=1e-5, rtol=1e-5)


def autograd_log_partition(e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor) -> Tensor:
    """The textbook recursion in logarithms, all rows full, differentiated by autograd."""
    alpha_BC = start_C + e_BTC[:, 0]
    for t in range(1, e_BTC.shape[1]):
        alpha_BC = torch.logsumexp(alpha_BC[:, :, None] + transitions_CC, dim=1) + e_BTC[:, t]
    return torch.logsumexp(alpha_BC + end_C, dim=1)


def test_value_and_gradients_equal_those_of_the_textbook_recursion() -> None:
    e_BTC = torch.randn(3, 6, 4, dtype=torch.float64, requires_grad=True)
    scores = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((4, 4), (4,), (4,))]
    weight_B = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mine = log_partition(e_BTC, *scores, None)
    theirs = autograd_log_partition(e_BTC, *scores)
    torch.testing.assert_close(mine, theirs)
    ours = torch.autograd.grad((mine * weight_B).sum(), [e_BTC, *scores])
    others = torch.autograd.grad((theirs * weight_B).sum(), [e_BTC, *scores])
    for one, other in zip(ours, others, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_pass_gradcheck_with_lengths() -> None:
    e_BTC = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    scores = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((3, 3), (3,), (3,))]
    lengths_B = torch.tensor([4, 1, 0])
    torch.autograd.gradcheck(lambda e, a, s, z: log_partition(e, a, s, z, lengths_B), (e_BTC, *scores))
    assert log_partition(e_BTC, *scores, lengths_B)[2] == 0


@pytest.mark.parametrize("scheme", [None, "bio", "bioes"])
def test_a_padded_row_gets_the_score_and_the_gradient_it_gets_alone(scheme: str | None) -> None:
    crf, e_BTC = random_crf(scheme)
    e_BTC.requires_grad_()
    tags_BT = crf.decode(e_BTC.detach(), LENGTHS)
    together_B = crf.log_likelihood(e_BTC, tags_BT, LENGTHS)
    (grad_BTC,) = torch.autograd.grad(together_B.sum(), e_BTC)
    for b, length in enumerate(LENGTHS.tolist()):
        alone_1TC = e_BTC.detach()[b : b + 1, :length].clone().requires_grad_()
        alone = crf.log_likelihood(alone_1TC, tags_BT[b : b + 1, :length])
        (grad_1TC,) = torch.autograd.grad(alone.sum(), alone_1TC)
        torch.testing.assert_close(together_B[b], alone[0])
        torch.testing.assert_close(grad_BTC[b, :length], grad_1TC[0])
        assert not grad_BTC[b, length:].any()
        assert torch.equal(crf.decode(alone_1TC.detach())[0], tags_BT[b, :length])


def test_it_agrees_with_pytorch_crf() -> None:
    torchcrf = pytest.importorskip("torchcrf")
    crf, e_BTC = random_crf(None)
    other = torchcrf.CRF(5, batch_first=True)
    other.load_state_dict(
        {"transitions": crf.transitions, "start_transitions": crf.start, "end_transitions": crf.end}, strict=True
    )
    mask_BT = torch.arange(5) < LENGTHS[:, None]
    tags_BT = torch.randint(5, (4, 5))
    theirs_B = other(e_BTC, tags_BT, mask=mask_BT, reduction="none")
    torch.testing.assert_close(crf.log_likelihood(e_BTC, tags_BT, LENGTHS), theirs_B)
    decoded_BT = crf.decode(e_BTC, LENGTHS)
    expected = other.decode(e_BTC, mask=mask_BT)
    assert [row[: len(path)] for row, path in zip(decoded_BT.tolist(), expected, strict=True)] == expected


@pytest.mark.parametrize("scale", [50.0, 300.0])
def test_large_scores_and_long_rows_neither_overflow_nor_vanish(scale: float) -> None:
    e_BTC = (scale * torch.randn(2, 300, 3)).requires_grad_()
    scores = [scale / 10 * torch.randn(size) for size in ((3, 3), (3,), (3,))]
    mine = log_partition(e_BTC, *scores, None)
    wide = [part.double() for part in scores]
    expected = autograd_log_partition(e_BTC.detach().double(), *wide)
    torch.testing.assert_close(mine.double(), expected, rtol=1e-5, atol=1e-3)
    (grad_BTC,) = torch.autograd.grad(mine.sum(), e_BTC)
    torch.testing.assert_close(grad_BTC.sum(-1), torch.ones(2, 300))


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_what_is_illegal_is_never_decoded_however_much_the_emissions_want_it(scheme: str) -> None:
    crf, e_BTC = random_crf(scheme)
    e_BTC = 100 * torch.randn(64, 9, 5)
    for path_T in crf.decode(e_BTC).tolist() + crf.n_best(e_BTC, 3)[0].flatten(0, 1).tolist():
        assert crf.allowed_start[path_T[0]]
        assert crf.allowed_end[path_T[-1]]
        assert all(crf.allowed[i, j] for i, j in itertools.pairwise(path_T))


def test_legal_transitions_by_hand() -> None:
    tags = ["O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"]
    legal = legal_tags(tags, "bioes")
    assert legal is not None
    begins = {"O", "B-x", "S-x", "B-y", "S-y"}
    expected = {
        **dict.fromkeys(["O", "E-x", "S-x", "E-y", "S-y"], begins),
        **{before: {"I-x", "E-x"} for before in ("B-x", "I-x")},
        **{before: {"I-y", "E-y"} for before in ("B-y", "I-y")},
    }
    for i, before in enumerate(tags):
        assert {tags[j] for j in legal.transitions[i].nonzero().flatten().tolist()} == expected[before]
    assert {tags[i] for i in legal.start.nonzero().flatten().tolist()} == begins
    assert {tags[i] for i in legal.end.nonzero().flatten().tolist()} == {"O", "E-x", "S-x", "E-y", "S-y"}
    assert legal_tags(tags, None) is None
    with pytest.raises(UserError, match=r"model\.scheme: expected null, bio or bioes; got 'iob'"):
        legal_tags(tags, "iob")
    assert split_tag("S-a-b") == ("S", "a-b")
    assert split_tag("NOUN") == ("O", "")


def test_learning_finds_the_transitions_that_the_data_have() -> None:
    """Tags that alternate, emissions that say nothing: only the transitions can learn it."""
    crf = CRF(2)
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.1)
    tags_BT = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 1, 0, 0]])
    lengths_B = torch.tensor([5, 4])
    for _ in range(100):
        optimizer.zero_grad()
        (-crf.log_likelihood(torch.zeros(2, 5, 2), tags_BT, lengths_B).mean()).backward()
        optimizer.step()
    e_BTC = torch.zeros(1, 4, 2)
    e_BTC[0, 0, 1] = 0.5
    assert crf.decode(e_BTC).tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_emissions_under_autocast_are_summed_in_wide_numbers(dtype: torch.dtype) -> None:
    crf, e_BTC = random_crf("bio")
    narrow_BTC = e_BTC.to(dtype)
    tags_BT = crf.decode(narrow_BTC)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside_B = crf.log_likelihood(narrow_BTC, tags_BT)
    assert inside_B.dtype == torch.float32
    torch.testing.assert_close(inside_B, crf.log_likelihood(narrow_BTC.float(), tags_BT))


def test_viterbi_without_learned_scores_is_the_argmax() -> None:
    e_BTC = torch.randn(3, 4, 5)
    zeros = torch.zeros(5, 5), torch.zeros(5), torch.zeros(5)
    assert torch.equal(viterbi(e_BTC, *zeros), e_BTC.argmax(-1))


def test_state_dicts_hold_the_learned_scores_only() -> None:
    crf = CRF(2, LegalTags(torch.ones(2, 2), torch.ones(2), torch.tensor([True, False])))
    assert set(crf.state_dict()) == {"transitions", "start", "end"}


def log_chain(e_BTC: Tensor, crf: CRF, lengths_B: Tensor) -> Tensor:
    """The logarithm of the sum over all paths, row by row, path by path, by autograd's own operations."""
    transitions_CC, start_C, end_C = crf.scores()
    sums = []
    for e_TC, length in zip(e_BTC, lengths_B.tolist(), strict=True):
        scores = []
        for path in itertools.product(range(e_TC.shape[1]), repeat=length):
            score = e_TC.new_zeros(())
            if path:
                score = start_C[path[0]] + end_C[path[-1]] + sum(e_TC[t, y] for t, y in enumerate(path))
                score = score + sum(transitions_CC[i, j] for i, j in itertools.pairwise(path))
            if score > -torch.inf:
                scores.append(score)
        sums.append(torch.stack(scores).logsumexp(0))
    return torch.stack(sums)


@pytest.mark.parametrize("scheme", [None, "bio"])
def test_second_derivatives_are_those_of_the_sum_over_all_paths(scheme: str | None) -> None:
    crf, e_BTC = random_crf(scheme)
    crf, e_BTC = crf.double(), e_BTC[:, :3].double().requires_grad_()
    lengths_B = torch.tensor([3, 1, 0, 2])
    tags_BT = crf.decode(e_BTC.detach(), lengths_B)
    sources = [e_BTC, *crf.parameters()]

    def second(log_z_B: Tensor) -> tuple[Tensor, ...]:
        grads = torch.autograd.grad(log_z_B.square().sum(), sources, create_graph=True)
        torch.manual_seed(1)
        return torch.autograd.grad(sum((grad * torch.randn_like(grad)).sum() for grad in grads), sources)  # type: ignore[return-value]

    for found, expected in zip(
        second(log_partition(e_BTC, *crf.scores(), lengths_B)), second(log_chain(e_BTC, crf, lengths_B)), strict=True
    ):
        torch.testing.assert_close(found, expected)
    torch.autograd.gradgradcheck(lambda e: crf.log_likelihood(e, tags_BT, lengths_B), e_BTC)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e3, 1e30])
@pytest.mark.parametrize("scheme", [None, "bioes"])
def test_emissions_of_any_size_are_summed_rightly(scale: float, scheme: str | None) -> None:
    """Those that are far too small for probabilities too: a tag that is illegal may be the one the model wants."""
    crf, e_BTC = random_crf(scheme)
    crf = crf.double()
    e_BTC = (scale * e_BTC[:, :4].double()).requires_grad_()
    lengths_B = torch.tensor([4, 1, 0, 3])
    expected_B, found_B = log_chain(e_BTC, crf, lengths_B), log_partition(e_BTC, *crf.scores(), lengths_B)
    torch.testing.assert_close(found_B, expected_B)
    sources = [e_BTC, *crf.parameters()]
    wanted = torch.autograd.grad(expected_B.sum(), sources)
    for one, other in zip(torch.autograd.grad(found_B.sum(), sources), wanted, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(crf.marginals(e_BTC.detach(), lengths_B), wanted[0])
    with torch.inference_mode():
        torch.testing.assert_close(crf.marginals(e_BTC.detach(), lengths_B), wanted[0])


def test_an_emission_of_minus_infinity_forbids_a_tag() -> None:
    crf, e_BTC = random_crf(None)
    crf, e_BTC = crf.double(), e_BTC[:, :4].double()
    e_BTC[0, 2] = torch.tensor([0.3, -torch.inf, 0.1, -torch.inf, 0.2], dtype=torch.float64)
    e_BTC[1, 1, :4] = -torch.inf
    e_BTC.requires_grad_()
    lengths_B = torch.tensor([4, 2, 1, 4])
    found_B = log_partition(e_BTC, *crf.scores(), lengths_B)
    torch.testing.assert_close(found_B, log_chain(e_BTC, crf, lengths_B))
    (grad_BTC,) = torch.autograd.grad(found_B.sum(), e_BTC, retain_graph=True)
    assert grad_BTC.isfinite().all()
    assert not grad_BTC[1, 1, :4].any()
    torch.testing.assert_close(crf.marginals(e_BTC.detach(), lengths_B), grad_BTC)
    assert crf.decode(e_BTC.detach(), lengths_B)[1, 1] == 4
    assert crf.decode(e_BTC.detach())[0, 2] in (0, 2, 4)


def test_a_row_in_which_no_tag_is_possible_has_no_path_and_spoils_no_other() -> None:
    crf, e_BTC = random_crf("bio")
    e_BTC[0, 2] = -torch.inf
    e_BTC.requires_grad_()
    log_z_B = log_partition(e_BTC, *crf.scores(), None)
    assert log_z_B[0] == -torch.inf
    torch.testing.assert_close(log_z_B[1:], log_partition(e_BTC[1:], *crf.scores(), None))
    (grad_BTC,) = torch.autograd.grad(log_z_B[1:].sum(), e_BTC)
    assert not grad_BTC[0].any()
    assert grad_BTC.isfinite().all()


def test_transitions_that_vanish_beside_others_still_count_where_nothing_else_is_possible() -> None:
    e_BTC = torch.zeros(1, 2, 2, dtype=torch.float64)
    e_BTC[0, 0, 1] = e_BTC[0, 1, 0] = -torch.inf
    transitions_CC = torch.tensor([[0.0, -2000.0], [0.0, 0.0]], dtype=torch.float64)
    nothing_C = torch.zeros(2, dtype=torch.float64)
    assert log_partition(e_BTC, transitions_CC, nothing_C, nothing_C, None).item() == -2000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float64])
def test_emissions_of_any_dtype(dtype: torch.dtype) -> None:
    crf, e_BTC = random_crf("bio")
    e_BTC = (3 * e_BTC).to(dtype)
    as_float_BTC, tags_BT = e_BTC.float(), crf.decode(e_BTC, LENGTHS)
    likelihood_B = crf.log_likelihood(e_BTC, tags_BT, LENGTHS)
    assert likelihood_B.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(likelihood_B.float(), crf.log_likelihood(as_float_BTC, tags_BT.int(), LENGTHS))
    assert torch.equal(tags_BT, crf.decode(as_float_BTC, LENGTHS))
    for found, expected in zip(crf.n_best(e_BTC, 3, LENGTHS), crf.n_best(as_float_BTC, 3, LENGTHS), strict=True):
        torch.testing.assert_close(found, expected, check_dtype=False)
    torch.testing.assert_close(
        crf.marginals(e_BTC, LENGTHS), crf.marginals(as_float_BTC, LENGTHS), check_dtype=False, atol=1e-6, rtol=1e-5
    )


def test_a_long_sentence_loses_no_digits_of_its_likelihood() -> None:
    """Score and sum are near 1e5 each, their difference near 1e2."""
    crf, _ = random_crf(None)
    e_BTC = 100 + torch.randn(1, 1000, 5)
    tags_BT = crf.decode(e_BTC)
    exact = crf.double().log_likelihood(e_BTC.double(), tags_BT)
    torch.testing.assert_close(crf.float().log_likelihood(e_BTC, tags_BT), exact.float(), rtol=1e-6, atol=1e-5)


def test_empty_rows_and_empty_batches() -> None:
    crf, e_BTC = random_crf("bio")
    lengths = [5, 0, 2, 0]
    paths_BNT, log_p_BN = crf.n_best(e_BTC, 2, lengths)
    assert log_p_BN[1].tolist() == [0, -torch.inf]
    assert not paths_BNT[1].any()
    for shape in ((4, 0, 5), (0, 3, 5)):
        e_BTC = torch.zeros(shape, requires_grad=True)
        tags_BT = torch.zeros(shape[:2], dtype=torch.long)
        likelihood_B = crf.log_likelihood(e_BTC, tags_BT)
        assert likelihood_B.tolist() == [0] * shape[0]
        likelihood_B.sum().backward()
        assert crf.decode(e_BTC).shape == shape[:2]
        assert crf.marginals(e_BTC).shape == shape
        assert crf.n_best(e_BTC, 3)[0].shape == (shape[0], 3, shape[1])
