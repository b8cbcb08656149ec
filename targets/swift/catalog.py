"""The catalog that Keystone sends with a token: which service is where. Pure."""

from __future__ import annotations

from typing import Any

from targets.errors import Misconfigured


def find_endpoint(catalog: Any, *, service_type: str, interface: str, region: str | None) -> str:
    """Return the url of a service without a slash at its end.

    Misconfigured names the option that fits nothing and what the catalog has instead; also when several regions
    have the service and none was chosen.
    """
    endpoints = [
        endpoint for service in catalog if service.get("type") == service_type for endpoint in service.get("endpoints")
    ]
    if not endpoints:
        types = _listed(service.get("type") for service in catalog)
        raise Misconfigured(f"option service_type: {service_type}: not in the catalog, which has {types}")
    of_region = [endpoint for endpoint in endpoints if region in (None, _region(endpoint))]
    if not of_region:
        regions = _listed(_region(endpoint) for endpoint in endpoints)
        raise Misconfigured(f"option region: {region}: {service_type} is in the catalog for {regions}")
    found = [endpoint for endpoint in of_region if endpoint.get("interface") == interface]
    if not found:
        interfaces = _listed(endpoint.get("interface") for endpoint in of_region)
        raise Misconfigured(f"option interface: {interface}: {service_type} is in the catalog as {interfaces}")
    several = {_region(endpoint) for endpoint in found}
    if len(several) > 1:
        raise Misconfigured(f"option region: missing, {service_type} is in the catalog for {_listed(several)}")
    return str(found[0]["url"]).rstrip("/")


def _region(endpoint: Any) -> Any:
    return endpoint.get("region_id") or endpoint.get("region")


def _listed(names: Any) -> str:
    return ", ".join(sorted({str(name) for name in names})) or "nothing"
