"""Every setting, read once from the environment and `.env`. Other code is handed values and reads no variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from domain.errors import BadInput
from domain.rates import per_second
from domain.validation_messages import plain_message
from runtime import redis_address
from runtime.keyword_settings import KeywordSettings
from runtime.log_lines import LogFormat

#: Allowed schemes of an address, with an example.
_ADDRESSES = {
    "database_url": (("postgresql", "postgres", "postgresql+psycopg"), "postgresql://USER:PASSWORD@HOST:5432/NAME"),
    "redis_url": (("redis", "rediss", "redis+socket", "unix"), "redis://:PASSWORD@HOST:6379/0"),
}
#: The sandbox's own weights, by the names under which they can be given: they check pictures, and they read clothes.
_OWN_MODELS = {f"sandbox/{name}": Path(__file__).parents[1] / "sandbox" / name for name in ("clip", "clip_clothes")}
_Fraction = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The settings of one service that needs a key.

    Args:
        keys: one lane per key.
        base_url: overrides the service's own address.
        rate_limit, concurrency: initial limits of a new lane.
        concurrency_said: whether a user set it; the account's own figure can then only lower it.
        submit_total_s: deadline of a submission in seconds; None for the service's default.
        webhook_secrets: of the first keys' accounts; the others are asked from the service.
    """

    keys: tuple[str, ...] = field(repr=False)
    base_url: str | None
    rate_limit: str
    concurrency: int
    concurrency_said: bool = False
    submit_total_s: float | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)


