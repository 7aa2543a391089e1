"""A linear forecast that is added to the recurrent one."""

import torch
from torch import Tensor, nn

from rnnkit.errors import UserError


class LinearPart(nn.Module):
    r"""A linear forecast from the last N steps, with the same weights for all channels, added to that of the model.

    .. math::
        a_k = \sum_{i=1}^{N} w_{ki} z_{T+1-i}

    It captures a season within N steps directly, and leaves the rest to the recurrence (Lai et al. 2018,
    arXiv:1703.07015). The weights start at zero or, with a lag, as the forecast that repeats the last `lag` steps.

    Axes: B windows, T past steps, N of them read, H steps of the horizon, C channels, P parameters.

    Raises:
        UserError: if the number of steps is negative or exceeds the context, or the lag exceeds the number of steps.

    >>> part = LinearPart(steps=2, horizon=3, context=9)
    >>> part(torch.randn(4, 9, 1), None).shape
    torch.Size([4, 3, 1])
    """

    def __init__(self, steps: int, horizon: int, context: int | None, lag: int = 0) -> None:
        super().__init__()
        if steps < 0 or (context is not None and steps > context):
            expected = f"0 to {context}, the steps of data.context"
            raise UserError("model.linear", expected, str(steps), fix=f"model.linear={context}")
        if not 0 <= lag <= steps:
            expected = f"0 to {steps}, the steps that the linear part reads (model.linear)"
            raise UserError("model.linear_lag", expected, str(lag), fix=f"model.linear_lag={steps}")
        self.steps = steps
        # an empty weight has no gradient: distributed processes would wait for it
        self.weight = nn.Parameter(torch.zeros(horizon, steps), requires_grad=steps > 0)
        if lag:
            ahead_H = torch.arange(horizon)
            with torch.no_grad():
                self.weight[ahead_H, steps - lag + ahead_H % lag] = 1

    def forward(self, z_BTC: Tensor, lengths: Tensor | None) -> Tensor:
        """Return [B, H, C] from values on the scale of the window [B, T, C]."""
        return self.weight @ _ending(z_BTC, lengths, self.steps)

    def added(self, raw_BHCP: Tensor, count: int, z_BTC: Tensor, lengths: Tensor | None) -> Tensor:
        """Return [B, H, C, P], the forecast added to the first `count` parameters of each step and channel."""
        if not self.steps:
            return raw_BHCP
        a_BHC1 = self(z_BTC, lengths)[..., None]
        return torch.cat([raw_BHCP[..., :count] + a_BHC1, raw_BHCP[..., count:]], -1)


def _ending(z_BTC: Tensor, lengths_B: Tensor | None, steps: int) -> Tensor:
    """Return the last steps of each row [B, steps, C], 0 before its first step."""
    B, T, C = z_BTC.shape
    if lengths_B is None and steps <= T:
        return z_BTC[:, T - steps :]
    ends_B = torch.full((B,), T, device=z_BTC.device) if lengths_B is None else lengths_B
    place_BN = ends_B[:, None] + torch.arange(-steps, 0, device=z_BTC.device)
    taken_BNC = z_BTC.gather(1, place_BN.clamp(min=0)[..., None].expand(-1, -1, C))
    return taken_BNC.masked_fill(place_BN[..., None] < 0, 0)
