"""Doctor checks that call services: the bucket, the models, the clocks and the public address."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from cli.operations.doctor_checks import Check, Health
from pipeline.doubts import provider_clocks as service_clocks
from pipeline.intake import live_models
from pipeline.resources import Resources
from runtime.picture_stores import missing_for_bucket, open_store
from runtime.settings import Settings
from storage.base import StoreAway

_FOR_TESTING: Final = ".r2.dev"


def bucket(settings: Settings) -> Check:
    """Write a probe to the bucket, read it back and delete it."""
    missing = missing_for_bucket(settings)
    if missing is not None:
        found, _, advice = missing.partition("; ")
        return Check(name="bucket", health=Health.NOTE, found=found, advice=advice)
    with open_store(settings) as store:
        if not store.publishes:
            found = f"none; pictures stay in {settings.picture_folder}"
            advice = "set R2_ACCOUNT_ID, R2_BUCKET_NAME, R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY to have one"
            return Check(name="bucket", health=Health.NOTE, found=found, advice=advice)
        try:
            store.probe()
        except StoreAway as failure:
            found, _, advice = str(failure).rpartition("; ")
            return Check(name="bucket", health=Health.MISSING, found=found or advice, advice=advice if found else "")
        there = f"{settings.r2_bucket_name}: a probe was written, read back and deleted"
        if store.public_base is None:
            advice = "pictures have no public address; set R2_CDN_URL to the bucket's own domain"
            return Check(name="bucket", health=Health.NOTE, found=there, advice=advice)
        found = f"{there}; public below {store.public_base}"
        if (urlsplit(store.public_base).hostname or "").endswith(_FOR_TESTING):
            advice = "r2.dev addresses are throttled and meant for testing; give the bucket a domain of its own"
            return Check(name="bucket", health=Health.NOTE, found=found, advice=advice)
        return Check(name="bucket", found=found)


def public_url(settings: Settings) -> Check:
    """The public address for webhooks; they make polling quicker and are otherwise not needed."""
    if settings.public_url is None:
        advice = "set LIKENESS_PUBLIC_URL where services may call back; without it they are asked instead"
        return Check(name="public URL", health=Health.NOTE, found="not set", advice=advice)
    return Check(name="public URL", found=str(settings.public_url))


def clocks(resources: Resources) -> Check:
    """Compare the services' clocks with that of Postgres; doubts can only be settled as lost while they agree."""
    found = list(service_clocks.look(resources))
    off = [one for one in found if one.is_off]
    if off:
        wrong = ", ".join(f"{one.lane} is {service_clocks.told(one.ahead_s or 0.0)}" for one in off)
        advice = "set the clock of the machine that runs PostgreSQL; until then doubts there wait for their jobs"
        return Check(name="clocks", health=Health.NOTE, found=wrong, advice=advice)
    silent = [one.lane for one in found if one.ahead_s is None]
    if silent:
        told = f"{', '.join(silent)} did not tell the time"
        advice = "check the key and the way there; each listing looks at the clock again"
        return Check(name="clocks", health=Health.NOTE, found=told, advice=advice)
    if not found:
        return Check(name="clocks", found="no lane's list is searched by time")
    names = ", ".join(one.lane for one in found)
    return Check(name="clocks", found=f"PostgreSQL's agrees with {names} within {service_clocks.MOST_OFF_S:.0f} s")


def models(resources: Resources) -> Iterator[Check]:
    """What the services say about the models of waiting work and each lane's default model."""
    for found in live_models.look(resources, on=datetime.now(UTC).date()):
        name = f"model {found.model}"
        if found.refused:
            advice = "`likeness models --live` lists those there are"
            yield Check(name=name, health=Health.MISSING, found=found.said, advice=advice)
        elif found.said:
            advice = "the catalogue is believed meanwhile" if found.silent else "choose another one before that day"
            yield Check(name=name, health=Health.NOTE, found=found.said, advice=advice)
        elif not found.asked:
            yield Check(name=name, found=f"not asked: {found.provider} says nothing about its models")
        else:
            yield Check(name=name, found=f"{found.provider} says nothing against it")
