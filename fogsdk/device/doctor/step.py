"""One step of an examination."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True)
class Step:
    """What was looked at, how it is (``ok``; ``note``: no fault, but good to know; ``wrong``), what was found, what to
    do about it, and how many seconds it took to find out."""

    name: str
    state: str
    text: str
    advice: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        line = f"{self.state:<5}  {self.name}: {self.text} ({self.seconds * 1000:.0f} ms)"
        return f"{line}\n       -> {self.advice}" if self.advice else line


def ok(name: str, text: str) -> Step:
    """All is well."""
    return Step(name, OK, text)


def note(name: str, text: str, advice: str = "") -> Step:
    """No fault."""
    return Step(name, NOTE, text, advice)


def wrong(name: str, text: str, advice: str) -> Step:
    """A fault, and what to do about it."""
    return Step(name, WRONG, text, advice)
