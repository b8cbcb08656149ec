"""The configuration files of a Swift of one node. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.servers.swift_rings import POLICIES

KEYSTONE_USER = "swift"
KEYSTONE_PASSWORD = "swift-service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What a test may set. ``object_reserve``: free space that the object server keeps, "100%" is a full disk.

    ``node_timeout_s``: how long the proxy waits for the others. ``listing_count_max``: objects in a page.
    ``token_cache_s``: how long the proxy takes a token that Keystone once said was good, -1: it asks each time.
    """

    object_reserve: str = "0"
    object_size_bytes_max: int = 5 * 1024**3
    token_life_s: int = 86400
    node_timeout_s: int = 10
    listing_count_max: int = 100
    bulk: bool = True
    token_cache_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Where the node is: its directory, the ports of its servers, who runs it, and its Keystone if it has one."""

    directory: str
    ports: dict[str, int]
    user: str
    fernet_key: str
    keystone_url: str | None


def swift_conf(knobs: Knobs) -> str:
    policies = "".join(
        f"[storage-policy:{number}]\nname = {name}\ndefault = {'no' if number else 'yes'}\n"
        for number, name in enumerate(POLICIES)
    )
    return f"""\
[swift-hash]
swift_hash_path_prefix = tests
swift_hash_path_suffix = tests
{policies}
[swift-constraints]
max_file_size = {knobs.object_size_bytes_max}
container_listing_limit = {knobs.listing_count_max}
"""


def server_conf(kind: str, node: Node, knobs: Knobs) -> str:
    """Return the configuration of the account, container or object server."""
    reserve = knobs.object_reserve if kind == "object" else "0"
    return f"""\
{_default(kind, node, workers=0)}
fallocate_reserve = {reserve}
[pipeline:main]
pipeline = healthcheck {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[filter:healthcheck]
use = egg:swift#healthcheck
"""


def proxy_conf(node: Node, knobs: Knobs) -> str:
    auth = "tempauth" if node.keystone_url is None else "authtoken keystoneauth"
    bulk = "bulk" if knobs.bulk else ""
    return f"""\
{_default("proxy", node, workers=2)}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats {bulk} {auth} container-quotas proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = {knobs.node_timeout_s}
# A server that failed is asked again at once when it is back.
error_suppression_limit = 1000000
[filter:tempauth]
use = egg:swift#tempauth
user_test_backup = backup-key .admin
user_test_guest = guest-key
token_life = {knobs.token_life_s}
# Instead of a memcached that would hold the tokens.
fernet_key_tests = {node.fernet_key}
active_fernet_key_id = tests
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {node.keystone_url}
auth_url = {node.keystone_url}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = {KEYSTONE_USER}
password = {KEYSTONE_PASSWORD}
delay_auth_decision = True
token_cache_time = {knobs.token_cache_s}
include_service_catalog = False
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
project_reader_roles = reader
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:container-quotas]
use = egg:swift#container_quotas
"""


def _default(kind: str, node: Node, *, workers: int) -> str:
    # There is no syslog: what is logged goes to stderr (-v) and to a port where nobody listens.
    return f"""\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {node.ports[kind]}
workers = {workers}
user = {node.user}
swift_dir = {node.directory}
devices = {node.directory}/devices
mount_check = false
log_address = /dev/null
log_udp_host = 127.0.0.1
log_udp_port = 9"""
