"""A real Keystone on this machine, below a temporary directory: SQLite, Fernet tokens, one process.

The domain is Default, the region RegionOne. Isolation is by names; who stops it starts it again.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.loop_device import not_run
from tests.support.servers.process import ServerProcess, answers, free_port
from tests.support.servers.swift_conf import KEYSTONE_PASSWORD, KEYSTONE_USER

BIN = Path(sys.prefix) / "bin"
REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
_ADMIN_PASSWORD = "admin-of-the-tests"
_COMMAND_TIMEOUT_S = 120

_CONF = """\
[DEFAULT]
use_stderr = true
public_endpoint = http://127.0.0.1:{port}/
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
expiration = {token_life_s}
[fernet_tokens]
key_repository = {directory}/fernet-keys
[fernet_receipts]
key_repository = {directory}/fernet-keys
[credential]
key_repository = {directory}/credential-keys
[cache]
# Without it each validation takes a second and more.
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
"""
# Keystone parses the arguments of its process, so its server gets none and reads this file.
_GUNICORN = """\
wsgi_app = "keystone.wsgi.api:application"
bind = "127.0.0.1:{port}"
workers = 1
threads = 4
graceful_timeout = 1
control_socket_disable = True
"""


class Keystone:
    """``url`` is that of version 3. ``add_user`` and ``add_endpoint`` are an administrator's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v3"
        self._names = itertools.count(1)
        places = (f"OS_KEYSTONE_CONFIG_DIR={directory}", "OS_KEYSTONE_CONFIG_FILES=keystone.conf")
        self._environment = ["env", "PYTHONWARNINGS=ignore", *places]
        self.server = ServerProcess(
            "keystone",
            [*self._environment, str(BIN / "gunicorn")],
            directory=directory,
            is_ready=lambda: answers(self.url, timeout_s=10),
            start_timeout_s=120,
        )

    def create(self) -> None:
        """Make the database and start it."""
        self._configure(token_life_s=3600)
        (self.directory / "gunicorn.conf.py").write_text(_GUNICORN.format(port=self.port))
        for name in ("fernet-keys", "credential-keys"):
            (self.directory / name).mkdir(mode=0o700)
            for number in range(2):
                (self.directory / name / str(number)).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        self._command("db_sync")
        urls = [word for one in INTERFACES for word in (f"--bootstrap-{one}-url", self.url)]
        self._command("bootstrap", "--bootstrap-password", _ADMIN_PASSWORD, "--bootstrap-region-id", REGION, *urls)
        self.server.start()
        self._service_id = self._post("/services", "service", {"type": "object-store", "name": "swift"})["id"]
        self._add_user(KEYSTONE_USER, KEYSTONE_PASSWORD, project="service", role="admin")

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.server.kill()
        shutil.rmtree(self.directory)

    @contextmanager
    def configured(self, *, token_life_s: int) -> Iterator[None]:
        """Let tokens live so long for a while. It starts anew before and after."""
        self._restart(token_life_s=token_life_s)
        try:
            yield
        finally:
            self._restart(token_life_s=3600)

    def add_endpoint(self, url: str, *, region: str = REGION) -> None:
        """Put a Swift into the catalog."""
        self._request("PUT", f"/regions/{region}", {"region": {}}, tolerated=(409,))
        for interface in INTERFACES:
            endpoint = {"service_id": self._service_id, "interface": interface, "region_id": region, "url": url}
            self._post("/endpoints", "endpoint", endpoint)

    def add_service(self, kind: str, url: str) -> None:
        """Put a service into the catalog, in place of any other of its kind."""
        for known in self._request("GET", f"/services?type={kind}")[1]["services"]:
            self._request("DELETE", f"/services/{known['id']}")
        service_id = self._post("/services", "service", {"type": kind, "name": kind})["id"]
        for interface in INTERFACES:
            endpoint = {"service_id": service_id, "interface": interface, "region_id": REGION, "url": url}
            self._post("/endpoints", "endpoint", endpoint)

    def token(self, user: str, password: str, project: str) -> str:
        """Return a token of a user."""
        return self._log_in(user, password, project)[0]

    def revoke(self, token: str) -> None:
        """Make a token one that is valid no more."""
        self._request("DELETE", "/auth/tokens", subject=token)

    def add_user(self, *, role: str = "member") -> tuple[str, str, str]:
        """Make a user in a project of its own and return its name, its password and the name of the project."""
        name = f"user-{next(self._names)}"
        self._add_user(name, f"password-of-{name}", project=f"project-of-{name}", role=role)
        return name, f"password-of-{name}", f"project-of-{name}"

    def add_application_credential(self, user: str, password: str, project: str) -> dict[str, Any]:
        """Make one for a user and return its id, name and secret."""
        token, body = self._log_in(user, password, project)
        path = f"/users/{body['user']['id']}/application_credentials"
        credential = {"application_credential": {"name": f"of-{user}", "roles": [{"name": "member"}]}}
        made: dict[str, Any] = self._request("POST", path, credential, token=token)[1]["application_credential"]
        return made

    def ids(self, user: str, password: str, project: str) -> tuple[str, str]:
        """Return those of a user's project and of the user."""
        body = self._log_in(user, password, project)[1]
        return body["project"]["id"], body["user"]["id"]

    def revoke_tokens(self, user: str) -> None:
        """Let every token that the user was given up to this second be refused."""
        self._change(user, password=f"password-of-{user}")  # A new one does that, also if it is the old one.

    def enable(self, user: str, *, is_enabled: bool = True) -> None:
        """Let the user log in, or refuse every login and every token."""
        self._change(user, enabled=is_enabled)

    def _change(self, user: str, **attributes: Any) -> None:
        user_id = self._request("GET", f"/users?name={user}")[1]["users"][0]["id"]
        self._request("PATCH", f"/users/{user_id}", {"user": attributes})

    def _add_user(self, name: str, password: str, *, project: str, role: str) -> None:
        project_id = self._post("/projects", "project", {"name": project, "domain_id": "default"})["id"]
        user = {"name": name, "password": password, "domain_id": "default"}
        user_id = self._post("/users", "user", user)["id"]
        role_id = self._request("GET", f"/roles?name={role}")[1]["roles"][0]["id"]
        self._request("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}")

    def _post(self, path: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self._request("POST", path, {kind: body})[1][kind]
        return made

    def _log_in(self, user: str, password: str, project: str) -> tuple[str, dict[str, Any]]:
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": domain, "password": password}},
        }
        scope = {"project": {"name": project, "domain": domain}}
        token, body = self._request("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}}, token="")
        return token, body["token"]

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        subject: str | None = None,
        tolerated: tuple[int, ...] = (),
    ) -> tuple[str, dict[str, Any]]:
        """Return the token and the body of the answer. Without a ``token`` it is the administrator who asks."""
        if token is None:
            token = self._log_in("admin", _ADMIN_PASSWORD, "admin")[0]
        headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
        if subject is not None:
            headers["X-Subject-Token"] = subject
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers, data=data)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
                return response.headers.get("X-Subject-Token", ""), json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in tolerated:
                    raise RuntimeError(f"{method} {path}: {error.code} {error.read()!r}") from error
                return "", {}

    def _restart(self, *, token_life_s: int) -> None:
        self._configure(token_life_s=token_life_s)
        self.server.kill()
        self.server.start()

    def _configure(self, *, token_life_s: int) -> None:
        (self.directory / "keystone.conf").write_text(
            _CONF.format(port=self.port, directory=self.directory, token_life_s=token_life_s)
        )

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [*self._environment, BIN / "keystone-manage", "--config-file", self.directory / "keystone.conf", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, f"keystone-manage {words[0]}: {done.stderr[-2000:]}"


@pytest.fixture(scope="session")
def keystone(request: pytest.FixtureRequest) -> Iterator[Keystone]:
    """Return a Keystone that runs as long as the tests do."""
    for program in ("keystone-manage", "gunicorn"):
        if not (BIN / program).exists():
            not_run(request.config, f"{program} is missing here: make servers")
    running = Keystone(Path(tempfile.mkdtemp(prefix="keystone-")))
    try:
        running.create()
        yield running
    finally:
        running.remove()
