"""aiobotocore's part: who asks, and where AWS has the bucket.

It asks for credentials without blocking; what it reads from disk before is read in a thread. Objects are none of
its business: docs/design/007-s3-route.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import botocore.exceptions  # type: ignore[import-untyped] # it has no types
from aiobotocore.config import AioConfig  # type: ignore[import-untyped] # it has no types
from aiobotocore.session import AioSession  # type: ignore[import-untyped] # it has no types

from targets.errors import Misconfigured, PermissionDenied, Retryable, TargetError, Unavailable
from targets.s3.errors import Refusal, error_of
from targets.s3.options import S3Options
from targets.s3.signing import Keys

T = TypeVar("T")

# In use where there is an endpoint, hence a store that is not AWS and mostly takes any region.
_REGION_ELSEWHERE = "us-east-1"
# By how credentials are had, the service that gives them.
_GIVEN_BY = {"assume-role": "sts", "assume-role-with-web-identity": "sts", "sso": "sso"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where requests go: ``is_aws`` if the SDK had to say."""

    endpoint: str
    region: str
    is_aws: bool


class Chain:
    """The usual chain of credentials: environment, profile, SSO, web identity, container, instance.

    Making one blocks. ``executor`` is for what blocks later; ``look_every_s``: how often to look whether the keys
    are due, which takes as long as a signature and is early by minutes.
    """

    def __init__(self, options: S3Options, executor: Executor, *, look_every_s: float = 1.0) -> None:
        self._options = options
        self._executor = executor
        self._look_every_s = look_every_s
        with _translated():
            self._session = _session(options)
        self._credentials: Any = None
        self._keys: Keys | None = None
        self._look_at_s = 0.0
        self._loading = asyncio.Lock()

    async def keys(self) -> Keys:
        """Return keys that are valid now, renewed if they must be. PermissionDenied; Unavailable; Misconfigured.

        Who renews them early keeps nobody else waiting; a cancellation ends the request for new ones.
        """
        if self._keys is not None and asyncio.get_running_loop().time() < self._look_at_s:
            return self._keys
        with _translated():
            if self._credentials is None:
                async with self._loading:
                    if self._credentials is None:
                        self._credentials = await self._loaded(self._session)
            return await self._looked()

    async def has_other_keys(self, refused: Keys) -> bool:
        """Load them anew, for files may have been written anew, and tell whether they are not those ``refused``."""
        with _translated():
            async with self._loading:
                if self._keys == refused:
                    session = await self._in_thread(lambda: _session(self._options))
                    self._credentials = await self._loaded(session)
                return await self._looked() != refused

    def site(self) -> Site:
        """Return where the bucket is. Blocks. Misconfigured when nothing says in which region."""
        region = self._options.region or self._session.get_config_variable("region")
        if self._options.endpoint is not None:
            return Site(endpoint=self._options.endpoint, region=region or _REGION_ELSEWHERE, is_aws=False)
        if not region:
            raise Misconfigured("option region: missing, and neither the profile nor AWS_DEFAULT_REGION has one")
        try:
            # This takes a loop of its own, and the caller may have one running.
            with ThreadPoolExecutor(1, thread_name_prefix="target-s3-site") as thread:
                endpoint = thread.submit(_endpoint, self._session, "s3", region).result()
        except botocore.exceptions.BotoCoreError as error:
            raise Misconfigured(f"option region: {error}") from error
        return Site(endpoint=endpoint, region=region, is_aws=True)

    async def _looked(self) -> Keys:
        try:
            frozen = await self._credentials.get_frozen_credentials()
        except RuntimeError as error:  # Those that it was given have run out already.
            raise Unavailable(f"credentials: {error}") from error
        self._keys = Keys(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token)
        self._look_at_s = asyncio.get_running_loop().time() + self._look_every_s
        return self._keys

    async def _loaded(self, session: AioSession) -> Any:
        # Reads files of some hundred bytes, in 0.5 ms.
        credentials = await session.get_credentials()
        if credentials is None:
            raise PermissionDenied(
                "no credentials: expected them in the profile, the environment, or from the instance"
            )
        if (service := _GIVEN_BY.get(credentials.method)) is not None:
            # Its first client reads a megabyte of descriptions, in 100 ms and more; later ones find them read.
            region = session.get_config_variable("region") or _REGION_ELSEWHERE
            await self._in_thread(lambda: _endpoint(session, service, region))
        return credentials

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _session(options: S3Options) -> AioSession:
    """Return a session that has read its files. Blocks."""
    # A profile that was asked for goes before the environment, and so does one of a file that was.
    session = AioSession(profile=options.profile or ("default" if options.credentials_file else None))
    if options.credentials_file is not None:
        _check_readable(options.credentials_file)  # The SDK takes one that is not for one without the profile.
        session.set_config_variable("credentials_file", options.credentials_file)
    if options.region is not None and session.get_config_variable("region") is None:
        session.set_config_variable("region", options.region)  # The token service wants one too.
    session.set_default_client_config(AioConfig(retries={"total_max_attempts": 1}))
    session.get_component("credential_provider")
    return session


def _check_readable(path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise Misconfigured(f"option credentials_file: {path}: {error.strerror}") from error


def _endpoint(session: AioSession, service: str, region: str) -> str:
    """Return the service's url: the SDK knows partitions, dual stack, FIPS and AWS_ENDPOINT_URL. Blocks."""

    async def ask() -> str:  # A client that sends nothing.
        async with session.create_client(
            service,
            region_name=region,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106 - no secret
        ) as client:
            return str(client.meta.endpoint_url)

    return asyncio.run(ask())


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the SDK raises as the errors of this package. Its messages repeat no secret."""
    try:
        yield
    except (botocore.exceptions.ProfileNotFound, botocore.exceptions.PartialCredentialsError) as error:
        raise Misconfigured(f"option profile: {error}") from error
    except botocore.exceptions.ConfigParseError as error:
        raise Misconfigured(f"option credentials_file: {error}") from error
    except botocore.exceptions.NoRegionError as error:
        raise Misconfigured("option region: missing, and the token service cannot be found without") from error
    except botocore.exceptions.BotoCoreError as error:
        raise Unavailable(f"credentials: {error}") from error
    except botocore.exceptions.ClientError as error:
        raise _refused(error) from error
    except OSError as error:  # A token's file, or a program that gives credentials.
        raise Unavailable(f"credentials: {error}") from error


def _refused(error: Any) -> TargetError:
    """Return the error for what the token service said."""
    said = error.response
    refusal = Refusal(status=said["ResponseMetadata"]["HTTPStatusCode"], code=said["Error"]["Code"])
    kind = type(error_of("", refusal))
    return (kind if issubclass(kind, Retryable) else PermissionDenied)(f"credentials: {error}")
