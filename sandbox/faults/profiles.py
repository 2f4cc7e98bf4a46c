"""Named combinations of faults: `POST /_sandbox/faults {"profile": "chaos", "rate": 0.1, "seed": 7}` arms them all.

A profile decides which faults are combined and how often; `sandbox.faults.armed` applies them.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from sandbox.faults.kinds import AT_THE_END, AT_THE_REPLY, AT_THE_START, KINDS, UNPREDICTABLE, WIRES, Where
from sandbox.web import BadRequest

NAMES = ("chaos",)
USUAL_RATE = 0.1

# Messages that the services really use, by kind, call and provider; the first match counts. Faults with an argument
# that are not listed use their default.
ARGUMENTS: Mapping[tuple[str, str, str], Sequence[str]] = {
    ("status", "submit", "ttapi"): ("401", "402", "429", "499", "500", "503_after"),
    ("status", "submit", "replicate"): ("401", "402", "429", "500", "502_after"),
    ("status", "submit", "openai"): ("401", "403", "429", "500", "503_after"),
    ("status", "fetch", ""): ("429", "500"),
    ("status", "list", ""): ("429", "503"),
    ("status", "picture", ""): ("403", "503"),
    ("status", "cancel", ""): ("429", "500"),
    ("status", "account", ""): ("401", "429", "500"),
    ("status", "model", ""): ("429", "500"),
    ("status", "secret", ""): ("429", "503"),
    ("status", "check", ""): ("429", "500"),
    ("status", "upload", ""): ("429", "503"),
    ("status", "reference", ""): ("403", "503"),
    ("throttled", "submit", "replicate"): ("plain", "old", "low_credit", "no_payment"),
    ("throttled", "submit", "openai"): ("plain", "quota", "no_credits", "hard_limit"),
    ("refused", "submit", "ttapi"): ("[Banned prompt detected] failed: not this one",),
    ("refused", "submit", "replicate"): ("input is not what this model takes",),
    ("refused", "submit", "openai"): ("Your request was rejected by the safety system. safety_violations=[violence].",),
    ("failed_body", "submit", "ttapi"): ("[Internal Error] try again", "[Banned prompt detected] failed: not this one"),
    ("failed_body", "submit", "replicate"): ("Prediction interrupted (E001)", "The input was flagged (E005)"),
    ("failed_body", "submit", "openai"): ("Your request was rejected by the safety system. safety_violations=[gore].",),
    ("slow", "", ""): ("0.5",),
    ("delay", "", ""): ("0.5",),
    ("delay_before", "", ""): ("0.5",),
    ("late_callback", "", ""): ("1",),
}


def profile(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The faults of the profile that a request names, in order; raises `BadRequest`."""
    name, rate = fields["profile"], fields.get("rate", USUAL_RATE)
    if name not in NAMES:
        raise BadRequest(f"unknown profile {name!r}; known: {', '.join(NAMES)}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise BadRequest(f"the rate is a number from 0 to 1, not {rate!r}")
    return chaos(float(rate))


def chaos(rate: float) -> list[dict[str, Any]]:
    """Every fault of every wire: each call meets one with this probability, all kinds alike.

    A callback has three occasions: its delivery, overtaking the reply, and a forgery.
    """
    armed: list[dict[str, Any]] = []
    for where, providers in WIRES.items():
        for provider in sorted(providers):
            for kinds in (AT_THE_START, AT_THE_REPLY, AT_THE_END) if where == "callback" else (frozenset(KINDS),):
                armed += _evenly(_possible(where, provider, kinds), rate)
    return armed + _evenly(_possible("picture", "openai", frozenset(KINDS)), rate)


def _possible(where: Where, provider: str, kinds: frozenset[str]) -> list[dict[str, Any]]:
    found = []
    # One kind hits a submission before its body is read, and is rolled for before all others.
    for name in sorted(kinds - UNPREDICTABLE, key=lambda name: (name != "drop_before", name)):
        kind = KINDS[name]
        if provider not in kind.wires(where):
            continue
        wished = next(
            (ARGUMENTS[key] for key in product((name,), (where, ""), (provider, "")) if key in ARGUMENTS), None
        )
        whats = [f"{name}:{argument}" for argument in wished] if kind.argument and wished else [name]
        found += [{"where": where, "provider": provider, "what": what} for what in whats]
    return found


def _evenly(faults: Sequence[dict[str, Any]], rate: float) -> list[dict[str, Any]]:
    """Set the rates so that a call meets one of the faults with probability `rate`, each equally often.

    Faults are rolled for in turn until one fires, so later ones need a higher rate.
    """
    share = rate / len(faults) if faults else 0.0
    return [{**fault, "rate": share / (1 - number * share)} for number, fault in enumerate(faults)]
