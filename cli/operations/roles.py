"""The roles of the long-running processes, as commands name them."""

from enum import StrEnum


class Role(StrEnum):
    """Kinds of worker; each scales independently."""

    IO = "io"
    IO_SYNC = "io-sync"
    GPU = "gpu"
    BEAT = "beat"
    API = "api"
    FLOWER = "flower"
