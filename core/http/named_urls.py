"""URLs in headers that a browser sends, such as that of the page with the form."""

from urllib.parse import SplitResult, urlsplit


def split_url(text: str) -> SplitResult:
    """Return the parts of a URL; empty parts if the text is not a valid URL, such as "http://[::1"."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")
