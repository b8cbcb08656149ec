"""The distribution's binding of librados, python3-rados: where it comes from, and what of it is not to be trusted.

What it does otherwise than it seems, and what the modules here make of it:

- Its listing takes every error for the end. An OSD that hung for one time-out cut a listing of 5000 objects to
  1283, and nothing was raised: whoever removes what no listing shows would have lost the rest. So ``listing``
  asks librados itself, and that alone does.
- ``aio_read`` that finds nothing gives as many bytes as were asked for, of memory that nobody wrote to. The
  result of the completion counts.
- ``get_last_version`` is that of the last answer to anything that waited for it on the same Ioctx, and 0 after an
  error. Completions have no version.
- Write operations cannot compare attributes, and no read operation has content, size or attributes: whatever needs
  more than one of these at one moment compares versions.
- ``operate_aio_write_op`` dates objects to 1970 unless it is told when they are written.
- The cluster is called "" unless it is told a name, and then no keyring is found where Ceph keeps them.
- Bodies are bytes, and nothing else that has a buffer; see ``copies``.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from targets.errors import Misconfigured

_NEEDED = (
    *("Rados.open_ioctx", "Rados.pool_reverse_lookup", "Ioctx.aio_read", "Ioctx.aio_stat", "Ioctx.aio_remove"),
    *("Ioctx.dup", "Ioctx.get_last_version", "Ioctx.operate_aio_write_op", "Ioctx.set_osdmap_full_try"),
    *("WriteOpCtx.assert_version", "WriteOpCtx.new", "WriteOpCtx.remove", "WriteOpCtx.rm_xattr"),
)
_PACKAGES = Path("/usr/lib/python3/dist-packages")


def load(name: str = "rados", *, packages: Path = _PACKAGES) -> Any:
    """Return the module. Misconfigured, with what to install, when there is none or when it does not fit."""
    try:
        module = import_module(name)
    except ImportError as error:
        raise Misconfigured(
            f"a rados target needs the module {name} of python3-rados: {error}\nHINT: {_hint(name, packages)}"
        ) from error
    for needed in _NEEDED:
        try:
            attrgetter(needed)(module)
        except AttributeError as error:
            raise Misconfigured(
                f"{module.__file__} has no {needed}: expected python3-rados of Ceph 16 or newer"
            ) from error
    return module


def _hint(name: str, packages: Path) -> str:
    """Return what to do. The package is for one Python only, and a virtual environment does not see it."""
    ours = f"this one is {sys.executable}, Python {platform.python_version()}"
    built = sorted(packages.glob(f"{name}.*.so"))
    if not built:
        return f"install the package python3-rados (Debian, Ubuntu); it is for the distribution's own Python, {ours}"
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    if any(tag in path.name for path in built):
        return f"{built[0]} is not linked into this environment ({ours}): scripts/link-rados {sys.executable}"
    return f"{built[0]} is for the distribution's own Python, {ours}: run backupd with /usr/bin/python3"
