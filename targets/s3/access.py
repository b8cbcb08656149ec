"""botocore's part: who asks, and where AWS has the bucket. Everything here blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped] # it has no types
import botocore.session  # type: ignore[import-untyped] # it has no types

from targets.errors import Misconfigured, PermissionDenied, Unavailable
from targets.s3.options import S3Options
from targets.s3.signing import Keys

# In use where there is an endpoint, hence a store that is not AWS and mostly takes any region.
_REGION_ELSEWHERE = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where requests go: ``is_aws`` if botocore had to say."""

    endpoint: str
    region: str
    is_aws: bool


class Chain:
    """The usual chain of credentials: environment, profile, SSO, web identity, container, instance."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._session = _session(options)
        self._credentials: Any = None

    def keys(self) -> Keys:
        """Return keys that are valid now, renewed if they must be. PermissionDenied; Unavailable."""
        try:
            if self._credentials is None:
                self._credentials = self._session.get_credentials()
            if self._credentials is None:
                raise PermissionDenied(
                    "no credentials: expected them in the profile, the environment, or from the instance"
                )
            frozen = self._credentials.get_frozen_credentials()
        except botocore.exceptions.ProfileNotFound as error:
            raise Misconfigured(f"option profile: {error}") from error
        except botocore.exceptions.ConfigParseError as error:
            raise Misconfigured(f"option credentials_file: {error}") from error
        except botocore.exceptions.PartialCredentialsError as error:
            raise Misconfigured(f"option profile: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise Unavailable(f"credentials: {error}") from error
        except botocore.exceptions.ClientError as error:  # What the token service said; it repeats no secret.
            raise PermissionDenied(f"credentials: {error}") from error
        return Keys(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token)

    def is_due(self) -> bool:
        """Tell, without blocking, whether ``keys`` would have to ask somebody."""
        due = getattr(self._credentials, "refresh_needed", None)
        return self._credentials is None or (due is not None and bool(due()))

    def keys_anew(self) -> Keys:
        """Return keys from where they come: files may have been written anew."""
        self._session = _session(self._options)
        self._credentials = None
        return self.keys()

    def site(self) -> Site:
        """Return where the bucket is. Misconfigured when nothing says in which region."""
        try:
            region = self._options.region or self._session.get_config_variable("region")
            if self._options.endpoint is not None:
                return Site(endpoint=self._options.endpoint, region=region or _REGION_ELSEWHERE, is_aws=False)
            if not region:
                raise Misconfigured("option region: missing, and neither the profile nor AWS_DEFAULT_REGION has one")
            # A client that sends nothing: it knows partitions, dual stack, FIPS and AWS_ENDPOINT_URL.
            client = self._session.create_client(
                "s3",
                region_name=region,
                aws_access_key_id="none",
                aws_secret_access_key="none",  # noqa: S106 - no secret
            )
            return Site(endpoint=str(client.meta.endpoint_url), region=region, is_aws=True)
        except botocore.exceptions.ProfileNotFound as error:
            raise Misconfigured(f"option profile: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise Misconfigured(f"option region: {error}") from error


def _session(options: S3Options) -> botocore.session.Session:
    # A profile that was asked for goes before the environment, and so does one of a file that was.
    profile = options.profile or ("default" if options.credentials_file else None)
    session = botocore.session.Session(profile=profile)
    if options.credentials_file is not None:
        session.set_config_variable("credentials_file", options.credentials_file)
    return session
