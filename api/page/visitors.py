"""Who looks at the page: the session behind a cookie, and for forms the token that proves that they are ours."""

from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import Depends, Request

from api.callers import COOKIE, Caller, resources_of
from domain.access import Scope
from domain.errors import BadInput, RequestError
from pipeline.operator import keys

_FIELD: Final = "form_token"
#: A script of ours sends it in a header, where a form has it in a field.
_HEADER: Final = "X-Form-Token"


class SignInRequired(RequestError):
    """Nobody is signed in; the page asks for a key."""


class ForeignForm(RequestError):
    """A form that this page did not make."""


def visitor(request: Request) -> Caller:
    """Whoever is signed in.

    Raises:
        SignInRequired: nobody.
    """
    cookie = request.cookies.get(COOKIE)
    found = keys.session(resources_of(request), cookie) if cookie else None
    if found is None:
        raise SignInRequired("sign in with a key")
    return Caller(key=found[0], form_token=found[1])


Visitor = Annotated[Caller, Depends(visitor)]


class Fields:
    """The fields of a form, each once; what is not there is an empty text."""

    def __init__(self, body: bytes) -> None:
        try:
            self._fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
        except ValueError:
            raise BadInput("the form cannot be read") from None

    def __getitem__(self, name: str) -> str:
        return self._fields.get(name, [""])[0].strip()

    def every(self, name: str) -> list[str]:
        return self._fields.get(name, [])


def fields_of(request: Request) -> Fields:
    kind = request.headers.get("content-type", "")
    return Fields(request.state.body if kind.startswith("application/x-www-form-urlencoded") else b"")


Form = Annotated[Fields, Depends(fields_of)]


def signed(request: Request, caller: Visitor, form: Form) -> Caller:
    """Whoever is signed in and sent a form of ours.

    Raises:
        SignInRequired: nobody.
        ForeignForm: the form's token is not the session's, or another site sent it.
    """
    given = request.headers.get(_HEADER) or form[_FIELD]
    same_site = request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    if not same_site or caller.form_token is None or not keys.same(given, caller.form_token):
        raise ForeignForm("this form was not made by this page, or is older than your sign-in; load the page again")
    caller.require(Scope.GENERATE)
    return caller


Signed = Annotated[Caller, Depends(signed)]
