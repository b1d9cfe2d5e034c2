"""Stages of live work: the newest wins, nothing waits for what comes after, ends and errors."""

import threading
import time

import pytest
from fakes import Busy

from builder_tools.inference.threads import Stage, awaited


class Counter:
    """A camera that counts: always the newest number, at so many a second, up to a last one."""

    def __init__(self, rate=200.0, last=None):
        self.rate, self.last, self.ended = rate, last, False
        self.begun_s, self.given = time.monotonic(), 0

    def now(self):
        number = int((time.monotonic() - self.begun_s) * self.rate) + 1
        return number if self.last is None else min(number, self.last)

    def read(self, timeout_s=None):
        end_s = time.monotonic() + (timeout_s or 60)
        while not self.ended and time.monotonic() < end_s:
            if self.now() > self.given:
                self.given = self.now()
                return self.given
            self.ended = self.given == self.last
            time.sleep(0.001)
        return None

    def close(self):
        self.ended = True


def slowly(seconds):
    def work(item):
        time.sleep(seconds)
        return item

    return work


def numbers(stage):
    found = []
    while (number := stage.read()) is not None:
        found.append(number)
    return found


def test_stages_work_at_the_same_time():
    busy = Busy()
    stage = Stage(Stage(Counter(), busy.work("one"), "one"), busy.work("two"), "two")
    while {"one", "two"} not in busy.together:
        stage.read()
    stage.close()


def test_who_looks_seldom_sees_the_newest():
    """Not older than what was given before the one that is being worked on."""
    camera = Counter()
    given = []

    def work(item):
        given.append(item)
        return item

    stage = Stage(camera, work, "quick")
    for _ in range(4):
        asked = len(given) + 20
        while len(given) < asked:
            time.sleep(0.01)
        before = given[-2]
        assert stage.read() >= before
    stage.close()


def test_the_last_one_is_never_dropped():
    found = numbers(Stage(Stage(Counter(last=50), slowly(0.02), "one"), slowly(0.05), "two"))
    assert found[-1] == 50 and len(found) < 15 and found == sorted(set(found))


def test_an_error_comes_after_the_last_result_and_ends_it():
    def fail_at_three(item):
        if item == 3:
            raise ValueError("three")
        return item

    class Given(Counter):
        """The next number once the one before was taken."""

        def now(self):
            return len(found) + 1

    found = []
    first = Stage(Given(), fail_at_three, "failing")
    stage = Stage(first, slowly(0), "after")
    with pytest.raises(ValueError, match="three"):
        while (number := stage.read()) is not None:
            found.append(number)
    assert found == [1, 2] and stage.ended
    stage.close()


def test_close_ends_every_thread_and_the_source():
    camera = Counter(rate=0.001)
    stage = Stage(Stage(camera, slowly(0), "first of two"), slowly(0), "second of two")
    assert stage.read() == 1
    stage.close()
    stage.close()
    assert camera.ended and stage.ended
    assert not [one for one in threading.enumerate() if one.name.endswith("of two")]


def test_a_silent_source_is_waited_for_only_as_long_as_wanted():
    stage = Stage(Counter(rate=0.001), slowly(0), "silent")
    answers = [True, True, False]
    given = awaited(stage, lambda: answers.pop(0), every_s=0.02)
    assert next(given) == 1
    assert list(given) == [] and answers == [], "the next one would come after 1000 s"
    stage.close()
