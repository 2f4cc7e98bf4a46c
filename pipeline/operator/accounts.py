"""Ask the providers about our accounts: the job limit and the remaining balance."""

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

#: Prefix of the reason of a lane that is closed for lack of money.
_OUT_OF_MONEY: Final = "out_of_money"
#: Longer than the interval of account requests, so that the next one extends the closure or ends it.
_EMPTY: Final = timedelta(minutes=5)


def refresh_account(resources: Resources, lane_name: str) -> bool:
    """Request the account of one lane, unless that was done just now; returns whether the provider answered.

    Its job limit becomes the lane's concurrency, unless a user set a lower one. An empty balance closes the lane; a
    refilled one reopens it, if it was closed for that.
    """
    lane = resources.lanes.get(lane_name)
    if lane is None:
        return False
    with resources.database.transaction() as connection:
        if not lanes.claim_account(connection, lane_name, every=resources.timing.account):
            return False
    try:
        account = lane.account()
    except ProviderError as failure:
        _silent(resources, lane_name, failure)
        return False
    if account is None:
        return False
    _note(resources, lane_name, account)
    return True


def _silent(resources: Resources, lane_name: str, failure: ProviderError) -> None:
    """Handle a failed request: only a refused key or an empty balance closes the lane, as it would at a submission."""
    log.info("the account of lane %s could not be asked about: %s", lane_name, failure)
    closing = closure(failure) if isinstance(failure, KeyRefused | OutOfMoney) else None
    with resources.database.transaction() as connection:
        lanes.note_error(connection, lane_name, failure)
        if closing is not None:
            lanes.close(connection, lane_name, reason=closing_reason(failure), wait=closing)


def _note(resources: Resources, lane_name: str, account: AccountInfo) -> None:
    with resources.database.transaction() as connection:
        before = lanes.note_account(
            connection, lane_name, balance_usd=account.balance_usd, held_usd=account.held_usd, jobs=account.most_jobs
        )
        if account.balance_usd is None:
            return
        if account.balance_usd <= 0:
            reason = f"{_OUT_OF_MONEY}: {_left(account)}"
            log.warning("lane %s is closed: %s", lane_name, reason)
            lanes.close(connection, lane_name, reason=reason, wait=_EMPTY)
        elif before is not None and account.balance_usd > before:
            lanes.reopen_if_closed_for(connection, lane_name, _OUT_OF_MONEY)


def _left(account: AccountInfo) -> str:
    aside = f", with {show(account.held_usd)} USD set aside for running jobs" if account.held_usd else ""
    return f"the account has {show(account.balance_usd)} USD left{aside}"
