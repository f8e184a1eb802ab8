"""The allow-list of clients."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.http.trust import LOOPBACK, TrustedHosts, TrustError, network, plain_peer


@pytest.mark.parametrize(
    ("entries", "peer", "allowed"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.0.0.0/8,192.0.2.0/24"], "192.0.2.9", True),
        (["10.0.0.0/8", " 192.0.2.0/24 "], "192.0.2.9", True),
        (["0.0.0.0/0"], "203.0.113.1", True),
        (["0.0.0.0/0"], "::1", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "203.0.113.1", False),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        # mapped addresses, on either side
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:11.1.2.3", False),
        (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", True),
        (["::ffff:192.0.2.1"], "192.0.2.1", True),
        (["::ffff:0:0/96"], "203.0.113.1", True),
        (["::/0"], "::ffff:203.0.113.1", False),
        # what is no address is nobody
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "localhost", False),
        ([], "127.0.0.1", False),
        ([","], "127.0.0.1", False),
    ],
)
def test_allows(entries: list[str], peer: str, allowed: bool) -> None:
    assert TrustedHosts.parse(entries).allows(peer) is allowed


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8 for the block, or 10.0.0.1 for that one host"),
        ("2001:db8::1/32", "write 2001:db8::/32 for the block, or 2001:db8::1 for that one host"),
        ("0.0.0.1/0", "write 0.0.0.0/0 for the block"),
        ("localhost", "neither an IP address nor a CIDR block"),
        ("127.1", "neither"),
        ("010.0.0.1", "neither"),
        ("10.0.0.0/8/8", "prefix length"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("::/129", "from 0 to 128"),
        ("10.0.0.0/", "prefix length"),
        ("10.0.0.0/-1", "prefix length"),
        ("10.0.0.0/255.0.0.0", "prefix length"),
        ("10.0.0.0/٨", "prefix length"),
        ("10.0.0.0/" + "9" * 5000, "prefix length"),
        ("/8", "neither"),
        ("fe80::1%eth0", "scope"),
    ],
)
def test_errors(entry: str, part: str) -> None:
    with pytest.raises(TrustError) as failure:
        TrustedHosts.parse(["127.0.0.1", entry])
    assert part in str(failure.value)


@pytest.mark.parametrize(
    ("peer", "allowed"), [("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("::2", False)]
)
def test_default(peer: str, allowed: bool) -> None:
    assert LOOPBACK.allows(peer) is allowed


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::ffff:1", "2001:db8::ffff:1"),
        ("fe80::1%eth0.1", "fe80::1%eth0.1"),
    ],
)
def test_plain_peer(peer: str, shown: str) -> None:
    assert plain_peer(peer) == shown


def test_text() -> None:
    assert str(TrustedHosts.parse(["10.0.0.0/8,::1", "::ffff:192.0.2.1,::1"])) == "10.0.0.0/8, ::1, 192.0.2.1"


@pytest.mark.slow
@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_agrees_with_arithmetic(
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    length = min(length, base.max_prefixlen)
    shift = base.max_prefixlen - length
    block = type(base)(int(base) >> shift << shift)
    hosts = TrustedHosts.parse([f"{block}/{length}"])
    assert hosts.allows(str(base)) or getattr(base, "ipv4_mapped", None)
    if base.version == peer.version and getattr(peer, "ipv4_mapped", None) is None:
        assert hosts.allows(str(peer)) == (int(peer) >> shift == int(base) >> shift)


@given(st.text(max_size=40))
def test_any_text_is_a_block_or_an_error(text: str) -> None:
    with contextlib.suppress(TrustError):
        assert not TrustedHosts.parse([text]).allows("somebody")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_network(peer: str, expected: str) -> None:
    assert network(peer) == expected
