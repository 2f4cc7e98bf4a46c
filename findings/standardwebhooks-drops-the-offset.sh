#!/usr/bin/env bash
# standardwebhooks 1.1 signs another moment than the one it was given, outside UTC.
#
# Expected: Webhook.sign takes an aware datetime in any zone; a message signed at 12:00+02:00 verifies with the timestamp of that
#           moment in its header.
# Seen: the offset is thrown away, not converted: two hours are added and the receiver, by the same library, refuses the message
#       as unsigned. The same moment written in UTC verifies. Right in development under UTC, wrong on a server elsewhere.
# So: the moment of signing is datetime.now(tz=UTC), and the header is made from the same value.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check standardwebhooks==1.1.0
"$d/venv/bin/python" - <<'PY'
import base64
import importlib.metadata
from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(base64.b64encode(bytes(24)).decode())
BODY = '{"type": "batch.finished"}'


def outcome(moment: datetime) -> str:
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": webhook.sign("msg_1", moment, BODY),
    }
    try:
        webhook.verify(BODY, headers)
    except WebhookVerificationError as refused:
        return str(refused)
    return "verified"


now = datetime.now(tz=UTC).replace(microsecond=0)
seen = {"UTC": outcome(now), "+02:00": outcome(now.astimezone(timezone(timedelta(hours=2))))}
print("standardwebhooks", importlib.metadata.version("standardwebhooks"))
print(f"expected: verified both times\nseen: {seen}")
recorded = {"UTC": "verified", "+02:00": "No matching signature found"}
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
