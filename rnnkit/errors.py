"""The one exception for mistakes that the person at the keyboard can repair."""


class UserError(ValueError):
    """A mistake of the user's, told in one message: what was set, what was expected, what arrived, how to repair it.

    The command line prints it and exits with code 2. Code that uses rnnkit as a library may catch it as a `ValueError`.

    >>> raise UserError("lanes", "a positive number", "0", fix="data.lanes=32")
    Traceback (most recent call last):
    rnnkit.errors.UserError: lanes: expected a positive number; got 0. Try: data.lanes=32
    """

    def __init__(self, argument: str, expected: str, got: str, *, fix: str) -> None:
        got = " ".join(got.split())  # what libraries say can fill many lines
        super().__init__(f"{argument}: expected {expected}; got {got}. Try: {fix}")
        self.argument = argument
        self.got = got
