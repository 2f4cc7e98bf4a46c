"""Types for ids and digests, so that one cannot be passed for another, and the identity of a prompt row."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NewType
from uuid import UUID

BatchId = NewType("BatchId", UUID)
GenerationId = NewType("GenerationId", UUID)
AttemptId = NewType("AttemptId", UUID)
AssetId = NewType("AssetId", UUID)
CharacterId = NewType("CharacterId", UUID)
LeaseToken = NewType("LeaseToken", UUID)
Sha256 = NewType("Sha256", str)


def sha256(content: bytes) -> Sha256:
    """Lower-case hexadecimal digest of `content`."""
    return Sha256(hashlib.sha256(content).hexdigest())


def normalised(prompt: str) -> str:
    """`prompt` in the form used for comparison: canonical Unicode, white space folded and stripped."""
    return " ".join(unicodedata.normalize("NFC", prompt).split())


def canonical(settings: Mapping[str, Any]) -> str:
    """JSON of `settings` in which the order of keys does not show."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def row_identity(prompt: str, settings: Mapping[str, Any]) -> bytes:
    """32 bytes that two rows share if and only if they ask for the same picture.

    Covers the normalised prompt and the effective settings; the order of keys does not matter.
    """
    return identity_with(prompt, canonical(settings))


def identity_with(prompt: str, settings: str) -> bytes:
    """The same where many prompts share their settings, which `canonical` then writes once."""
    return hashlib.sha256(f"[{_quoted(normalised(prompt))},{settings}]".encode()).digest()


_quoted = json.JSONEncoder(ensure_ascii=False).encode
