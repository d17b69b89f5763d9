"""The pulse of a connection: who is asked when, who counts as silent, and what is not held against the other end."""

from __future__ import annotations

from fogsdk.device.pulse import MOST_PATIENCE, PATIENCE, QUIET, STEP, Pulse


class Line:
    """A connection in made-up time: ``run`` looks as often as the pulse says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pulse = Pulse(self.now)
        self.asked: list[float] = []

    def run(self, seconds: float, excused: bool = False) -> None:
        until = self.now + seconds
        while self.pulse.due() <= until:
            self.now = max(self.now, self.pulse.due())
            if self.pulse.count(self.now, excused):
                self.asked.append(self.now)
        self.now = until

    def silent_after(self) -> float:
        """Let nothing come until it counts as silent; returns how long that took."""
        begun = self.now
        while not self.pulse.silent:
            self.run(STEP / 10)
        return self.now - begun


def test_a_line_on_which_much_comes_is_never_asked() -> None:
    line = Line()
    for _ in range(100):
        line.run(QUIET * 0.9)
        line.pulse.heard(line.now)
    assert not line.asked


def test_a_quiet_line_is_asked_and_lives_while_it_answers() -> None:
    line = Line()
    for count in range(1, 50):
        line.run(QUIET + 0.02)
        assert len(line.asked) == count
        line.pulse.heard(line.now)
    assert not line.pulse.silent


def test_a_line_that_answers_nothing_is_silent_in_well_under_a_second() -> None:
    assert QUIET + PATIENCE <= Line().silent_after() < 0.9


def test_a_process_that_was_frozen_holds_that_against_nobody() -> None:
    """Neither before it asked, nor while it waits for the answer."""
    line = Line()
    line.now += 3600
    line.run(0.0)
    assert not line.pulse.silent
    line.run(2.5 * STEP)
    line.now += 3600
    line.run(0.0)
    assert not line.pulse.silent
    line.pulse.heard(line.now)
    assert line.silent_after() < 1.2


def test_a_line_that_is_busy_with_an_upload_is_excused() -> None:
    line = Line()
    line.run(60.0, excused=True)
    assert not line.asked
    line.run(QUIET + STEP)
    line.run(60.0, excused=True)
    assert not line.pulse.silent
    assert line.silent_after() < 1.0


def test_a_line_that_speaks_again_is_silent_no_more_and_is_asked_at_once() -> None:
    line = Line()
    line.silent_after()
    line.pulse.heard(line.now)
    assert not line.pulse.silent
    line.run(0.0)
    assert len(line.asked) == 2
    line.pulse.heard(line.now)
    assert line.silent_after() < 0.9, "the answer was quick, so the patience is what it was"


def test_a_slow_line_is_given_the_time_that_it_needs() -> None:
    """Its login took 0.8 s: that is not asked of each answer in half the time."""
    line = Line()
    line.pulse.answered_within(0.8)
    for _ in range(10):
        line.run(QUIET + 0.8)
        assert not line.pulse.silent
        line.pulse.heard(line.now)
    assert line.silent_after() < QUIET + 1.8


def test_a_line_that_became_slow_is_believed_after_some_silences() -> None:
    line = Line()
    silences = 0
    for _ in range(20):
        line.run(QUIET + 1.0)
        silences += line.pulse.silent
        line.pulse.heard(line.now)
    assert 1 <= silences <= 3


def test_patience_has_an_end_and_comes_back_down() -> None:
    line = Line()
    for _ in range(10):
        line.silent_after()
        line.pulse.heard(line.now)
    assert line.silent_after() <= QUIET + MOST_PATIENCE + 2 * STEP
    for _ in range(30):
        line.pulse.heard(line.now)
        line.run(QUIET + 0.01)
    line.pulse.heard(line.now)
    assert line.silent_after() < 0.9
