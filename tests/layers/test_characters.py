"""Words from their characters."""

import pytest
import torch
import torch.nn.functional as F

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.layers import RNN, CharCNN, CharRNN

CHARACTERS = torch.tensor([[2, 5, 6, 7, 3], [2, 5, 3, 0, 0], [2, 3, 0, 0, 0]])
SIZES = torch.tensor([5, 3, 2])


def test_the_cnn_is_torchs_convolution_and_maximum() -> None:
    encoder = CharCNN(10, embedding_size=4, filters=6, kernel_size=3)
    weight_OIK = encoder.filters.weight.view(6, 3, 4).transpose(1, 2)
    for row, size in zip(CHARACTERS, SIZES.tolist(), strict=True):
        x_1IK = encoder.embedding(row[:size])[None].transpose(1, 2)
        y_O = F.conv1d(x_1IK, weight_OIK, encoder.filters.bias, padding=1)[0].relu().amax(1)
        torch.testing.assert_close(encoder(row[None, :size], torch.tensor([size]))[0], y_O)


@pytest.mark.parametrize("cell", [ElmanCell, GRUCell, LSTMCell])
def test_the_rnn_has_read_the_word_in_both_directions(cell: type) -> None:
    encoder = CharRNN(10, cell, embedding_size=4, hidden_size=3)
    for row, size in zip(CHARACTERS, SIZES.tolist(), strict=True):
        x_1KI = encoder.embedding(row[:size])[None]
        ends = []
        for index, x in enumerate((x_1KI, x_1KI.flip(1))):
            one_way = RNN(cell, 4, 3)
            one_way.cells[0].load_state_dict(encoder.rnn.cells[index].state_dict())
            ends.append(one_way(x)[0][0, -1])
        torch.testing.assert_close(encoder(row[None, :size], torch.tensor([size]))[0], torch.cat(ends))


@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_a_padded_word_is_the_word_alone(kind: str) -> None:
    encoder = CharCNN(10, 4, 6) if kind == "cnn" else CharRNN(10, LSTMCell, 4, 3)
    together = encoder(CHARACTERS, SIZES)
    for row, size, word in zip(CHARACTERS, SIZES.tolist(), together, strict=True):
        torch.testing.assert_close(encoder(row[None, :size], torch.tensor([size]))[0], word)
    together.sum().backward()
    assert not encoder.embedding.weight.grad[0].any()


def test_many_words_in_groups_of_like_length_are_what_they_are_alone() -> None:
    encoder = CharRNN(10, GRUCell, 4, 3)
    sizes_U = torch.randint(1, 9, (150,))
    characters_UK = torch.randint(1, 10, (150, 8)).masked_fill(torch.arange(8) >= sizes_U[:, None], 0)
    together_UO = encoder(characters_UK, sizes_U)
    for row, size, word in zip(characters_UK, sizes_U.tolist(), together_UO, strict=True):
        torch.testing.assert_close(encoder(row[None, :size], torch.tensor([size]))[0], word)


def test_an_even_kernel_has_no_middle() -> None:
    with pytest.raises(UserError, match=r"kernel_size: expected an odd number; got 4\. Try: kernel_size=5"):
        CharCNN(10, kernel_size=4)


def test_the_cnns_gradients_are_those_of_torchs_convolution() -> None:
    encoder = CharCNN(10, embedding_size=4, filters=6, kernel_size=5)
    y_UO = torch.stack(
        [
            F.conv1d(
                encoder.embedding(row[:size])[None].transpose(1, 2),
                encoder.filters.weight.view(6, 5, 4).transpose(1, 2),
                encoder.filters.bias,
                padding=2,
            )[0]
            .relu()
            .amax(1)
            for row, size in zip(CHARACTERS, SIZES.tolist(), strict=True)
        ]
    )
    weight_UO = torch.randn_like(y_UO)
    parameters = list(encoder.parameters())
    expected = torch.autograd.grad((y_UO * weight_UO).sum(), parameters)
    found = torch.autograd.grad((encoder(CHARACTERS, SIZES) * weight_UO).sum(), parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_first_and_second_derivatives_are_those_of_finite_differences(kind: str) -> None:
    encoder = (CharCNN(8, 2, 3, 3) if kind == "cnn" else CharRNN(8, GRUCell, 2, 2)).double()
    names, weights = zip(*encoder.named_parameters(), strict=True)

    def words(*given: torch.Tensor) -> torch.Tensor:
        by_name = dict(zip(names, given, strict=True))
        return torch.func.functional_call(encoder, by_name, (CHARACTERS, SIZES))  # type: ignore[no-any-return]

    torch.autograd.gradcheck(words, weights)
    torch.autograd.gradgradcheck(words, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_narrow_cnn_stays_narrow(dtype: torch.dtype) -> None:
    encoder = CharCNN(10, 4, 6).to(dtype)
    found_UO = encoder(CHARACTERS, SIZES)
    assert found_UO.dtype == dtype
    torch.testing.assert_close(found_UO.float(), encoder.float()(CHARACTERS, SIZES), atol=0.02, rtol=0.02)


def test_a_wide_cnn_is_as_exact_as_its_numbers() -> None:
    encoder = CharCNN(10, 4, 6, 3).double()
    row = CHARACTERS[:1]
    x_1IK = encoder.embedding(row).transpose(1, 2)
    weight_OIK = encoder.filters.weight.view(6, 3, 4).transpose(1, 2)
    y_O = F.conv1d(x_1IK, weight_OIK, encoder.filters.bias, padding=1)[0].relu().amax(1)
    torch.testing.assert_close(encoder(row, [5])[0], y_O, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("words", [3, 150])
@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_words_without_characters_are_zero_and_sizes_may_be_of_any_integer_type(kind: str, words: int) -> None:
    encoder = CharCNN(10, 4, 6) if kind == "cnn" else CharRNN(10, GRUCell, 4, 3)
    sizes_U = torch.randint(0, 6, (words,))
    sizes_U[:70] = 0
    sizes_U[-1] = 5
    characters_UK = torch.randint(1, 10, (words, 5)).masked_fill(torch.arange(5) >= sizes_U[:, None], 0)
    expected_UO = encoder(characters_UK, sizes_U)
    assert not expected_UO[sizes_U == 0].any()
    assert expected_UO[-1].any()
    for sizes in (sizes_U.tolist(), sizes_U.to(torch.uint8), sizes_U.numpy()):
        torch.testing.assert_close(encoder(characters_UK, sizes), expected_UO)
