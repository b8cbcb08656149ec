from __future__ import annotations

import pytest

from targets.errors import Misconfigured
from targets.swift.catalog import find_endpoint


def endpoint(region: str, interface: str) -> dict[str, str]:
    url = f"https://{region}.{interface}.example/v1/AUTH_1/"
    return {"region_id": region, "region": region, "interface": interface, "url": url}


CATALOG = [
    {"type": "identity", "endpoints": [endpoint("north", "public")]},
    {
        "type": "object-store",
        "endpoints": [endpoint("north", "public"), endpoint("north", "internal"), endpoint("south", "public")],
    },
    {"type": "image", "endpoints": []},
]


def found(region: str | None = "north", interface: str = "public", service_type: str = "object-store") -> str:
    return find_endpoint(CATALOG, service_type=service_type, interface=interface, region=region)


def test_endpoint_of_region_and_interface_is_found_without_its_slash() -> None:
    assert found() == "https://north.public.example/v1/AUTH_1"
    assert found(interface="internal") == "https://north.internal.example/v1/AUTH_1"
    assert found(region="south") == "https://south.public.example/v1/AUTH_1"


def test_region_may_be_missing_where_there_is_only_one() -> None:
    assert found(region=None, interface="internal") == "https://north.internal.example/v1/AUTH_1"
    assert found(region=None, service_type="identity") == "https://north.public.example/v1/AUTH_1"


def test_region_may_have_no_id() -> None:
    old = [{"type": "object-store", "endpoints": [{"region": "west", "interface": "public", "url": "https://west"}]}]
    assert find_endpoint(old, service_type="object-store", interface="public", region="west") == "https://west"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"service_type": "tape"}, "option service_type: tape: not in the catalog, which has identity, image, object-"),
        ({"service_type": "image"}, "option service_type: image: not in the catalog"),
        ({"region": "east"}, "option region: east: object-store is in the catalog for north, south"),
        ({"interface": "admin"}, "option interface: admin: object-store is in the catalog as internal, public"),
        ({"region": None}, "option region: missing, object-store is in the catalog for north, south"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(wanted: dict[str, str | None], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        found(**wanted)  # type: ignore[arg-type] # only a region may be None


def test_empty_catalog_is_told() -> None:
    with pytest.raises(Misconfigured, match="which has nothing"):
        find_endpoint([], service_type="object-store", interface="public", region=None)
