"""Ask the providers about our accounts: how many jobs one may have in flight, and how much money is left."""

import logging
from datetime import timedelta
from typing import Final

from db.records import lanes
from domain.errors import KeyRefused, OutOfMoney, ProviderError
from domain.money import show
from domain.retry import closing_reason, closure
from pipeline.resources import Resources
from providers.contract import AccountInfo

log = logging.getLogger(__name__)

#: How the reason begins of a lane that is closed for lack of money, whoever found out.
_OUT_OF_MONEY: Final = "out_of_money"
#: The next look comes sooner and says the same, or that the wallet was filled.
_EMPTY: Final = timedelta(minutes=5)


def refresh_account(resources: Resources, lane_name: str) -> bool:
    """Ask about the account of one lane, unless somebody has just done it; whether it said anything.

    The jobs it allows become the lane's, a person's lower number excepted. An empty wallet closes the lane; one that
    was filled since opens it, if it was closed for that.
    """
    lane = resources.lanes.get(lane_name)
    if lane is None:
        return False
    with resources.database.transaction() as connection:
        if not lanes.claim_account(connection, lane_name, every=resources.timing.account):
            return False
    try:
        said = lane.account()
    except ProviderError as failure:
        _silent(resources, lane_name, failure)
        return False
    if said is None:
        return False
    _note(resources, lane_name, said)
    return True


def _silent(resources: Resources, lane_name: str, failure: ProviderError) -> None:
    """Nothing is known; only what concerns key and wallet closes the lane, as it would at the next submission."""
    log.info("the account of lane %s could not be asked about: %s", lane_name, failure)
    closing = closure(failure) if isinstance(failure, KeyRefused | OutOfMoney) else None
    with resources.database.transaction() as connection:
        lanes.note_error(connection, lane_name, failure)
        if closing is not None:
            lanes.close(connection, lane_name, reason=closing_reason(failure), wait=closing)


def _note(resources: Resources, lane_name: str, said: AccountInfo) -> None:
    with resources.database.transaction() as connection:
        before = lanes.note_account(
            connection, lane_name, balance_usd=said.balance_usd, held_usd=said.held_usd, jobs=said.most_jobs
        )
        if said.balance_usd is None:
            return
        if said.balance_usd <= 0:
            reason = f"{_OUT_OF_MONEY}: {_left(said)}"
            log.warning("lane %s is closed: %s", lane_name, reason)
            lanes.close(connection, lane_name, reason=reason, wait=_EMPTY)
        elif before is not None and said.balance_usd > before:
            lanes.reopen_if_closed_for(connection, lane_name, _OUT_OF_MONEY)


def _left(said: AccountInfo) -> str:
    aside = f", with {show(said.held_usd)} USD set aside for running jobs" if said.held_usd else ""
    return f"the account has {show(said.balance_usd)} USD left{aside}"
