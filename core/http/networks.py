"""Whether an IP address belongs to the public internet, by IANA's registries of special-purpose addresses.

The tables are written out, because `ipaddress.is_global` depends on the version of Python and calls some of these
networks global: 192.0.0.0/24 in some versions, 6to4 relays and anycast services in all of them. Networks that the
registries call globally reachable (AS112, AMT, PCP and TURN anycast, ORCHIDv2, DRIP) are listed as well: they contain
protocol infrastructure, and no server from which an image could be downloaded.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry/ and …/iana-ipv6-special-registry/.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

SPECIAL_IPV4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by the customers of a carrier
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local, where clouds keep the machine's credentials
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments: DS-Lite, PCP and TURN anycast, NAT64 discovery
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast, from a registry of its own
        "240.0.0.0/4",  # reserved, and limited broadcast
    )
]
GLOBAL_UNICAST = IPv6Network("2000::/3")  # everything else is special, reserved or not assigned
SPECIAL_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID, DRIP
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the former 6bone, returned to IANA
        "3fff::/20",  # documentation
    )
]
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last four bytes


def is_public(address: str) -> bool:
    """Return whether an IP address is public, also if it is an IPv4 address embedded in IPv6."""
    ip = _unwrapped(ip_address(address.partition("%")[0]))
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in SPECIAL_IPV4)
    return ip in GLOBAL_UNICAST and not any(ip in network for network in SPECIAL_IPV6)


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
