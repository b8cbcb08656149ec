"""The gateway that tests of other drivers talk to does talk, and can be stopped, paused and started again."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.support.servers.process import answers
from tests.support.servers.rgw import Rgw


def swift_token(rgw: Rgw) -> str:
    request = urllib.request.Request(
        rgw.swift_auth_url, headers={"X-Auth-User": rgw.swift_user, "X-Auth-Key": rgw.swift_key}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        token: str = response.headers["X-Auth-Token"]
        return token


def test_swift_user_gets_a_token(rgw: Rgw) -> None:
    assert swift_token(rgw)


def test_s3_without_a_signature_is_refused(rgw: Rgw) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{rgw.url}/a-bucket/key", timeout=10)
    caught.value.close()
    assert caught.value.code in (403, 404)


def test_gateway_can_be_killed_paused_and_started_again(rgw: Rgw) -> None:
    rgw.server.kill()
    assert not answers(rgw.url)
    rgw.server.start()
    assert swift_token(rgw)
    rgw.server.pause()
    assert not answers(rgw.url, timeout_s=0.5)
    rgw.server.resume()
    assert answers(rgw.url)
