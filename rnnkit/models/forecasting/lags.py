"""Past values that the step of an autoregressive forecaster reads, over known and over sampled steps.

Axes: B windows, T past steps, H steps of the horizon, C channels, L lags, S sample paths, N steps of a sequence.
"""

import torch
from torch import Tensor


def lagged(z_BNC: Tensor, missing_BNC: Tensor, place_BN: Tensor, lags_L: Tensor) -> Tensor:
    """Return the values at each lag, and where they are missing or before the window [B, N, 2 L C].

    Args:
        z_BNC: the values.
        missing_BNC: where they are missing.
        place_BN: the number of steps before each step.
        lags_L: the lags.
    """
    place_BNL = place_BN[..., None] - lags_L
    before_BNL1 = (place_BNL < 0)[..., None]
    B, N, L = place_BNL.shape
    index = place_BNL.clamp(min=0).view(B, N * L, 1).expand(-1, -1, z_BNC.shape[2])
    lagged_BNLC = z_BNC.gather(1, index).view(B, N, L, -1).masked_fill(before_BNL1, 0)
    missing_BNLC = missing_BNC.gather(1, index).view(B, N, L, -1) | before_BNL1
    return torch.cat([lagged_BNLC.flatten(2), missing_BNLC.to(z_BNC.dtype).flatten(2)], -1)


class SampledValues:
    """The values at the lags before the origin, then those of the horizon, for S paths of each window.

    The origin of each window is at the same place. A path is a row: S B rows, path by path.
    """

    def __init__(
        self, z_BTC: Tensor, missing_BTC: Tensor, origin_B: Tensor, longest_lag: int, horizon: int, samples: int
    ) -> None:
        B, _, C = z_BTC.shape
        K = self._known = longest_lag
        place_BK = origin_B[:, None] + torch.arange(-K, 0, device=z_BTC.device)
        before_BK1 = (place_BK < 0)[..., None]
        index_BKC = place_BK.clamp(min=0)[..., None].expand(-1, -1, C)
        z_BNC = torch.cat([z_BTC.gather(1, index_BKC).masked_fill(before_BK1, 0), z_BTC.new_zeros(B, horizon, C)], 1)
        missing_BKC = missing_BTC.gather(1, index_BKC) | before_BK1
        missing_BNC = torch.cat([missing_BKC, missing_BKC.new_zeros(B, horizon, C)], 1)
        self._z = z_BNC.repeat(samples, 1, 1)
        self._missing = missing_BNC.to(z_BNC.dtype).repeat(samples, 1, 1)

    def before(self, step: int, lags_L: Tensor) -> Tensor:
        """Return the values at the lags of a step of the horizon, and where they are missing [S B, 2 L C]."""
        read = self._known + step - lags_L
        return torch.cat([self._z[:, read].flatten(1), self._missing[:, read].flatten(1)], -1)

    def append(self, step: int, z: Tensor) -> None:
        """Set the values [S B, C] of a step of the horizon."""
        self._z[:, self._known + step] = z


class OneSequence:
    """Past and horizon of each window as one sequence without padding between them.

    Args:
        origin_B1: the number of past steps.
        past_steps: T, with padding.
        horizon: H.
    """

    def __init__(self, origin_B1: Tensor, past_steps: int, horizon: int) -> None:
        T, N = past_steps, past_steps + horizon
        self.place_BN = torch.arange(N, device=origin_B1.device).expand(len(origin_B1), -1)
        """The number of steps before each step."""
        # the index in [past, horizon] of the step at each place
        source_BN = torch.where(self.place_BN < origin_B1, self.place_BN, self.place_BN + T - origin_B1)
        self.padding_BN = source_BN >= N
        """Where the sequence has ended."""
        self._source_BN = source_BN.clamp(max=N - 1)

    def joined(self, past: Tensor, future: Tensor) -> Tensor:
        """Return [B, N, F] from values of the past [B, T, F] and of the horizon [B, H, F]."""
        both = torch.cat([past, future], 1)
        return both.gather(1, self._source_BN[..., None].expand(-1, -1, past.shape[2]))
