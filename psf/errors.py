"""The one family of errors that all floors share, and what any error says in one line."""


class InputError(ValueError):
    """What the user gave is wrong, in one line: where, what was found, what was expected."""

    def __init__(self, where: str, found: object, expected: str) -> None:
        """Args: where (file and line, field or argument), what was found there, what was expected instead."""
        super().__init__(f"{where}: found {found}, expected {expected}")
        self.where, self.found, self.expected = where, found, expected

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, object, str]]:
        return type(self), (self.where, self.found, self.expected)


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
