"""Cases about source code, imports and support files."""

from testrunner.tests.agreement.case import Case

HELPERS = "def double(n): return 2 * n\n"
USES = "from helpers import double\ndef test_it(): assert double(2) == 4\ndef test_bad(): assert double(2) == 5\n"

CASES = [
    Case("syntax error", "def test_it(:\n    pass\n"),
    Case("syntax error beside a good file", {
        "test_a.py": "def test_it(:\n    pass\n", "test_b.py": "def test_it(): pass\n",
    }),
    Case("import error", "import no_such_module_at_all\ndef test_it(): pass\n"),
    Case("error while importing", "raise RuntimeError('at import')\n"),
    Case("assertion while importing", "assert 1 == 2\n"),
    Case("fixture called directly", """
        import pytest
        @pytest.fixture
        def value(): return 1
        def test_it(): value()
    """),
    Case("unknown mark and bad parametrize", """
        import pytest
        @pytest.mark.parametrize("a,b", [(1,)])
        def test_it(a, b): pass
    """),
    Case("class that cannot be collected", """
        import pytest
        class TestIt:
            @pytest.mark.parametrize("x", 5)
            def test_it(self, x): pass
        def test_other(): pass
    """),
    Case("latin-1 source", {
        "test_it.py": "# -*- coding: latin-1 -*-\ndef test_it(): assert 'é' == '\\xe9'\n".encode("latin-1"),
    }),
    Case("latin-1 source without a cookie", {"test_it.py": "def test_it(): assert 'é'\n".encode("latin-1")}),
    Case("byte order mark", {"test_it.py": b"\xef\xbb\xbfdef test_it(): pass\n"}),
    Case("CRLF", {"test_it.py": b"def test_it():\r\n    text = '''a\r\nb'''\r\n    assert text == 'a\\nb'\r\n"}),
    Case("form feeds and tabs", {"test_it.py": b"\x0cdef test_a():\n\tassert 1\n\x0c\ndef test_b():\n\tassert 0\n"}),
    Case("NUL in the source", {"test_it.py": b"def test_it(): pass\n\0"}),
    Case("no tests", "x = 1\n"),
    Case("empty file", ""),
    Case("no tests beside some", {"test_a.py": "x = 1\n", "test_b.py": "def test_it(): pass\n"}),
    Case("helpers beside the test", {"helpers.py": HELPERS, "test_it.py": USES}),
    Case("helpers beside a test in a folder", {"deep/down/helpers.py": HELPERS, "deep/down/test_it.py": USES}),
    Case("package with a relative import", {
        "pkg/__init__.py": "", "pkg/helpers.py": HELPERS, "pkg/test_it.py": USES.replace("helpers", ".helpers", 1),
    }),
    Case("package with an empty conftest and an absolute import", {
        "pkg/__init__.py": "", "pkg/conftest.py": "", "pkg/helpers.py": HELPERS,
        "pkg/test_it.py": USES.replace("helpers", "pkg.helpers", 1),
    }),
    Case("import from the working directory", {
        "tools/__init__.py": "", "tools/helpers.py": HELPERS, "test_it.py": USES.replace("helpers", "tools.helpers", 1),
    }),
    Case("conftest above and beside", {
        "conftest.py": "import pytest\n@pytest.fixture\ndef number(): return 1\n",
        "deep/conftest.py": "import pytest\n@pytest.fixture\ndef number(number): return number + 1\n",
        "deep/test_it.py": "def test_it(number): assert number == 2\ndef test_bad(number): assert number == 1\n",
        "test_top.py": "def test_it(number): assert number == 1\n",
    }),
    Case("conftest that breaks", {"conftest.py": "import no_such_module\n", "test_it.py": "def test_it(): pass\n"}),
    Case("data beside the test", {
        "test_it.py": """
            import json, pathlib
            def test_it():
                assert json.loads((pathlib.Path(__file__).parent / "data.json").read_text()) == {"a": 1}
            def test_missing():
                assert pathlib.Path(__file__).with_name("none.json").exists()
        """,
        "data.json": '{"a": 1}',
    }),
    Case("same file name in two folders", {
        "one/test_same.py": "def test_it(): pass\n", "two/test_same.py": "def test_it(): pass\n",
    }),
    Case("same file name in two packages", {
        "one/__init__.py": "", "one/test_same.py": "def test_it(): pass\n",
        "two/__init__.py": "", "two/test_same.py": "def test_it(): assert 0\n",
    }),
    Case("module under its own name", """
        import pickle, sys
        class Thing: pass
        def test_it():
            assert sys.modules[__name__].Thing is Thing
            assert isinstance(pickle.loads(pickle.dumps(Thing())), Thing)
    """),
    Case("tests from a base class elsewhere", {
        "base.py": "class Base:\n    expected = 1\n    def test_it(self): assert self.expected == 1\n",
        "test_it.py": "from base import Base\nclass TestA(Base): pass\nclass TestB(Base): expected = 2\n",
    }),
    Case("local plugin", {
        "conftest.py": "pytest_plugins = ['my_fixtures']\n",
        "my_fixtures.py": "import pytest\n@pytest.fixture\ndef word(): return 'hi'\n",
        "test_it.py": "def test_it(word): assert word == 'hi'\n",
    }),
    Case("built-in fixtures", """
        import logging, os, warnings
        def test_capsys(capsys):
            print("hello")
            assert capsys.readouterr().out == "hello\\n"
        def test_capfd(capfd):
            os.system("echo hello")
            assert capfd.readouterr().out == "hello\\n"
        def test_caplog(caplog):
            logging.getLogger().info("not seen")
            logging.getLogger().warning("seen")
            assert caplog.messages == ["seen"]
        def test_caplog_level(caplog):
            with caplog.at_level(logging.DEBUG):
                logging.getLogger("x").debug("seen")
            assert caplog.messages == ["seen"]
        def test_no_level():
            assert not logging.getLogger().isEnabledFor(logging.INFO)
        def test_tmp_path(tmp_path):
            (tmp_path / "x").write_text("x")
        def test_cache(cache):
            cache.set("a/b", 1)
            assert cache.get("a/b", None) == 1
        def test_recwarn(recwarn):
            warnings.warn("x")
            assert len(recwarn) == 1
        def test_record(record_property, record_xml_attribute):
            record_property("key", "value")
        def test_rootpath(pytestconfig):
            assert pytestconfig.rootpath.joinpath("uploads").is_dir()
        def test_request(request):
            assert request.node.nodeid.endswith("test_it.py::test_request")
        def test_monkeypatch(monkeypatch):
            monkeypatch.setenv("X", "1")
            assert os.environ["X"] == "1"
        def test_argv():
            import sys
            assert sys.argv[0].endswith("__main__.py")
    """),
]  # fmt: skip
