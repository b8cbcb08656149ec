from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.buckets import Bucket, make_bucket
from tests.support.servers.seaweedfs import ADMIN, SeaweedFs


@pytest.fixture
def bucket(seaweedfs: SeaweedFs, tmp_path: Path) -> Bucket:
    return make_bucket(seaweedfs.url, ADMIN, tmp_path)
