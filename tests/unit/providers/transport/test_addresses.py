"""Which addresses are public, which are ordinary local ones, and which are neither."""

import ipaddress

import pytest

from providers.transport.fetch import is_local, is_public


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_public_ones(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert not is_local(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.17.0.2",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ],
)
def test_local_ones(address: str) -> None:
    assert is_local(ipaddress.ip_address(address))
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
    ],
)
def test_those_that_are_never_fetched_from(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not is_local(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"])
def test_tunnels_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
