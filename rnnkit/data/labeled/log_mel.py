"""Log-mel energies."""

import functools
import math

import torch
from torch import Tensor

FLOOR = 1e-6
"""The constant that is added to energies, so that digital silence has a logarithm. It is far below 16-bit speech."""


def log_mel(
    wave_N: Tensor, sample_rate: int, *, bands: int = 40, window_ms: float = 25.0, hop_ms: float = 10.0
) -> Tensor:
    r"""Logarithms of the energies in mel bands [T, I], where I is the number of `bands`.

    .. math::
        S_{t,k} &= \Big| \sum_{n=0}^{W-1} w_n \, x_{tP+n} \, e^{-2 \pi i k n / K} \Big|^2 \\
        y_{t,m} &= \ln \Big( \sum_k F_{m,k} \, S_{t,k} + 10^{-6} \Big) \\
        \mathrm{mel}(f) &= 2595 \, \log_{10} (1 + f / 700)

    The Hann window has W samples, its hop is P samples, and K is the next power of two. The triangles F have height 1
    and span from the center of the previous band to the center of the next. Their centers are equally spaced on the
    mel scale of HTK (O'Shaughnessy 1987) from 0 Hz to half the sample rate. As in HTK and Kaldi, an incomplete last
    window is dropped. A recording shorter than one window is padded with silence.

    Args:
        wave_N: the samples.
        sample_rate: samples per second.
        bands: number of bands.
        window_ms: length of the window in milliseconds.
        hop_ms: distance of windows in milliseconds.

    Raises:
        ValueError: the bands are narrower than the frequency resolution, or a window or its hop has no sample.

    >>> tone_N = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 8000)
    >>> y_TI = log_mel(tone_N, 8000, bands=20)
    >>> tuple(y_TI.shape), y_TI.argmax(1).unique().tolist()  # 98 windows; the loudest band is around 1000 Hz
    ((98, 20), [9])
    """
    window, hop = round(sample_rate * window_ms / 1000), round(sample_rate * hop_ms / 1000)
    if min(window, hop) < 1:
        raise ValueError(f"{min(window_ms, hop_ms)} ms are shorter than a sample at {sample_rate} Hz")
    size = 1 << (window - 1).bit_length()
    if len(wave_N) < window:
        wave_N = torch.nn.functional.pad(wave_N, (0, window - len(wave_N)))
    frames_TW = wave_N.unfold(0, window, hop) * _hann(window)
    energy_TK = torch.fft.rfft(frames_TW, size).abs().square()
    return torch.log(energy_TK @ mel_triangles(bands, size, sample_rate).T + FLOOR)


@functools.cache
def mel_triangles(bands: int, size: int, sample_rate: int) -> Tensor:
    """The triangles F of `log_mel`, [M, K / 2 + 1], for a transform of `size` K."""
    if bands > size + 2:  # each frequency is in two bands at most
        raise ValueError(f"{bands} bands are too narrow for a transform of {size} samples at {sample_rate} Hz")
    edges = torch.linspace(0, _mel(sample_rate / 2), bands + 2, dtype=torch.float64)
    edges_hz = 700 * (10 ** (edges / 2595) - 1)
    low, middle, high = (edges_hz[start : start + bands, None] for start in range(3))
    hz_K = torch.linspace(0, sample_rate / 2, size // 2 + 1, dtype=torch.float64)
    triangles_MK = torch.minimum((hz_K - low) / (middle - low), (high - hz_K) / (high - middle)).clamp(min=0)
    if (triangles_MK.sum(1) == 0).any():
        raise ValueError(f"{bands} bands are too narrow for a transform of {size} samples at {sample_rate} Hz")
    return triangles_MK.float()


@functools.cache
def _hann(window: int) -> Tensor:
    return torch.hann_window(window)


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)
