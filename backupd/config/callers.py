"""Whether the daemon may listen where it is to, with what it knows of its callers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from backupd.config.tree import JOB_MEMORY_BYTES_MIN, AuthConfig, DaemonConfig


def daemon_problems(daemon: DaemonConfig, auth: AuthConfig) -> Iterator[str]:
    """Yield what is wrong with values that are fine one by one."""
    if daemon.memory_limit_bytes // daemon.running_jobs_max < JOB_MEMORY_BYTES_MIN:
        yield (
            f"daemon.memory_limit_bytes = {daemon.memory_limit_bytes}: expected at least "
            f"{JOB_MEMORY_BYTES_MIN} for each of {daemon.running_jobs_max} running jobs "
            f"(daemon.running_jobs_max), that is {JOB_MEMORY_BYTES_MIN * daemon.running_jobs_max}"
        )
    if daemon.token_file is not None:
        yield from _secret_file_problems(daemon.token_file, key="daemon.token_file")
    if auth.strategy == "keystone":
        yield from _keystone_problems(auth)
    elif auth.strategy == "tokens" and daemon.token_file is None:
        yield "auth.strategy = 'tokens': expected a token file in daemon.token_file"
    elif (auth.strategy in ("none", "noauth") or daemon.token_file is None) and not daemon.listen.is_loopback:
        yield (
            f"daemon.listen = '{daemon.listen}': expected a loopback address such as "
            "127.0.0.1:8776, or a token file in daemon.token_file: without one "
            "everybody on the network could read and overwrite volumes"
        )


def _keystone_problems(auth: AuthConfig) -> Iterator[str]:
    if auth.keystone_url is None:
        yield "auth.keystone_url: missing; expected the url of Keystone, such as http://keystone:5000/v3"
    if auth.keystone_password_file is None:
        yield "auth.keystone_password_file: missing; expected a file with the password of auth.keystone_user"
    else:
        yield from _secret_file_problems(auth.keystone_password_file, key="auth.keystone_password_file")


def _secret_file_problems(path: Path, *, key: str) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield f"{key} = '{path}': cannot be read: {_reason(error)}"
        return
    if not stat.S_ISREG(mode):
        yield f"{key} = '{path}': expected a regular file"
    elif mode & 0o077:
        yield (
            f"{key} = '{path}': has mode {stat.S_IMODE(mode):04o}; expected a file that only its "
            f"owner can read\nHINT: chmod 0600 {path}"
        )
    elif not os.access(path, os.R_OK):
        yield f"{key} = '{path}': cannot be read by this user"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
