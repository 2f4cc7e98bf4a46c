"""A picture store in an S3 bucket, such as Cloudflare R2.

The only module that uses boto3; its exceptions are translated here. Every call may be repeated, because a key can only
ever hold one content.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from domain.errors import PictureLost
from domain.ids import AttemptId, sha256
from storage.base import StoreAway, Stored
from storage.keys import key_of, read_key

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import HeadObjectOutputTypeDef

_CONNECT_S: Final = 3
_READ_S: Final = 15
_ATTEMPTS: Final = 2
#: As many pictures as the threads of an io worker collect at once.
_CONNECTIONS: Final = 64
_MEDIA_TYPES: Final = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
#: Content under a digest never changes.
_FOREVER: Final = "public, max-age=31536000, immutable"
_MD5_LENGTH: Final = 32
#: A prefix that no picture key has.
_PROBES: Final = "likeness-doctor"
_CLOCK: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "ExpiredRequest"})
_SECRET: Final = frozenset({"SignatureDoesNotMatch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Address and credentials of a bucket.

    Args:
        endpoint_url: `https://<ACCOUNT>.r2.cloudflarestorage.com`; a trailing bucket name is removed.
        cdn_url: public URL of the bucket; None where it is private.
    """

    endpoint_url: str
    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    cdn_url: str | None = None


