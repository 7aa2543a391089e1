"""Simple features of a text and of a series, which units may follow."""

import torch
from torch import Tensor

OPENING, CLOSING = "([{", ")]}"


def text_features(characters: list[str]) -> tuple[list[str], Tensor]:
    r"""Return names and values [T, F] of features of the text after each of its tokens.

    `in quotes`, `bracket depth`, `column` (tokens since the line began), `indentation` (of the line), `position in
    word`, `in comment` (after #), `is space`, `is digit`, `is upper case`, `line number`.

    >>> names, values = text_features(list("f(a)\n"))
    >>> values[:, names.index("bracket depth")].tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    names = ["in quotes", "bracket depth", "column", "indentation", "position in word", "in comment"]
    names += ["is space", "is digit", "is upper case", "line number"]
    quote, depth, column, indentation, word, lines = "", 0, 0, 0, 0, 0
    in_indentation, in_comment = True, False
    rows = []
    for token in characters:
        for character in token:
            if character == "\n":
                column, indentation, word, in_indentation, in_comment, quote = 0, 0, 0, True, False, ""
                lines += 1
                continue
            column += 1
            if in_indentation and character.isspace():
                indentation += 1
            else:
                in_indentation = False
            word = word + 1 if character.isalnum() or character == "_" else 0
            if quote:
                quote = "" if character == quote else quote
            elif in_comment:
                pass
            elif character in "\"'":
                quote = character
            elif character == "#":
                in_comment = True
            elif character in OPENING:
                depth += 1
            elif character in CLOSING:
                depth = max(0, depth - 1)
        kinds = (token.isspace(), token.isdigit(), token.isupper())
        rows.append([bool(quote), depth, column, indentation, word, in_comment, *kinds, lines])
    return names, torch.tensor(rows, dtype=torch.double).view(len(rows), len(names))


def series_features(values_TC: Tensor, channels: list[str]) -> tuple[list[str], Tensor]:
    """Return names and values [T, F] of features of a series: each channel, its change, and its mean over 10 steps.

    >>> series_features(torch.arange(3.0)[:, None], ["load"])[0]
    ['load', 'change of load', 'mean of load over 10 steps']
    """
    values = values_TC.double().nan_to_num()
    change = torch.zeros_like(values)
    change[1:] = values[1:] - values[:-1]
    sums = torch.cat([torch.zeros_like(values[:1]), values.cumsum(0)])
    t = torch.arange(1, len(values) + 1)
    start = (t - 10).clamp(min=0)
    mean = (sums[t] - sums[start]) / (t - start)[:, None]
    names = [name.format(c) for name in ("{}", "change of {}", "mean of {} over 10 steps") for c in channels]
    return names, torch.cat([values, change, mean], dim=1)
