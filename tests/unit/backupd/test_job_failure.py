from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from backupd.errors import CorruptObject
from backupd.jobs.failure import failure_of
from backupd.model import Failure
from chunker.errors import SourceChanged
from targets.errors import QuotaExceeded, Throttled
from targets.memory import MemoryTarget
from targets.wrappers.faults import Fault, Faults
from targets.wrappers.observe import Observe

SECRET = "https://key:hunter2@host"


class Tagged(Exception):
    code = "stranger.code"


def test_our_own_error_gives_its_code_and_message() -> None:
    assert failure_of(SourceChanged("it grew")) == Failure(SourceChanged.code, "it grew")


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), OSError(5, SECRET), Tagged(SECRET), OperationalError(SECRET, {}, Exception(SECRET))]
)
def test_of_a_foreign_error_only_the_type_is_told(error: Exception) -> None:
    expected = f"unexpected {type(error).__name__}; the daemon's log has the details"
    assert failure_of(error) == Failure("internal", expected)


def test_a_group_is_its_first_cause_with_the_others_as_notes() -> None:
    inner = ExceptionGroup("inner", [Throttled("slow down"), ValueError(SECRET)])
    failure = failure_of(ExceptionGroup("outer", [inner, CorruptObject("packs/aa")]))
    assert failure.code == Throttled.code
    assert failure.message.splitlines() == [
        "slow down",
        "also: unexpected ValueError; the daemon's log has the details",
        "also: packs/aa",
    ]


def test_the_notes_are_few() -> None:
    failure = failure_of(ExceptionGroup("many", [Throttled(str(number)) for number in range(100)]))
    assert len(failure.message.splitlines()) == 4


async def test_the_target_that_failed_is_named() -> None:
    target = Observe(Faults(MemoryTarget(), [Fault(error=QuotaExceeded)]), name="second")
    with pytest.raises(QuotaExceeded) as caught:
        await Observe(target, name="first+second").head("key")
    assert failure_of(caught.value).message == "target second: head key: injected fault (error)"
