"""Settings under which every lane leads to one sandbox: for rehearsals and for tests of the whole system.

A sandbox plays all services side by side. What is changed here reaches the workers through `crew.environment`, and
nobody else: no key of the operator's is used, no bucket, and no service can call back.
"""

from typing import Final

from pydantic import SecretStr

from runtime.settings import Settings

#: Where a sandbox serves each service below its address.
WIRES: Final = ("ttapi", "replicate", "openai")
_ANY_KEY: Final = SecretStr("sk-any-key-will-do")


def sandbox_settings(settings: Settings, base_url: str) -> Settings:
    """`settings` with a lane to each service as the sandbox at `base_url` plays it, and with no way out of it.

    Limits of speed are those of a stand-in; change them in the result. The pictures stay in their folder.
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
            "public_url": None,
            "r2_access_key_id": None,
            "r2_secret_access_key": None,
            "r2_bucket_name": None,
            "r2_endpoint_url": None,
            "r2_cdn_url": None,
        }
    )