class R2Store:
    """Implements `storage.base.PictureStore`; shared by the threads of a process."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._client = _client_of(bucket)

    @property
    def publishes(self) -> bool:
        return True

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """As in the contract.

        Raises:
            ValueError: `prefix` or `ending` could not be part of a key.
            StoreAway: the bucket cannot be used now.
        """
        key = key_of(content, ending=ending, prefix=prefix)
        if not self._put_new(key, content) and not self._holds(key, content):
            # Another content under this digest is damage, never another picture: write it again.
            with self._translated(f"repairing {key!r}"):
                self._client.put_object(**self._request(key, content))
        return self._stored(key)

    def publish(self, key: str) -> Stored:
        """As in the contract; only checks that the key exists."""
        read_key(key)
        self._head(key)
        return self._stored(key)

    def get(self, key: str) -> bytes:
        """As in the contract.

        Raises:
            FileNotFoundError: nothing is stored under `key`.
            BadInput: `key` is none that a store makes.
            PictureLost: what lies there is not what was stored.
            StoreAway: the bucket cannot be used now.
        """
        digest = read_key(key).digest
        content = self._read(key)
        if sha256(content) != digest:
            raise PictureLost(f"{key!r} is damaged in bucket {self._bucket.name!r}: its digest is {sha256(content)}")
        return content

    def path_of(self, key: str) -> None:
        """None: the files of a bucket are not on this machine."""
        read_key(key)

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> None:
        key = self._reply_key(attempt_id)
        with self._translated(f"putting {key!r}"):
            self._client.put_object(
                Bucket=self._bucket.name, Key=key, Body=content, ContentType="application/json", CacheControl="no-store"
            )

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        """As in the contract.

        Raises:
            FileNotFoundError: no reply is kept for the attempt.
        """
        return self._read(self._reply_key(attempt_id))

    def delete(self, key: str) -> None:
        """As in the contract.

        Raises:
            StoreAway: the bucket cannot be used now.
        """
        read_key(key)
        self._delete(key)

    def delete_reply(self, attempt_id: AttemptId) -> None:
        self._delete(self._reply_key(attempt_id))

    def _delete(self, key: str) -> None:
        with self._translated(f"deleting {key!r}"):
            self._client.delete_object(Bucket=self._bucket.name, Key=key)

    @property
    def public_base(self) -> str | None:
        return None if self._bucket.cdn_url is None else f"{self._bucket.cdn_url.rstrip('/')}/"

    def url_of(self, key: str) -> str | None:
        """The public address of `key`, or None for a bucket that has none."""
        return None if self.public_base is None else self.public_base + key

    def probe(self) -> None:
        """As in the contract, under a key that no picture can have."""
        key, content = f"{_PROBES}/{uuid4()}.txt", b"written by `likeness doctor`; it may be deleted"
        with self._translated(f"writing {key!r}"):
            self._client.put_object(Bucket=self._bucket.name, Key=key, Body=content, ContentType="text/plain")
        if self._read(key) != content:
            raise StoreAway(f"reading {key!r} back gave something else; R2_ENDPOINT_URL is no bucket's")
        with self._translated(f"deleting {key!r}, which was written and read back,"):
            self._client.delete_object(Bucket=self._bucket.name, Key=key)

    def close(self) -> None:
        self._client.close()

    def _stored(self, key: str) -> Stored:
        return Stored(key=key, url=self.url_of(key), uploaded_at=datetime.now(UTC))

    def _reply_key(self, attempt_id: AttemptId) -> str:
        # A bucket may be public and attempt ids are not secret, so the name is keyed with a secret.
        name = hmac.new(self._bucket.secret_access_key.encode(), attempt_id.bytes, hashlib.sha256).hexdigest()
        return f"replies/{name}.json"

    def _put_new(self, key: str, content: bytes) -> bool:
        """Whether `key` was written by this call; False where it was there already."""
        with self._translated(f"putting {key!r}"):
            try:
                self._client.put_object(**self._request(key, content), IfNoneMatch="*")
            except ClientError as error:
                # 412 after a retry usually means that the first try arrived.
                if _status(error) == 412:
                    return False
                raise
        return True

    def _request(self, key: str, content: bytes) -> dict[str, Any]:
        return {
            "Bucket": self._bucket.name,
            "Key": key,
            "Body": content,
            "ContentType": _MEDIA_TYPES.get(read_key(key).ending, "application/octet-stream"),
            "CacheControl": _FOREVER,
            # Sent as a plain header, so that the bucket refuses a body that was damaged in transit.
            "ChecksumSHA256": b64encode(hashlib.sha256(content).digest()).decode(),
        }

    def _holds(self, key: str, content: bytes) -> bool:
        """Whether size and ETag say that `key` holds `content`."""
        try:
            head = self._head(key)
        except FileNotFoundError:
            return False  # removed since
        etag = str(head["ETag"]).strip('"')
        # The ETag of a multipart upload is not an MD5; compare the content instead.
        if len(etag) != _MD5_LENGTH:
            return head["ContentLength"] == len(content) and self._read(key) == content
        return head["ContentLength"] == len(content) and etag == hashlib.md5(content, usedforsecurity=False).hexdigest()

    def _head(self, key: str) -> "HeadObjectOutputTypeDef":
        with self._translated(f"looking for {key!r}"):
            return self._client.head_object(Bucket=self._bucket.name, Key=key)

    def _read(self, key: str) -> bytes:
        with self._translated(f"reading {key!r}"):
            return self._client.get_object(Bucket=self._bucket.name, Key=key)["Body"].read()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Translate exceptions of boto3 into those of the contract."""
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if _status(error) == 404 and code != "NoSuchBucket":
                raise FileNotFoundError(f"{doing}: bucket {self._bucket.name!r} has no such key") from error
            raise StoreAway(f"{doing} failed: {self._advice(code, _status(error))}") from error
        except BotoCoreError as error:
            raise StoreAway(f"{doing} failed: {self._bucket.endpoint_url} does not answer ({error})") from error

    def _advice(self, code: str, status: int) -> str:
        if code == "NoSuchBucket":
            return f"there is no bucket {self._bucket.name!r}; check R2_BUCKET_NAME and R2_ENDPOINT_URL"
        if code in _CLOCK:
            return "the clock of this machine is off by more than 15 minutes, which makes signatures invalid; set it"
        if code in _SECRET:
            return f"the bucket refused the signature ({code}); check R2_SECRET_ACCESS_KEY"
        if status in {401, 403}:
            refusal = f"the bucket refused the key ({code or status})"
            return f"{refusal}; check R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY and that they may write there"
        return f"the bucket answered {status} ({code or 'no reason given'})"


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _client_of(bucket: Bucket) -> "S3Client":
    client = Session().client(
        "s3",
        endpoint_url=bucket.endpoint_url.rstrip("/").removesuffix(f"/{bucket.name}"),
        aws_access_key_id=bucket.access_key_id,
        aws_secret_access_key=bucket.secret_access_key,
        region_name="auto",
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            # By default boto3 adds a checksum as a trailer, which R2 refuses as `Unauthorized`.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    # R2 never sends "100 Continue", for which botocore would wait a second at every put.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client
