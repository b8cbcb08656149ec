"""Only those who use S3 need its library."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_SDK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Blocked())
from targets.errors import Misconfigured
from targets.open import open_target
open_target("memory:")
try:
    open_target("s3://bucket")
except Misconfigured as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["aiobotocore", "google_crc32c"])
def test_missing_library_is_named_with_what_to_install(missing: str) -> None:
    assert "pip install 'backupd[s3]'" in run_python(WITHOUT_SDK.format(blocked=[missing]))


def test_nobody_else_pays_for_the_sdk() -> None:
    code = """
import sys
import targets.open, backupd.service
targets.open.open_target("memory:")
print(sorted({"botocore", "aiobotocore", "google_crc32c"} & {*sys.modules}))
"""
    assert run_python(code).strip() == "[]"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
