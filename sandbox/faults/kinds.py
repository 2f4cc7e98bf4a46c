"""The table of all faults, and at which calls of which wires each can occur. Applied by `faults.armed` or the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Where = Literal[
    "submit",
    "fetch",
    "list",
    "picture",
    "callback",
    "cancel",
    "account",
    "model",
    "secret",
    "check",
    "upload",
    "reference",
]
Argument = Literal["", "status", "seconds", "text"]

SUBMIT: frozenset[Where] = frozenset({"submit"})
LOOKS: frozenset[Where] = frozenset({"fetch", "list"})
READS: frozenset[Where] = LOOKS | frozenset({"picture"})
# Other calls: about the account, a model, a secret or a prompt, a cancel, an upload, and the fetch of a reference.
BESIDE: frozenset[Where] = frozenset({"cancel", "account", "model", "secret", "check", "upload", "reference"})
REPLIES: frozenset[Where] = SUBMIT | READS | BESIDE
BODIES: frozenset[Where] = SUBMIT | LOOKS | BESIDE
PICTURE: frozenset[Where] = frozenset({"picture"})
CALLBACK: frozenset[Where] = frozenset({"callback"})
FETCH: frozenset[Where] = frozenset({"fetch"})
LIST: frozenset[Where] = frozenset({"list"})

TTAPI, REPLICATE, OPENAI = frozenset({"ttapi"}), frozenset({"replicate"}), frozenset({"openai"})
EVERY_WIRE = TTAPI | REPLICATE | OPENAI
# Uploads belong to no wire.
FILES = frozenset({"files"})
# OpenAI's only call returns the picture: there is no job to poll, list or call back for.
WIRES: Mapping[Where, frozenset[str]] = {
    "submit": EVERY_WIRE,
    "fetch": TTAPI | REPLICATE,
    "list": TTAPI | REPLICATE,
    "picture": TTAPI | REPLICATE,
    "callback": TTAPI | REPLICATE,
    "cancel": REPLICATE,
    "account": TTAPI | REPLICATE,
    "model": REPLICATE | OPENAI,
    "secret": REPLICATE,
    "check": TTAPI,
    "upload": FILES | REPLICATE,
    "reference": TTAPI | REPLICATE,
}

# Faults of pictures that are in a reply or fetched.
INSIDE_TOO: Mapping[Where, frozenset[str]] = {"picture": EVERY_WIRE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        argument: kind of its argument after a colon.
        default: default argument; None if it is required.
        only: the wires that support it, where not all with such a call do.
    """

    where: frozenset[Where]
    meaning: str
    argument: Argument = ""
    default: str | None = None
    only: Mapping[Where, frozenset[str]] = field(default_factory=dict)

    def wires(self, where: Where) -> frozenset[str]:
        """The providers whose wire supports this at that call."""
        return self.only.get(where, WIRES[where]) if where in self.where else frozenset()


