from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from targets.errors import Misconfigured
from targets.open import open_target
from targets.swift import Place, SwiftOptions
from targets.swift.secret_file import read_secret

URL = "https://keystone.example/v3"
PASSWORD = {"auth_url": URL, "user": "backup", "password_file": "/p", "project": "backups"}
CREDENTIAL = {"auth_url": URL, "application_credential_id": "1", "application_credential_secret_file": "/s"}
V1 = {"auth": "v1", "auth_url": "http://swift.example/auth/v1.0", "user": "a:b", "key_file": "/k"}
NAMED = {
    "auth_url": URL,
    "application_credential_name": "n",
    "user": "backup",
    "application_credential_secret_file": "/s",
}


@pytest.mark.parametrize("given", [PASSWORD, CREDENTIAL, NAMED, V1])
def test_each_login_has_its_options(given: dict[str, str]) -> None:
    assert SwiftOptions(**given).user == given.get("user")  # type: ignore[arg-type] # texts only


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**PASSWORD, "auth": "v2"}, "option auth: 'v2', expected keystone or v1"),
        ({**PASSWORD, "password_file": None}, "option password_file: missing for a Keystone password"),
        ({**PASSWORD, "project": ""}, "option project: missing"),
        ({**PASSWORD, "key_file": "/k"}, "option key_file: has no meaning for a Keystone password"),
        ({**CREDENTIAL, "user": "backup"}, "option user: has no meaning for an application credential"),
        ({**NAMED, "user": None}, "option user: missing for an application credential"),
        ({**NAMED, "project": "backups"}, "option project: has no meaning"),
        ({**V1, "key_file": None}, "option key_file: missing for v1"),
        ({**V1, "region": "north"}, "option region: has no meaning for v1"),
        ({**PASSWORD, "interface": "private"}, "option interface: 'private', expected one of public, internal, admin"),
        ({**PASSWORD, "connections_max": 0}, "option connections_max: 0, expected 1 to 1024"),
        ({**PASSWORD, "auth_url": "keystone.example"}, "option auth_url: expected http"),
        ({**PASSWORD, "storage_url": "ftp://x"}, "option storage_url: expected http"),
    ],
)
def test_wrong_option_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        SwiftOptions(**given)  # type: ignore[arg-type] # wrong on purpose


def test_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(Misconfigured, match="option auth_url") as refused:
        SwiftOptions(**{**PASSWORD, "auth_url": "https://me:hidden@keystone.example"})  # type: ignore[arg-type] # wrong
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("swift://backups", Place("backups")),
        ("swift://Back%20ups/", Place("Back ups")),
        ("swift://backups/site-1/volumes/", Place("backups", "site-1/volumes/")),
    ],
)
def test_place_is_read_from_the_url(url: str, place: Place) -> None:
    assert Place.of(urlsplit(url)) == place


@pytest.mark.parametrize(
    "url", ["swift:", "swift:///a", "swift://a%2Fb", f"swift://{'x' * 257}", "swift://a/B", "swift://a/../b"]
)
def test_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="target url"):
        Place.of(urlsplit(url))


def test_unknown_option_of_an_operator_is_named() -> None:
    with pytest.raises(Misconfigured, match="option password: unknown for a swift target"):
        open_target("swift://backups", **PASSWORD, password="hidden")


def test_secret_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("a secret \n")
    path.chmod(0o400)
    assert read_secret("key_file", str(path)) == "a secret "


@pytest.mark.parametrize("content", [b"", b"\n", b"hidden\xff"])
def test_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match=f"option key_file: {path}: expected one line") as refused:
        read_secret("key_file", str(path))
    assert "hidden" not in repr(refused.value.__cause__)


def test_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hidden")
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match=r"mode 0640 lets others read(.|\n)*HINT: chmod 0600"):
        read_secret("key_file", str(path))


def test_missing_secret_is_told_when_the_target_is_opened(tmp_path: Path) -> None:
    given = {**V1, "key_file": str(tmp_path / "none")}
    with pytest.raises(Misconfigured, match=r"option key_file: .*none: No such file"):
        open_target("swift://backups", **given)
