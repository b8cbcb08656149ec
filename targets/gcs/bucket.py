"""Making the bucket, through google-cloud-storage. Blocks; only this module imports it, since that takes long."""

from __future__ import annotations

import requests
from google.api_core.exceptions import Conflict, GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[import-untyped]  # it has no annotations
from google.oauth2.credentials import Credentials

from targets.errors import Unavailable
from targets.gcs.credentials import translated
from targets.gcs.options import GcsOptions
from targets.gcs.refusals import Refusal, refused

_TIMEOUT_S = 30.0


def create_bucket(name: str, options: GcsOptions, token: str | None) -> None:
    """Make the bucket, closed to the public, with access by IAM alone; one that is there already will do."""
    doing = f"create bucket {name}"
    try:
        with translated(doing):
            _create(name, options, token)
    except Conflict:
        return  # Another daemon was first. Whether it is ours, the next request tells.
    except GoogleAPICallError as error:
        errors = error.errors or [{}]
        refusal = Refusal(int(error.code or 500), str(errors[0].get("reason", "")), str(error.message))
        raise refused(doing, refusal) from error
    except requests.RequestException as error:
        raise Unavailable(f"{doing}: {type(error).__name__}") from error


def _create(name: str, options: GcsOptions, token: str | None) -> None:
    credentials = Credentials(token) if token is not None else AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no annotations here
    client = storage.Client(
        project=options.project,
        credentials=credentials,
        client_options={"api_endpoint": options.endpoint.rstrip("/")},
    )
    try:
        if options.ca_file is not None:
            client._http.verify = options.ca_file  # noqa: SLF001 - it takes certificates in no other way
        bucket = client.bucket(name)
        bucket.storage_class = options.storage_class or "STANDARD"
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.iam_configuration.public_access_prevention = "enforced"
        if options.kms_key_name is not None:
            bucket.default_kms_key_name = options.kms_key_name
        client.create_bucket(
            bucket, location=options.location, user_project=options.user_project, timeout=_TIMEOUT_S, retry=None
        )
    finally:
        client.close()
