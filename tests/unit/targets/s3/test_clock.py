from __future__ import annotations

from datetime import UTC, datetime

import pytest

from targets.s3.clock import RequestClock

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_time_that_is_far_off_is_corrected_once() -> None:
    clock = RequestClock(NOW.timestamp)
    assert clock.correct("Wed, 02 Jan 2030 04:04:05 GMT")
    assert clock.now() == NOW.replace(hour=4)
    assert not clock.correct("Wed, 02 Jan 2030 04:04:06 GMT")


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 02 Jan 2030 03:04:05 -0000", "Wed, 02 Jan 2030 03:07:05 GMT"])
def test_time_that_is_near_or_unreadable_changes_nothing(date: str) -> None:
    clock = RequestClock(NOW.timestamp)
    assert not clock.correct(date)
    assert clock.now() == NOW
