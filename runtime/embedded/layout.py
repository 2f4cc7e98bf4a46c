"""What lies where in a home, and who may read it.

`postgres/` and `redis/` belong to the servers. Where a root user's home cannot be reached by the account that the
servers run as (a home under /root), they are links to private folders under /var/lib/likeness.
"""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.embedded.account import Account
from runtime.embedded.errors import ServersUnavailable

SERVERS = ("postgres", "redis")
SHARED_PLACE = Path("/var/lib/likeness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one home; making this object touches no disk."""

    home: Path

    @property
    def start_lock(self) -> Path:
        """Held by whoever starts or ends the servers of this home."""
        return self.home / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user of the servers, for as long as it lives."""
        return self.home / "users.lock"

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper for life."""
        return self.home / "keeper.lock"

    def server_lock(self, name: str) -> Path:
        """Inherited by every process of the server `name`: held as long as one of them lives.

        Here and not beside the data: that folder belongs to the servers' account, and a root user opens nothing there
        that the account could have replaced by a link.
        """
        return self.home / f"{name}.lock"

    @property
    def state(self) -> Path:
        """Ports and process ids as JSON; exists only while the servers are ready."""
        return self.home / "servers.json"

    @property
    def ports(self) -> Path:
        """The ports of last time, so that a restart keeps the addresses that users hold."""
        return self.home / "ports.json"

    @property
    def password(self) -> Path:
        return self.home / "password"

    def data(self, name: str) -> Path:
        """The folder of the server `name`."""
        return self.home / name

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"


def make_home(home: Path) -> Layout:
    """Make `home` if needed, private to its owner, and return its layout.

    A home that exists keeps its mode. A root user's new home may be passed through (0711), not read, by others, so
    that the servers' account gets to its own folders.

    Raises:
        ServersUnavailable: the folder cannot be made or used.
    """
    layout = Layout(home=home.expanduser().resolve())
    try:
        if not layout.home.exists():
            layout.home.mkdir(parents=True, exist_ok=True)
            layout.home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        layout.log("keeper").parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ServersUnavailable(f"the folder {str(layout.home)!r} cannot be used: {error.strerror}") from error
    if not os.access(layout.home, os.R_OK | os.W_OK | os.X_OK):
        raise ServersUnavailable(f"the folder {str(layout.home)!r} cannot be used: Permission denied")
    return layout


def settle_data(layout: Layout, name: str, *, account: Account | None) -> Path:
    """The real folder of the server `name`, made if needed, private to `account`.

    Raises:
        ServersUnavailable: the folder was moved away, or no reachable place can be made.
    """
    data = layout.data(name)
    if data.is_symlink() and not data.exists():
        raise ServersUnavailable(
            f"the data of {name} is gone: {str(data)!r} leads to {str(data.readlink())!r}, which does not exist",
            advice="Bring it back, or remove the link to start with empty books.",
        )
    if not data.exists():
        if account is None or account.reaches(layout.home, os.X_OK):
            data.mkdir(mode=0o700)
        else:
            _make_elsewhere(data)
    real = data.resolve()
    if account is not None and real.stat().st_uid == 0:
        account.owns(real)
    return real


def shared_place() -> Path:
    """A root-owned folder that any account may pass through and none may list.

    Raises:
        ServersUnavailable: it cannot be made.
    """
    try:
        SHARED_PLACE.mkdir(parents=True, exist_ok=True)
        SHARED_PLACE.chmod(0o711)
    except OSError as error:
        raise ServersUnavailable(
            f"no place for the servers that an unprivileged account can reach: {str(SHARED_PLACE)!r}, {error.strerror}",
            advice="Set LIKENESS_HOME to a new folder that is not below a private one, or run as an ordinary user.",
        ) from error
    return SHARED_PLACE


def read_password(layout: Layout) -> str | None:
    try:
        return layout.password.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None


def write_privately(path: Path, text: str) -> None:
    """Put `text` at `path`, readable by its owner alone, whole or not at all."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _make_elsewhere(data: Path) -> None:
    # A random name, not one derived from the home: a home that was removed and made again starts empty.
    real = shared_place() / f"{data.name}-{secrets.token_hex(6)}"
    real.mkdir(mode=0o700)
    data.symlink_to(real)
