"""The one exception for mistakes that the person at the keyboard can repair."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """A mistake of the user's, told in one message: what was set, what was expected, what arrived, how to repair it.

    The command line prints it and exits with code 2. Code that uses rnnkit as a library may catch it as a `ValueError`.

    >>> raise UserError("lanes", "a positive number", "0", fix="data.lanes=32")
    Traceback (most recent call last):
    rnnkit.errors.UserError: lanes: expected a positive number; got 0. Try: data.lanes=32
    """

    def __init__(self, argument: str, expected: str, got: str, *, fix: str) -> None:
        got = " ".join(_shown(got).split())  # what libraries say can fill many lines
        expected = _shown(expected)
        super().__init__(f"{argument}: expected {expected}; got {got}. Try: {fix}")
        self.argument = argument
        self.expected = expected
        self.got = got
        self.fix = fix

    def renamed(self, argument: str) -> "UserError":
        """The same mistake under another name, in the message and in its fix."""
        return UserError(argument, self.expected, self.got, fix=self.fix.replace(self.argument, argument))


class Problems:
    """Mistakes that are looked for one after the other and told together.

    >>> problems = Problems()
    >>> def refuse(name):
    ...     raise UserError(name, "a positive number", "0", fix=f"{name}=1")
    >>> for name in ("data.lanes", "model.num_layers"):
    ...     problems.attempt(refuse, name)
    >>> problems.tell()
    Traceback (most recent call last):
    rnnkit.errors.UserError: 2 problems
      data.lanes: expected a positive number; got 0. Try: data.lanes=1
      model.num_layers: expected a positive number; got 0. Try: model.num_layers=1
    """

    def __init__(self) -> None:
        self.found: list[UserError] = []

    def attempt(self, make: Callable[..., T], *arguments: object) -> T | None:
        """What `make` returns; None where it raises a UserError, which is kept."""
        try:
            return make(*arguments)
        except UserError as error:
            self.found.append(error)
            return None

    def tell(self) -> None:
        """Raise what was found, if anything."""
        if len(self.found) < 2:
            for error in self.found:
                raise error
            return
        together = UserError("configuration", "no problems", f"{len(self.found)}", fix="as each of them says")
        together.args = ("\n  ".join([f"{len(self.found)} problems", *map(str, self.found)]),)
        raise together


def _shown(text: str) -> str:
    """The text or, where it holds a line of some file that has no end, its beginning and its end."""
    return text if len(text) <= 2000 else f"{text[:1000]} ... {text[-1000:]}"
