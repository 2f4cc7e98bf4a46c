"""The table from httpx2's exceptions to what they prove: complete, ordered, and never too sure."""

import inspect

import httpcore2
import httpx2
import pytest

from domain.errors import MaybeSent, NotSent, ProviderDown, ReplyUnreadable
from providers.transport.deadline import AddressRefused, CallTime
from providers.transport.http import FAILURES, Sent, our_errors


def exceptions_of(module: object) -> set[type[Exception]]:
    return {
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    }


def made(kind: type[Exception]) -> Exception:
    if kind is httpx2.HTTPStatusError:
        request = httpx2.Request("POST", "http://service")
        return httpx2.HTTPStatusError("", request=request, response=httpx2.Response(500, request=request))
    takes_text = "message" in inspect.signature(kind.__init__).parameters
    return kind("") if takes_text or kind is AddressRefused else kind()


def translated(failure: Exception, *, wrote: bool, repeatable: bool = False) -> Exception:
    call_time = CallTime(connect_by=0, end_by=0, wrote=wrote)
    with pytest.raises(Exception) as caught, our_errors("POST /x", call_time, repeatable=repeatable):  # noqa: PT011 - its class is what is asked
        raise failure
    return caught.value


def test_every_exception_of_httpx2_is_in_the_table() -> None:
    assert exceptions_of(httpx2) == {kind for kind, _, _ in FAILURES} - {AddressRefused}


def test_every_exception_of_the_transport_has_its_namesake() -> None:
    internal = {httpcore2.ConnectionNotAvailable}  # caught by the pool itself
    assert {kind.__name__ for kind in exceptions_of(httpcore2) - internal} <= {kind.__name__ for kind, _, _ in FAILURES}


def test_the_most_specific_comes_first() -> None:
    kinds = [kind for kind, _, _ in FAILURES]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[index + 1 :]), kind


def test_only_what_ends_before_the_first_byte_is_called_not_sent() -> None:
    assert {kind for kind, sent, _ in FAILURES if sent is Sent.NO} == {
        httpx2.PoolTimeout,
        httpx2.ConnectTimeout,
        httpx2.ConnectError,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
        httpx2.InvalidURL,
        AddressRefused,
    }


@pytest.mark.parametrize(("kind", "sent"), [(kind, sent) for kind, sent, _ in FAILURES])
def test_a_submission_is_not_sent_or_in_doubt(kind: type[Exception], sent: Sent) -> None:
    expected = NotSent if sent is Sent.NO else MaybeSent
    assert type(translated(made(kind), wrote=False)) is expected


@pytest.mark.parametrize("kind", [kind for kind, _, _ in FAILURES])
def test_a_byte_that_was_written_outweighs_the_table(kind: type[Exception]) -> None:
    assert type(translated(made(kind), wrote=True)) is MaybeSent


@pytest.mark.parametrize("kind", [kind for kind, _, _ in FAILURES])
def test_what_may_be_repeated_is_never_in_doubt(kind: type[Exception]) -> None:
    expected = ReplyUnreadable if kind is httpx2.DecodingError else ProviderDown
    assert type(translated(made(kind), wrote=True, repeatable=True)) is expected


def test_the_library_s_own_words_are_not_shown() -> None:
    failure = translated(httpx2.LocalProtocolError("Illegal header value b'sk-secret'"), wrote=False)
    assert "secret" not in str(failure)


@pytest.mark.parametrize("foreign", [KeyboardInterrupt, RuntimeError])
def test_what_is_not_in_the_table_passes_through(foreign: type[BaseException]) -> None:
    call_time = CallTime(connect_by=0, end_by=0)
    with pytest.raises(foreign), our_errors("POST /x", call_time, repeatable=False):
        raise foreign
