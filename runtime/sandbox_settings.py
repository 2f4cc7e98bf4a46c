"""Settings that point every lane at one sandbox, for demos and system tests.

Workers get these settings through `crew.environment`. They use none of the operator's keys, no bucket and no public
address.
"""

from typing import Final

from pydantic import SecretStr

from runtime.settings import Settings

#: Path of each service below the sandbox's address.
WIRES: Final = ("ttapi", "replicate", "openai")
_ANY_KEY: Final = SecretStr("sk-any-key-will-do")


def sandbox_settings(settings: Settings, base_url: str) -> Settings:
    """`settings` with one lane per service, all served by the sandbox at `base_url`, and nothing real left in them.

    Rate limits suit a sandbox; callers may change them. Pictures stay in the local folder.
    """
    root = base_url.rstrip("/")
    return settings.model_copy(
        update={
            "sandbox_base_url": root,
            "ttapi_api_key": _ANY_KEY,
            "ttapi_base_url": f"{root}/ttapi",
            "ttapi_rate_limit": "20/s",
            "replicate_api_token": _ANY_KEY,
            "replicate_base_url": f"{root}/replicate",
            "replicate_webhook_secret": None,
            "replicate_rate_limit": "20/s",
            "openai_api_key": _ANY_KEY,
            "openai_base_url": f"{root}/openai",
            "openai_rate_limit": "20/s",
            "openai_total_s": 30.0,
            "words_base_url": None,
            "words_api_key": None,
            "public_url": None,
            "r2_access_key_id": None,
            "r2_secret_access_key": None,
            "r2_bucket_name": None,
            "r2_account_id": None,
            "r2_endpoint_url": None,
            "r2_cdn_url": None,
        }
    )
