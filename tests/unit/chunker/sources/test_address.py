from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunker.errors import InvalidAddress
from chunker.sources.address import Address, redacted

ADDRESSES = [
    "file:///srv/images/web-1.img",
    "nbd+unix:///export?socket=/run/nbd.sock",
    "nbd://host:10809/export",
    "nbds://[::1]:10809/",
    "qemu+qmp:///run/vm.sock?node=drive0",
    "rbd:pool/image",
    "external:thin/vg/lv",
]


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "kind"), [("nbds+unix:///a", "nbd"), ("qemu+qmp:///a", "qemu"), ("/dev/sda", "file"), ("my+own:a", "my")]
)
def test_the_kind_is_what_stands_before_a_plus(text: str, kind: str) -> None:
    assert Address.parse(text).kind == kind


def test_the_parts_are_plain_text() -> None:
    address = Address.parse("nbd+unix://host:7/a%20b?socket=/run/%25&x=1")
    assert (address.host, address.port, address.path) == ("host", 7, "/a b")
    assert dict(address.options) == {"socket": "/run/%", "x": "1"}


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_any_path_is_an_address_and_comes_back(tail: str) -> None:
    address = Address.of_path(f"/{tail}")
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "volume", "./volume", "nbd", "NBD:x", "nbd://h:port/x", "nbd://[::1/x", "nbd://h/\nx", "nbd://h/a b",
     "nbd://u@h/x", "nbd://u:p@h/x", "nbd://h/x#y", "nbd://h/x?a", "nbd://h/x?a=1&a=2", "nbd://h/%ff", "nbd://h/%00"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress, match="expected"):
        Address.parse(text)


def test_an_option_that_is_not_known_is_named_and_its_value_is_not() -> None:
    with pytest.raises(InvalidAddress, match="option key: unknown for rbd; expected no option but conf") as caught:
        Address.parse("rbd:a/b?key=geheim").only_options("conf")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["nbd://geheim@h/x", "nbd://u:geheim@h/x", "nbd://h/x?password=geheim", "nbd://h/x#geheim"]
)
def test_what_is_shown_of_a_refused_address_has_no_secret(text: str) -> None:
    assert "geheim" not in redacted(text)
    assert "h/x" in redacted(text)
