from __future__ import annotations

import pytest

from targets.errors import Misconfigured
from targets.open import open_target


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("operation_timeout_s", 0),
        ("connect_timeout_s", 3601),
        ("part_bytes", 4095),
        ("part_bytes", 2**30 + 1),
        ("user", ""),
        ("user", "client.admin"),
    ],
)
def test_option_that_makes_no_sense_is_named(option: str, value: object) -> None:
    with pytest.raises(Misconfigured, match=f"option {option}: {value!r}, expected"):
        open_target("rados://pool", **{option: value})
