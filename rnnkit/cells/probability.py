"""The check of dropout probabilities."""

from rnnkit.errors import UserError


def check_probability(name: str, p: float, *, key: str | None = None) -> None:
    """Raise `UserError` unless 0 <= p < 1; `key` is the override that fixes it."""
    if not 0 <= p < 1:
        raise UserError(name, "a probability of at least 0 and below 1", str(p), fix=f"{key or name}=0.5")
