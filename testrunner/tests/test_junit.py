"""The JUnit document stays well-formed, whatever the secrets of its environment are."""

from xml.etree import ElementTree

import pytest

from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.junit import redacted

DOCUMENT = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" tests="2">
<testcase classname="test_login" name="test_it[hunter2]" time="0.1" hunter2="x"><failure message="hunter2&#10;two">a
&lt;hunter2&gt; <![CDATA[hunter2 & more]]></failure></testcase><testcase name="b"/></testsuite></testsuites>"""


@pytest.mark.parametrize(
    "secret", ["test", "testcase", "name", "failure", "testsuites", "pytest tests", "utf-8", "quot"]
)
def test_a_secret_that_is_a_word_of_the_document_leaves_it_well_formed(secret: str):
    document = ElementTree.fromstring(redacted(DOCUMENT.encode(), Redactor([secret])))

    assert [element.tag for element in document.iter()] == [
        "testsuites", "testsuite", "testcase", "failure", "testcase",
    ]  # fmt: skip
    values = [*document.itertext(), *(value for element in document.iter() for value in element.attrib.values())]
    assert not any(secret in value for value in values)


def test_values_and_texts_are_masked_and_all_else_stays():
    document = ElementTree.fromstring(redacted(DOCUMENT.encode(), Redactor(["hunter2"])))

    case = document.find(".//testcase")
    assert case.attrib == {"classname": "test_login", "name": "test_it[***]", "time": "0.1"}
    failure = case.find("failure")
    assert (failure.get("message"), failure.text) == ("***\ntwo", "a\n<***> *** & more")


def test_what_is_not_a_document_becomes_nothing():
    assert redacted(b"", Redactor(["hunter2"])) == redacted(b"<a/>", Redactor([])) == ""
