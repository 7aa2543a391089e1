"""The exception for mistakes that the user can fix."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """A mistake of the user, described in one message: the argument, the expected value, the actual one, and a fix.

    The command line prints it and exits with code 2. Code that uses rnnkit as a library may catch it as a `ValueError`.

    >>> raise UserError("lanes", "a positive number", "0", fix="data.lanes=32")
    Traceback (most recent call last):
    rnnkit.errors.UserError: lanes: expected a positive number; got 0. Try: data.lanes=32
    """

    def __init__(self, argument: str, expected: str, got: str, *, fix: str) -> None:
        got = " ".join(_shown(got).split())  # messages of libraries can have many lines
        expected = _shown(expected)
        super().__init__(f"{argument}: expected {expected}; got {got}. Try: {fix}")
        self.argument = argument
        self.expected = expected
        self.got = got
        self.fix = fix

    def renamed(self, argument: str) -> "UserError":
        """Return the same error for another name, in the message and in its fix."""
        return UserError(argument, self.expected, self.got, fix=self.fix.replace(self.argument, argument))


class Problems:
    """A collection of errors that are reported together.

    >>> problems = Problems()
    >>> def refuse(name):
    ...     raise UserError(name, "a positive number", "0", fix=f"{name}=1")
    >>> for name in ("data.lanes", "model.num_layers"):
    ...     problems.attempt(refuse, name)
    >>> problems.raise_all()
    Traceback (most recent call last):
    rnnkit.errors.UserError: 2 problems
      data.lanes: expected a positive number; got 0. Try: data.lanes=1
      model.num_layers: expected a positive number; got 0. Try: model.num_layers=1
    """

    def __init__(self) -> None:
        self.found: list[UserError] = []

    def attempt(self, make: Callable[..., T], *arguments: object) -> T | None:
        """Return the result of `make`; if it raises a UserError, record it and return None."""
        try:
            return make(*arguments)
        except UserError as error:
            self.found.append(error)
            return None

    def raise_all(self) -> None:
        """Raise the recorded errors, if there are any."""
        if len(self.found) < 2:
            for error in self.found:
                raise error
            return
        together = UserError(
            "configuration", "no problems", f"{len(self.found)}", fix="the override that each of them names"
        )
        together.args = ("\n  ".join([f"{len(self.found)} problems", *map(str, self.found)]),)
        raise together


def _shown(text: str) -> str:
    """Return the text or, if it is very long, its beginning and its end."""
    return text if len(text) <= 2000 else f"{text[:1000]} ... {text[-1000:]}"
