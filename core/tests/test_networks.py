"""Only public addresses count as public: every entry of IANA's registries, at both of its ends."""

from ipaddress import ip_address, ip_network

import pytest

from core.http.networks import is_public

# Every network of the two registries, as listed by IANA.
IPV4 = """0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24
192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
203.0.113.0/24 240.0.0.0/4 255.255.255.255/32"""
IPV6 = """::1/128 ::/128 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128
2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10"""
MULTICAST = "224.0.0.0/4 ff00::/8"
PUBLIC = ["93.184.215.14", "1.1.1.1", "192.0.1.1", "100.128.0.1", "172.32.0.1", "223.255.255.254", "198.20.0.1"]


def ends(network: str) -> list[str]:
    known = ip_network(network)
    return [str(known[0]), str(known[-1])]


def wrapped(ipv4: str) -> list[str]:
    """Return the forms of an IPv4 address in IPv6: mapped, NAT64, 6to4."""
    number = int(ip_address(ipv4))
    return [
        f"::ffff:{ipv4}",
        str(ip_address(0x64FF9B << 96 | number)),
        str(ip_address(0x2002 << 112 | number << 80 | 1)),
    ]


@pytest.mark.parametrize("network", f"{IPV4} {IPV6} {MULTICAST}".split())
def test_no_special_purpose_network_is_public(network):
    assert [address for address in ends(network) if is_public(address)] == []


@pytest.mark.parametrize("network", f"{IPV4} 224.0.0.0/4".split())
def test_no_special_purpose_network_is_public_inside_ipv6(network):
    assert [address for end in ends(network) for address in wrapped(end) if is_public(address)] == []


@pytest.mark.parametrize("address", [*PUBLIC, *(form for address in PUBLIC for form in wrapped(address))])
def test_the_neighbours_of_special_networks_are_public_in_every_spelling(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("2001:200::1", True),
        ("2001:4860:4860::8888", True),
        ("2a00:1450::1", True),
        ("fec0::1", False),
        ("3ffe::1", False),
        ("4000::1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_ipv6_is_public_only_where_it_is_assigned_to_hosts(address, public):
    assert is_public(address) is public