KINDS: Mapping[str, Kind] = {
    "drop_before": Kind(
        where=REPLIES,
        meaning="the connection ends and nothing was accepted; without `match` before a submission's body is read",
    ),
    "drop_after": Kind(where=REPLIES, meaning="accepted and on the bill, then the connection ends without a reply"),
    "truncated": Kind(
        where=REPLIES, meaning="accepted; the headers and half of the promised body are sent, the connection ends"
    ),
    "status": Kind(
        where=REPLIES,
        argument="status",
        meaning="answers with this status, nothing accepted; `status:500_after` accepts first, `_before` is the rule",
    ),
    "html": Kind(where=BODIES, meaning="200 with an HTML page as a proxy sends it; nothing accepted"),
    "html_after": Kind(where=SUBMIT, meaning="accepted, then 200 with an HTML page"),
    "slow": Kind(where=REPLIES, argument="seconds", default="3", meaning="the body arrives in drips over this time"),
    "delay": Kind(where=REPLIES, argument="seconds", meaning="done at once, answered after this time"),
    "delay_before": Kind(
        where=SUBMIT, argument="seconds", meaning="accepted only after this time, even if the client has gone"
    ),
    "refused": Kind(
        where=SUBMIT,
        argument="text",
        meaning="not accepted, with this message: TTAPI's 200 with FAILED, Replicate's 422,"
        " OpenAI's 400 of a moderated prompt",
    ),
    "throttled": Kind(
        where=SUBMIT,
        argument="text",
        default="plain",
        only={"submit": REPLICATE | OPENAI},
        meaning="not accepted, each with its own body: Replicate's 429 (plain, old, low_credit or no_payment),"
        " OpenAI's limits of speed and money (plain, quota, no_credits or hard_limit)",
    ),
    "canceled": Kind(
        where=SUBMIT, only={"submit": REPLICATE}, meaning="accepted; stopped after it began, and charged (Replicate)"
    ),
    "aborted": Kind(
        where=SUBMIT, only={"submit": REPLICATE}, meaning="accepted; stopped before it began, and free (Replicate)"
    ),
    "failed_body": Kind(where=SUBMIT, argument="text", meaning="accepted; the job ends FAILED with this message"),
    "stuck": Kind(where=SUBMIT, meaning="accepted; the job never ends, until the faults are cleared"),
    "old_shape": Kind(
        where=SUBMIT | FETCH,
        only={"submit": TTAPI, "fetch": TTAPI},
        meaning="the other documented spelling: job_id; actions, a number for quota, a percent sign, no images",
    ),
    "no_images": Kind(
        where=SUBMIT | FETCH,
        only={"submit": OPENAI},
        meaning="a success without the four single images: only the grid; at Replicate without output,"
        " at OpenAI without data",
    ),
    "as_address": Kind(
        where=SUBMIT,
        only={"submit": OPENAI},
        meaning="the picture as an address in place of the file, as gateways that speak OpenAI's wire answer",
    ),
    "no_usage": Kind(
        where=SUBMIT, only={"submit": OPENAI}, meaning="no tokens counted, as gateways that speak OpenAI's wire answer"
    ),
    "hidden": Kind(where=LIST, meaning="the list says that there are no jobs (TTAPI, Replicate)"),
    "respelt": Kind(
        where=LIST, meaning="the list tells requests in other words: `--fast` (TTAPI), a default (Replicate) added"
    ),
    "slow_clock": Kind(
        where=LIST, argument="seconds", default="300", meaning="the list comes from a clock that is so far behind"
    ),
    "data_removed": Kind(
        where=LOOKS,
        only={"fetch": REPLICATE, "list": REPLICATE},
        meaning="as after its hour: without input and output (Replicate)",
    ),
    "data_output": Kind(
        where=FETCH,
        only={"fetch": REPLICATE},
        meaning="the pictures stand in the reply, as data: addresses (Replicate)",
    ),
    "unknown_status": Kind(where=FETCH, meaning="a status that no page documents, while the job goes on"),
    "expired": Kind(where=PICTURE, meaning="404, as a link past its time"),
    "page": Kind(where=PICTURE, only=INSIDE_TOO, meaning="200 with an HTML page instead of the picture"),
    "wrong_type": Kind(where=PICTURE, meaning="the picture itself, under a media type that is none of a picture"),
    "other_format": Kind(
        where=PICTURE,
        only=INSIDE_TOO,
        meaning="the picture in another format than was asked for, under the media type of what was asked for",
    ),
    "fake": Kind(where=PICTURE, only=INSIDE_TOO, meaning="an HTML page that calls itself image/png"),
    "unreadable": Kind(where=PICTURE, only=INSIDE_TOO, meaning="the right size and first bytes, noise behind them"),
    "cut_file": Kind(where=PICTURE, only=INSIDE_TOO, meaning="a complete reply that holds the first half of the file"),
    "duplicate_callback": Kind(where=CALLBACK, meaning="the callback is delivered twice"),
    "late_callback": Kind(where=CALLBACK, argument="seconds", default="5", meaning="delivered this much later"),
    "early_callback": Kind(
        where=CALLBACK, meaning="the reply to the submission goes out after the callback of its job was delivered"
    ),
    "lost_callback": Kind(where=CALLBACK, meaning="never delivered"),
    "stale_callback": Kind(where=CALLBACK, meaning="signed ten minutes ago, as somebody replays it"),
    "forged_callback": Kind(
        where=CALLBACK, meaning="right after acceptance somebody else claims success with pictures of his own"
    ),
}

INSIDE = frozenset(name for name, kind in KINDS.items() if kind.only is INSIDE_TOO)

# Whoever is not told the tokens books an estimate: books and bill differ, which no profile may bring about unasked.
UNPREDICTABLE = frozenset({"no_usage"})

# Faults that a wire does not see.
UNHEARD = frozenset({"drop_before", "html"})

#: Faults of callbacks, by the moment in a job's life.
AT_THE_END = frozenset({"duplicate_callback", "late_callback", "lost_callback", "stale_callback"})
AT_THE_START = frozenset({"forged_callback"})
AT_THE_REPLY = frozenset({"early_callback"})
