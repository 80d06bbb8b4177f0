"""Names of URL patterns are unique; otherwise a redirect by name could lead to itself."""

from collections import defaultdict

from django.urls import URLPattern, URLResolver, get_resolver

Names = dict[tuple[str, ...], set[str]]


def patterns_by_name(resolver: URLResolver, above: str = "", namespace: tuple[str, ...] = ()) -> Names:
    """Return the URL patterns by name, including the namespaces."""
    found: Names = defaultdict(set)
    for pattern in resolver.url_patterns:
        address = f"{above}{pattern.pattern}"
        if isinstance(pattern, URLPattern):
            if pattern.name:
                found[*namespace, pattern.name].add(address)
        else:
            inner = (*namespace, pattern.namespace) if pattern.namespace else namespace
            for name, addresses in patterns_by_name(pattern, address, inner).items():
                found[name] |= addresses
    return found


def test_no_two_patterns_share_a_name():
    found = patterns_by_name(get_resolver())

    assert len(found) > 100
    assert {name: sorted(addresses) for name, addresses in found.items() if len(addresses) > 1} == {}
