from __future__ import annotations

import hypothesis
import pytest

pytest_plugins = [
    "tests.support.loop_device",
    "tests.support.clients",
    "tests.support.servers.ceph",
    "tests.support.servers.gcs",
    "tests.support.servers.keystone",
    "tests.support.servers.rgw",
    "tests.support.servers.seaweedfs",
    "tests.support.servers.storage_daemon",
    "tests.support.servers.swift",
    "tests.support.servers.virtual_machine",
    "tests.support.small_file_system",
    # These import some of those above, which must be known as plugins by then.
    "tests.support.cloning_file_systems",
    "tests.support.rbd_images",
]

# No deadline for one example: a busy machine is no failure, and pytest limits the whole test.
hypothesis.settings.register_profile("quiet clock", deadline=None)
hypothesis.settings.load_profile("quiet clock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-all",
        action="store_true",
        help="fail a test that this machine cannot run, instead of reporting it as not run",
    )
