"""The address of Redis in one spelling that Celery, redis-py and Flower all understand.

Each of them reads options of TLS from an address in its own way; what only some of them know is refused here, in one
sentence, before a worker starts.
"""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
OPTIONS: Final = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")
#: What people write, also as Celery spells it, and what redis-py understands.
_WORDS: Final = {
    "ssl_cert_reqs": {
        spelling: word for word in ("required", "optional", "none") for spelling in (word, f"cert_{word}")
    },
    "ssl_check_hostname": {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"},
}


def normal(address: str) -> str:
    """The same address; with TLS its options are spelt as redis-py spells them.

    Raises:
        ValueError: an option that one of the three would not understand, or a file that is not there; never repeats
            the address, since that may hold a password.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"redis", "rediss"} or not parts.query:
        return address
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "redis" and any(name in OPTIONS for name in options):
        raise ValueError("options of TLS (ssl_...) belong to an address that begins with rediss://")
    return parts._replace(
        query=urlencode({name: _checked(name, said) for name, said in options.items()}, safe="/")
    ).geturl()


def _checked(name: str, said: str) -> str:
    if name not in OPTIONS:
        raise ValueError(f"{name!r} is no option of an address of Redis here; known are {', '.join(OPTIONS)}")
    if name in _FILES:
        if not Path(said).is_file():
            raise ValueError(f"{name} names {said!r}, and there is no such file on this host")
        return said
    word = _WORDS[name].get(said.lower())
    if word is None:
        raise ValueError(f"{name} is {', '.join(sorted(set(_WORDS[name].values())))}, not {said!r}")
    return word
