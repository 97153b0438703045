"""What is said of weights that cannot be used: one line, printable wherever it is shown.

Names, texts and numbers in a message may come from a file or a server that anybody controls. In a
terminal a line break among them would print a line of its own, an escape sequence would do worse.
"""

from __future__ import annotations

LONGEST = 4000  # signs of a message: a name in a file may be as long as the file


class WeightsError(RuntimeError):
    """A weight cannot be used; the message says what was expected, what was got, and the cure."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Offline(WeightsError):
    """A weight is elsewhere only, and elsewhere cannot be reached."""


class Altered(WeightsError):
    """A file is not the one that was expected: its checksum or its size is another."""


class NoRoom(WeightsError):
    """The disk of the cache cannot hold a file."""


def printable(text: str) -> str:
    """A text as one line: what moves a cursor, breaks a line or hides is shown as its escape.

    That is what Unicode calls control, format (which turns the direction of a line), surrogate,
    private and unassigned characters, and separators other than the space.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 3 // 4]} … {text[-LONGEST // 4 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cause(error: BaseException) -> BaseException | None:
    """An error as the cause of a `WeightsError` that repeats its words; None if a traceback, which
    prints the words of all causes as they are, would print more than plain lines."""
    link: BaseException | None = error
    while link is not None:
        if not str(link).isprintable():
            return None
        link = link.__cause__ or link.__context__
    return error
