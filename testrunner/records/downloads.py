"""HTTP responses with a run's log (by range) and JUnit report, for REST and the admin."""

from __future__ import annotations

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from core.http.problem import problem_response
from testrunner.models import TestRun
from testrunner.records import log_store

# The content is written by tests, so it is served as plain text and must never be rendered as a page of ours.
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


def log_response(run: TestRun, wanted: str) -> HttpResponseBase:
    """Return the log so far, or the part that a Range header (`wanted`) names: RFC 9110, section 14."""
    try:
        span = log_store.parse_range(wanted, run.log_size)
    except log_store.Unsatisfiable:
        return _unsatisfiable(run.log_size)
    whole = span is None
    span = span or range(0, run.log_size)
    response = StreamingHttpResponse(
        log_store.read(run.pk, span),
        status=200 if whole else 206,
        content_type="text/plain; charset=utf-8",
        headers={
            **SAFETY_HEADERS,
            "Accept-Ranges": "bytes",
            "Content-Length": str(span.stop - span.start),
            "Content-Disposition": f'inline; filename="run-{run.pk}.log"',
        },
    )
    if not whole:
        response["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{run.log_size}"
    return response


def junit_response(run: TestRun) -> HttpResponse:
    """Return the JUnit report. Raises Http404 if it does not exist (yet)."""
    if not run.junit_xml:
        raise Http404
    return HttpResponse(
        run.junit_xml,
        content_type="application/xml; charset=utf-8",
        headers={**SAFETY_HEADERS, "Content-Disposition": f'attachment; filename="run-{run.pk}.xml"'},
    )


def _unsatisfiable(size: int) -> HttpResponse:
    return problem_response(416, f"The log has {size:,} bytes so far.", headers={"Content-Range": f"bytes */{size}"})
