"""Where the pictures of an installation are: in a folder, and in a bucket too where one is configured."""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Final

from pydantic import SecretStr

from runtime.settings import Settings
from storage.base import PictureStore
from storage.folder import FolderStore
from storage.mirrored import MirroredStore
from storage.unusable import UnusableBucket

log = logging.getLogger(__name__)

_ACCOUNT: Final = re.compile(r"[0-9a-fA-F]{32}")


@contextlib.contextmanager
def open_store(settings: Settings) -> Iterator[PictureStore]:
    """The picture folder, mirrored to a bucket where one is configured.

    A bucket that is configured by half stops nothing: it is one that is away, and every use says what it lacks.
    """
    folder = FolderStore(settings.picture_folder)
    if not has_bucket(settings):
        yield folder
        return
    missing = missing_for_bucket(settings)
    if missing is not None:
        yield MirroredStore(folder, UnusableBucket(missing, cdn_url=settings.r2_cdn_url))
        return
    # boto3 is slow to import, and most installations have no bucket.
    from storage.r2 import Bucket, R2Store

    bucket = R2Store(
        Bucket(
            endpoint_url=endpoint_of(settings) or "",
            name=settings.r2_bucket_name or "",
            access_key_id=_text(settings.r2_access_key_id),
            secret_access_key=_text(settings.r2_secret_access_key),
            cdn_url=settings.r2_cdn_url,
        )
    )
    with contextlib.closing(bucket):
        yield MirroredStore(folder, bucket)


def has_bucket(settings: Settings) -> bool:
    """Whether anything about a bucket is set, enough or not."""
    return any(_given(settings).values()) or settings.r2_cdn_url is not None or settings.r2_account_id is not None


def endpoint_of(settings: Settings) -> str | None:
    """The bucket's endpoint: as set, else the one of the account, which is right for buckets without a jurisdiction."""
    account = (settings.r2_account_id or "").strip()
    if settings.r2_endpoint_url is None and _ACCOUNT.fullmatch(account):
        return f"https://{account.lower()}.r2.cloudflarestorage.com"
    return settings.r2_endpoint_url


def missing_for_bucket(settings: Settings) -> str | None:
    """A sentence that says what a bucket configured by half lacks; None where it lacks nothing, or there is none."""
    if not has_bucket(settings):
        return None
    missing = [name for name, value in _given(settings).items() if not value]
    if not missing:
        return None
    said = "the bucket is configured by half, so that nothing is uploaded and pictures stay on this machine"
    if missing != ["R2_ENDPOINT_URL"]:
        return f"{said}; set {', '.join(missing)} too, or no R2_ variable"
    if settings.r2_account_id is not None:
        return f"{said}; R2_ACCOUNT_ID is no account id, which has 32 hexadecimal digits: correct it"
    # A public address, be it of r2.dev or a domain, tells nothing of the account; nor do the keys.
    return (
        f"{said}; set R2_ACCOUNT_ID, which Cloudflare shows beside the buckets and neither keys nor R2_CDN_URL tell,"
        " or R2_ENDPOINT_URL, which a bucket of the EU or another jurisdiction needs"
    )


@contextlib.contextmanager
def open_store_of_work(settings: Settings) -> Iterator[PictureStore]:
    """The same for a process that makes or orders pictures, which says at its start that they will not be uploaded."""
    missing = missing_for_bucket(settings)
    if missing is not None:
        log.warning("%s", missing)
    with open_store(settings) as store:
        yield store


def _given(settings: Settings) -> dict[str, str]:
    """What an upload needs, by the name of its setting."""
    return {
        "R2_ACCESS_KEY_ID": _text(settings.r2_access_key_id),
        "R2_SECRET_ACCESS_KEY": _text(settings.r2_secret_access_key),
        "R2_BUCKET_NAME": (settings.r2_bucket_name or "").strip(),
        "R2_ENDPOINT_URL": endpoint_of(settings) or "",
    }


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret else ""
