"""What may be said of images of a cluster, in the configuration and in addresses; no cluster is asked."""

from __future__ import annotations

from typing import Any

import pytest

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.sources.address import Address
from chunker.sources.options import read_options
from chunker.sources.rbd.options import RbdOptions
from chunker.sources.rbd.place import Place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rbd:pool/image", Place("pool", "", "image")),
        ("rbd:pool/space/image", Place("pool", "space", "image")),
        ("rbd:pool/my%20image", Place("pool", "", "my image")),
    ],
)
def test_an_address_names_pool_namespace_and_image(text: str, place: Place) -> None:
    assert Place.of(Address.parse(text)) == place


@pytest.mark.parametrize(
    "text",
    ["rbd:image", "rbd:pool/", "rbd:/pool/image", "rbd://pool/image", "rbd:a/b/c/d", "rbd:pool/image@snapshot"],
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress, match="expected rbd:POOL/IMAGE or rbd:POOL/NAMESPACE/IMAGE, without a snapshot"):
        Place.of(Address.parse(text))


def test_an_option_in_the_address_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="option conf: unknown for rbd"):
        Place.of(Address.parse("rbd:pool/image?conf=/etc/passwd"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "option pools: missing"),
        ({"pools": "volumes"}, "option pools: a value of type str, expected a list of texts"),
        ({"pools": ["volumes/"]}, "option pools: 'volumes/', expected POOL or POOL/NAMESPACE"),
        ({"pools": ["a/b/c"]}, "option pools: 'a/b/c'"),
        ({"pools": [], "timeout_s": 0.5}, "option timeout_s: 0.5, expected 1 to 600"),
        ({"pools": [], "snapshot_prefix": "a.b"}, "option snapshot_prefix: 'a.b', expected 1 to 40 letters"),
        ({"pools": [], "snapshots_kept": 0}, "option snapshots_kept: 0, expected 1 to 8"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceMisconfigured, match=message):
        read_options("rbd", RbdOptions, options)