class Settings(KeywordSettings):
    """Variable names are the owner's where one exists; all others begin with `LIKENESS_`."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".likeness"), validation_alias="LIKENESS_HOME", description="data of this machine: servers, pictures, logs"
    )
    user: str = Field(
        "local", validation_alias="LIKENESS_USER", min_length=1, description="owner of the batches made here"
    )
    database_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_URL", description="Postgres; without it an embedded one is started"
    )
    database_direct_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_DIRECT_URL",
        description="Postgres itself, for migrations, where DATABASE_URL is a pooler such as PgBouncer",
    )
    redis_url: SecretStr | None = Field(
        None, validation_alias="REDIS_URL", description="Redis; without it an embedded one is started"
    )
    public_url: str | None = Field(
        None, validation_alias="LIKENESS_PUBLIC_URL", description="where providers can call back; none: only polling"
    )
    api_host: str = Field(
        "127.0.0.1", validation_alias="LIKENESS_API_HOST", min_length=1, description="where the api role listens"
    )
    api_port: int = Field(
        8800, validation_alias="LIKENESS_API_PORT", ge=0, le=65535, description="where the api role listens; 0: any"
    )
    flower_url: str | None = Field(
        None,
        validation_alias="LIKENESS_FLOWER_URL",
        pattern=r"^https?://[!-~]+$",
        description="where people open Flower; the page then links to it beside the lanes",
    )
    metrics_token: SecretStr | None = Field(
        None,
        validation_alias="LIKENESS_METRICS_TOKEN",
        description="what Prometheus sends for /metrics of the api role; none: there is no /metrics",
    )

    worker_metrics: str | None = Field(
        None,
        validation_alias="LIKENESS_WORKER_METRICS",
        description="HOST:PORT where each worker serves its own metrics, the next free port for the next; none: off",
    )

    log_format: LogFormat = Field(
        "text", validation_alias="LIKENESS_LOG", description="of workers: text, or json with one object per event"
    )
    traces: str | None = Field(
        None,
        validation_alias="LIKENESS_TRACES",
        description="an OpenTelemetry collector that takes traces by OTLP/HTTP, like http://HOST:4318; none: off",
    )

    ttapi_api_key: SecretStr | None = Field(
        None, validation_alias="TTAPI_API_KEY", description="Midjourney by TTAPI; several keys with commas between"
    )
    ttapi_base_url: str | None = Field(None, validation_alias="TTAPI_BASE_URL", description="instead of TTAPI's own")
    ttapi_rate_limit: str = Field(
        "60/m",
        validation_alias="TTAPI_RATE_LIMIT",
        description="submissions of a new lane; see `likeness lanes`",
    )
    ttapi_concurrency: int = Field(
        10, validation_alias="TTAPI_CONCURRENCY", gt=0, description="jobs in flight of a new lane"
    )
    ttapi_price_usd: Decimal = Field(
        Decimal("0.40"),
        validation_alias="TTAPI_PRICE_USD",
        gt=0,
        description="held for one imagine",
    )
    ttapi_illegal_prompts: int = Field(
        20,
        validation_alias="TTAPI_ILLEGAL_PROMPTS",
        gt=0,
        le=29,
        description="so many in 24 hours close the lane; after 30 in a day TTAPI keeps the money of failed jobs",
    )
    ttapi_illegal_limit: int = Field(
        30,
        validation_alias="TTAPI_ILLEGAL_LIMIT",
        gt=2,
        description="those 30: illegal prompts of 24 hours and jobs in flight stay below, whatever the account allows",
    )
    replicate_api_token: SecretStr | None = Field(
        None, validation_alias="REPLICATE_API_TOKEN", description="Replicate; several tokens with commas between"
    )
    replicate_base_url: str | None = Field(
        None, validation_alias="REPLICATE_BASE_URL", description="instead of Replicate's own"
    )
    replicate_webhook_secret: SecretStr | None = Field(
        None,
        validation_alias="REPLICATE_WEBHOOK_SECRET",
        description="one per token, with commas between; none: Replicate is asked for it",
    )
    replicate_rate_limit: str = Field(
        "100/m", validation_alias="REPLICATE_RATE_LIMIT", description="as TTAPI_RATE_LIMIT"
    )
    replicate_concurrency: int = Field(
        50, validation_alias="REPLICATE_CONCURRENCY", gt=0, description="as TTAPI_CONCURRENCY"
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias="OPENAI_API_KEY", description="OpenAI; several keys with commas between"
    )
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL", description="instead of OpenAI's own")
    openai_rate_limit: str = Field("50/m", validation_alias="OPENAI_RATE_LIMIT", description="as TTAPI_RATE_LIMIT")
    openai_concurrency: int = Field(
        10, validation_alias="OPENAI_CONCURRENCY", gt=0, description="calls at once of a new lane; threads of io-sync"
    )
    openai_total_s: float = Field(
        600.0,
        validation_alias="OPENAI_TOTAL_S",
        gt=0,
        le=1800,
        description="a call is given up after so many seconds; one that is given up may be billed",
    )
    words_model: str = Field(
        "gpt-6-luna",
        validation_alias="LIKENESS_WORDS_MODEL",
        min_length=1,
        description="looks at pictures and writes prompts where `llm` is asked for",
    )
    words_base_url: str | None = Field(
        None, validation_alias="LIKENESS_WORDS_BASE_URL", description="of OpenAI-compatible chat; none: OpenAI's lane"
    )
    words_api_key: SecretStr | None = Field(
        None, validation_alias="LIKENESS_WORDS_API_KEY", description="its key; none: the first of OPENAI_API_KEY"
    )
    words_usd_in: Decimal | None = Field(
        None,
        validation_alias="LIKENESS_WORDS_USD_IN",
        ge=0,
        description="dollars per million tokens read; none: the catalogue's",
    )
    words_usd_out: Decimal | None = Field(
        None,
        validation_alias="LIKENESS_WORDS_USD_OUT",
        ge=0,
        description="dollars per million tokens written; none: the catalogue's",
    )
    sandbox_base_url: str | None = Field(
        None, validation_alias="SANDBOX_BASE_URL", description="a running `likeness sandbox`"
    )
    sandbox_rate_limit: str = Field("20/s", validation_alias="SANDBOX_RATE_LIMIT", description="as TTAPI_RATE_LIMIT")
    sandbox_concurrency: int = Field(
        10, validation_alias="SANDBOX_CONCURRENCY", gt=0, description="as TTAPI_CONCURRENCY"
    )

    clip_model: str = Field(
        "openai/clip-vit-large-patch14", validation_alias="CLIP_MODEL", description="a name or a folder of weights"
    )
    analysis_model: str | None = Field(
        None,
        validation_alias="ANALYSIS_MODEL",
        description="weights that read what a picture shows, such as a CLIP for fashion; none: CLIP_MODEL",
    )
    clip_threshold_core: _Fraction = Field(
        0.75, validation_alias="CLIP_THRESHOLD_CORE", description="of characters that are not calibrated"
    )
    clip_threshold_style: _Fraction = Field(
        0.60, validation_alias="CLIP_THRESHOLD_STYLE", description="of characters that are not calibrated"
    )
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.98,
        validation_alias="LIKENESS_NEAR_DUPLICATE",
        description="two pictures with a higher cosine are too alike: flagged in a batch, one example in a calibration",
    )
    clip_device: str = Field("auto", validation_alias="LIKENESS_DEVICE", description="auto, cuda, mps or cpu")

    pictures: Path | None = Field(
        None, validation_alias="LIKENESS_PICTURES", description="folder of the pictures; none: below LIKENESS_HOME"
    )
    r2_access_key_id: SecretStr | None = Field(
        None, validation_alias="R2_ACCESS_KEY_ID", description="Cloudflare R2 or another S3; none: pictures stay here"
    )
    r2_secret_access_key: SecretStr | None = Field(
        None, validation_alias="R2_SECRET_ACCESS_KEY", description="goes with R2_ACCESS_KEY_ID"
    )
    r2_bucket_name: str | None = Field(None, validation_alias="R2_BUCKET_NAME", description="the pictures' bucket")
    r2_account_id: str | None = Field(
        None,
        validation_alias="R2_ACCOUNT_ID",
        description="Cloudflare's id of the account: gives R2_ENDPOINT_URL, except for a bucket of a jurisdiction",
    )
    r2_endpoint_url: str | None = Field(
        None,
        validation_alias="R2_ENDPOINT_URL",
        description="https://ACCOUNT.r2.cloudflarestorage.com; of the EU https://ACCOUNT.eu.r2.cloudflarestorage.com",
    )
    r2_cdn_url: str | None = Field(
        None, validation_alias="R2_CDN_URL", description="under which the bucket is public; none: it is not"
    )
    lease_s: float = Field(30.0, validation_alias="LIKENESS_LEASE_S", gt=0.5, description="life of a claim, in seconds")
    unclaimed_s: float = Field(
        20.0,
        validation_alias="LIKENESS_UNCLAIMED_S",
        gt=0.5,
        description="a published task that nobody took for so long is published again",
    )
    listings_apart_s: float = Field(
        20.0,
        validation_alias="LIKENESS_LISTINGS_APART_S",
        gt=0.5,
        description="two complete listings this far apart prove that a job does not exist",
    )
    submit_total_s: float | None = Field(
        None, validation_alias="LIKENESS_SUBMIT_TOTAL_S", ge=1, le=30, description="seconds that a submission may take"
    )
    timeout_s: float | None = Field(
        None,
        validation_alias="LIKENESS_TIMEOUT_S",
        gt=0,
        description="a job is overdue after so many seconds, and named; none: twice its usual time and 20 minutes",
    )
    poll_interval_s: float | None = Field(
        None,
        validation_alias="LIKENESS_POLL_INTERVAL_S",
        ge=0.5,
        description="between two looks at a job; none: first when most are done, then every tenth of its age",
    )
    deaths_alone: int = Field(
        2,
        validation_alias="LIKENESS_DEATHS_ALONE",
        ge=1,
        description="workers that may die of one step while it runs alone, before its generation fails",
    )
    die_at: str = Field(
        "", validation_alias="LIKENESS_DIE_AT", description="for crash tests: fault points, with commas between"
    )
    io_threads: int = Field(16, validation_alias="LIKENESS_IO_THREADS", gt=0, description="of an io worker")
    gpu_threads: int = Field(16, validation_alias="LIKENESS_GPU_THREADS", gt=0, description="of a gpu worker")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object, info: ValidationInfo) -> object:
        """An empty variable counts as unset where the setting may be None."""
        unset = value == "" and info.field_name is not None and cls.model_fields[info.field_name].default is None
        return None if unset else value

    @field_validator("clip_model", "analysis_model")
    @classmethod
    def _found_from_anywhere(cls, model: str | None, info: ValidationInfo) -> str | None:
        """An empty variable is unset; the sandbox's own models go by their place, from whatever folder one calls."""
        model = model or cls.model_fields[info.field_name or ""].default
        return str(_OWN_MODELS[model]) if model in _OWN_MODELS and not Path(model).is_dir() else model

    @field_validator("ttapi_rate_limit", "replicate_rate_limit", "openai_rate_limit", "sandbox_rate_limit")
    @classmethod
    def _is_a_rate(cls, text: str) -> str:
        per_second(text)
        return text

    @field_validator(
        "ttapi_base_url", "replicate_base_url", "openai_base_url", "words_base_url", "sandbox_base_url", "public_url"
    )
    @classmethod
    def _is_a_url(cls, text: str | None) -> str | None:
        if not text:
            return None
        TypeAdapter(HttpUrl).validate_python(text)
        return text.rstrip("/").removesuffix("/v1")

    @field_validator("r2_endpoint_url", "r2_cdn_url", "traces")
    @classmethod
    def _is_a_whole_url(cls, text: str | None) -> str | None:
        if not text:
            return None
        TypeAdapter(HttpUrl).validate_python(text)
        return text.rstrip("/")

    @field_validator("database_url", "database_direct_url", "redis_url")
    @classmethod
    def _is_an_address(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        address = secret.get_secret_value().strip() if secret else ""
        if not address:
            return None
        schemes, example = _ADDRESSES["redis_url" if info.field_name == "redis_url" else "database_url"]
        scheme, separator, rest = address.partition("://")
        if not separator or not rest or scheme not in schemes:
            # The address may hold a password, so it is not repeated.
            raise ValueError(f"write it like {example}")
        return SecretStr(redis_address.normal(address) if info.field_name == "redis_url" else address)

    @cached_property
    def picture_folder(self) -> Path:
        return self.pictures or self.home / "pictures"

    @property
    def analysis_weights(self) -> str:
        """What ANALYSIS_MODEL comes to: CLIP_MODEL if unset, but beside the sandbox's own one that knows clothes."""
        if self.analysis_model is None and Path(self.clip_model).resolve() == _OWN_MODELS["sandbox/clip"]:
            return str(_OWN_MODELS["sandbox/clip_clothes"])
        return self.analysis_model or self.clip_model

    @property
    def services(self) -> Mapping[str, ServiceSettings]:
        """Settings by provider name, as in `providers.registry`; a provider without keys has no lane."""
        return {
            "ttapi": ServiceSettings(
                keys=_keys_in(self.ttapi_api_key),
                base_url=self.ttapi_base_url,
                rate_limit=self.ttapi_rate_limit,
                concurrency=self.ttapi_concurrency,
                concurrency_said="ttapi_concurrency" in self.model_fields_set,
                submit_total_s=self.submit_total_s,
            ),
            "replicate": ServiceSettings(
                keys=_keys_in(self.replicate_api_token),
                base_url=self.replicate_base_url,
                rate_limit=self.replicate_rate_limit,
                concurrency=self.replicate_concurrency,
                concurrency_said="replicate_concurrency" in self.model_fields_set,
                submit_total_s=self.submit_total_s,
                webhook_secrets=_keys_in(self.replicate_webhook_secret),
            ),
            "openai": ServiceSettings(
                keys=_keys_in(self.openai_api_key),
                base_url=self.openai_base_url,
                rate_limit=self.openai_rate_limit,
                concurrency=self.openai_concurrency,
                submit_total_s=self.openai_total_s,
            ),
        }


def _keys_in(secret: SecretStr | None) -> tuple[str, ...]:
    text = secret.get_secret_value() if secret else ""
    return tuple(key.strip() for key in text.split(",") if key.strip())


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        BadInput: variables are invalid; every one is named.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {plain_message(one['msg'])}" for one in error.errors())
        raise BadInput(f"the environment is not usable: {wrong}") from None
