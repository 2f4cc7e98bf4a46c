"""Whose processes the servers are: PostgreSQL refuses to run as root, and a Redis as root is no better.

A root user gets an unprivileged account for both. Folders above the data are never opened for it; what it cannot
reach is put where it can (`layout.py`).
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from runtime.embedded.errors import ServersUnavailable

# In this order. `nobody` is shared with other services of the machine, so an account made for PostgreSQL goes first.
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    uid: int
    gid: int

    def owns(self, entry: Path | int) -> None:
        """Make this account the owner of `entry`, a path or a descriptor; of nothing below it, and of no link's end."""
        if isinstance(entry, int):
            os.fchown(entry, self.uid, self.gid)
        else:
            os.chown(entry, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, path: Path, mode: int) -> bool:
        """Whether this account itself may use `path` by `mode` (os.R_OK, os.X_OK).

        Asked of the kernel by a child that becomes the account, since modes alone do not tell (access lists).
        Call it only from a process without threads.
        """
        pid = os.fork()
        if pid == 0:
            allowed = False
            try:
                os.setgroups([])
                os.setgid(self.gid)
                os.setuid(self.uid)
                allowed = os.access(path, mode)
            finally:
                os._exit(0 if allowed else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def account_for(data: Path) -> Account | None:
    """The account the servers must run as; None when the caller's own will do, that is, unless it is root.

    Raises:
        ServersUnavailable: root, and neither `postgres` nor `nobody` exists here.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise ServersUnavailable(
        "PostgreSQL does not run as root, and this machine has no account 'postgres' or 'nobody' to run it as",
        advice="Run as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own.",
    )
