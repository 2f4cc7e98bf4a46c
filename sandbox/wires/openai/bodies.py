"""The bodies of OpenAI's wire: refusals word for word where somebody recorded them, and the reply with its pictures.

Sources: openai-openapi of 2026-08-21; recorded bodies, 2026-07 to 2026-10.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.jobs import Job


class NotAccepted(Exception):
    """A call that is answered with an error.

    Args:
        retry_after_s: the pause that the headers ask for.
        plain: the body is the message alone, without JSON.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str = "invalid_request_error",
        param: str | None = None,
        retry_after_s: float | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s, self.plain = status, code, retry_after_s, plain
        self._kind, self._param = kind, param

    @property
    def body(self) -> dict[str, Any]:
        error = {"message": str(self), "type": self._kind, "param": self._param, "code": self.code}
        return {"error": error}


def missing(param: str) -> NotAccepted:
    return NotAccepted(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unknown(param: str) -> NotAccepted:
    return NotAccepted(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def invalid(param: str, value: object, allowed: Sequence[str]) -> NotAccepted:
    *others, last = (f"'{one}'" for one in allowed)
    listed = f"{', '.join(others)}, and {last}" if others else last
    said = f"Invalid value: '{value}'. Supported values are: {listed}."
    return NotAccepted(400, said, code="invalid_value", param=param)


def no_fidelity(model: str) -> NotAccepted:
    return NotAccepted(
        400,
        f"The model '{model}' does not support the 'input_fidelity' parameter.",
        code="invalid_input_fidelity_model",
        param="input_fidelity",
    )


def no_model(name: str) -> NotAccepted:
    return NotAccepted(
        404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found"
    )


def blocked(request_id: str, *, why: str = "violence") -> NotAccepted:
    return NotAccepted(
        400,
        "Your request was rejected by the safety system. If you believe this is an error, contact us at"
        f" help.openai.com and include the request ID {request_id}. safety_violations=[{why}].",
        code="moderation_blocked",
        kind="image_generation_user_error",
    )


def too_fast(model: str, *, limit: int, wait_s: float) -> NotAccepted:
    return NotAccepted(
        429,
        f"Rate limit reached for {model} in organization org-sandbox on images per min (IPM): Limit {limit},"
        f" Used {limit}, Requested 1. Please try again in {wait_s:g}s. Visit"
        " https://platform.openai.com/account/rate-limits to learn more.",
        code="rate_limit_exceeded",
        kind="images",
        retry_after_s=wait_s,
    )


def no_money(variant: str) -> NotAccepted:
    """The ways in which an empty wallet is said: `quota`, `no_credits` in plain text, `hard_limit`."""
    if variant == "no_credits":
        said = "You have no credits remaining. Add credits to your account to continue using the API."
        return NotAccepted(429, said, plain=True)
    if variant == "hard_limit":
        return NotAccepted(
            400,
            "Billing hard limit has been reached.",
            code="billing_hard_limit_reached",
            kind="billing_limit_user_error",
        )
    return NotAccepted(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more information on this"
        " error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        code="insufficient_quota",
        kind="insufficient_quota",
    )


def wrong_key(key: str) -> NotAccepted:
    if not key:
        said = "You didn't provide an API key. You need to provide your API key in an Authorization header."
        return NotAccepted(401, said)
    shown = f"{key[:3]}***{key[-4:]}" if len(key) > 12 else "***"
    return NotAccepted(
        401,
        f"Incorrect API key provided: {shown}. You can find your API key at"
        " https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def by_status(status: int) -> NotAccepted:
    """What the wire says with a status, where nothing else tells why."""
    match status:
        case 401:
            return wrong_key("sk-sandbox-0000")
        case 403:
            said = "Your organization must be verified to use the model `gpt-image-2`."
            return NotAccepted(403, said)
        case 404:
            return no_model("gpt-image-0")
        case 429:
            return too_fast("gpt-image-2", limit=5, wait_s=1.0)
        case _ if status >= 500:
            said = "The server had an error while processing your request. Sorry about that!"
            return NotAccepted(status, said, kind="server_error", code="server_error")
        case _:
            return NotAccepted(status, "The request could not be processed.")


def result(job: Job, pictures: Sequence[bytes]) -> dict[str, Any]:
    """The reply of a call that made something."""
    plan: Mapping[str, Any] = job.plan
    return {
        "created": int(job.accepted_at_s),
        "background": "opaque" if plan["background"] == "auto" else plan["background"],
        "data": [{"b64_json": base64.b64encode(content).decode()} for content in pictures],
        "output_format": plan["output_format"],
        "quality": "medium" if plan["quality"] == "auto" else plan["quality"],
        "size": "1024x1024" if plan["asked_size"] == "auto" else plan["asked_size"],
        "usage": plan["usage"],
    }
