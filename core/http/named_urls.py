"""Addresses that a browser names in a header, such as the page that a form is on."""

from urllib.parse import SplitResult, urlsplit


def split_url(text: str) -> SplitResult:
    """Return the parts of an address, or of an empty one where the text is not an address, such as "http://[::1"."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
