"""Cases about outcomes of tests. Each case is a set of files that bare pytest and Opsroom run in the same folder."""

from testrunner.tests.agreement.case import Case

CASES = [
    Case("passes", """
        def test_it():
            assert 1 + 1 == 2
    """),
    Case("fails with a message", """
        def test_it():
            assert 1 == 2, "one is not two"
    """),
    Case("large difference", """
        def test_it():
            assert {f"key {n}": n for n in range(300)} == {f"key {n}": n + n % 2 for n in range(300)}
    """),
    Case("long strings differ", """
        def test_it():
            assert "a" * 5000 + "b" + "c" * 5000 == "a" * 5000 + "B" + "c" * 5000
    """),
    Case("unittest subTest", """
        import unittest
        class T(unittest.TestCase):
            def test_some(self):
                for i in range(4):
                    with self.subTest("odd ones", i=i):
                        self.assertEqual(i % 2, 0)
            def test_none(self):
                with self.subTest(i=1):
                    pass
            def test_error(self):
                with self.subTest():
                    raise KeyError("x")
            def test_skip(self):
                with self.subTest(i=1):
                    self.skipTest("not today")
    """, subtests=True),
    Case("unittest subTest and a failure after it", """
        import unittest
        class T(unittest.TestCase):
            def test_it(self):
                with self.subTest(i=1):
                    self.fail("first")
                self.fail("second")
    """, subtests=True),
    Case("pytest subtests", """
        import pytest
        def test_it(subtests):
            for i in range(3):
                with subtests.test("number", i=i):
                    assert i != 1
        def test_skips(subtests):
            with subtests.test("skipped"):
                pytest.skip("no")
        def test_passes(subtests):
            with subtests.test():
                pass
        def test_expected(subtests):
            with subtests.test("x"):
                pytest.xfail("known")
    """, subtests=True),
    Case("module skipped", """
        import pytest
        pytest.skip("not on this machine", allow_module_level=True)
        def test_it():
            pass
    """),
    Case("module skipped beside another", {
        "test_a.py": """
            import pytest
            pytest.importorskip("no_such_module_at_all")
            def test_it():
                pass
        """,
        "test_b.py": "def test_it(): pass\n",
    }),
    Case("module of skipped tests", """
        import pytest
        pytestmark = pytest.mark.skip(reason="all of them")
        def test_a(): pass
        def test_b(): pass
    """),
    Case("unittest skips", """
        import unittest
        @unittest.skip("class")
        class A(unittest.TestCase):
            def test_a(self): pass
        class B(unittest.TestCase):
            @unittest.skipIf(True, "method")
            def test_b(self): pass
            def test_c(self):
                self.skipTest("inside")
            def setUp(self):
                if self._testMethodName == "test_d":
                    raise unittest.SkipTest("set-up")
            def test_d(self): pass
    """),
    Case("skip, xfail, xpass, strict", """
        import pytest
        @pytest.mark.skip
        def test_skip(): pass
        def test_skip_inside(): pytest.skip("inside")
        @pytest.mark.xfail(reason="known")
        def test_xfail(): assert 0
        @pytest.mark.xfail(reason="known")
        def test_xpass(): pass
        @pytest.mark.xfail(strict=True, reason="known")
        def test_strict(): pass
        @pytest.mark.xfail(raises=ValueError)
        def test_other_error(): raise KeyError("x")
        def test_imperative(): pytest.xfail("later")
        @pytest.mark.xfail(run=False)
        def test_not_run(): assert 0
    """),
    Case("expectedFailure", """
        import unittest
        class T(unittest.TestCase):
            @unittest.expectedFailure
            def test_fails(self): self.fail()
            @unittest.expectedFailure
            def test_passes(self): pass
    """),
    Case("teardown error beside a failing call", """
        import pytest
        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("teardown")
        def test_fails(broken): assert 1 == 2
        def test_passes(broken): pass
        def test_skips(broken): pytest.skip("no")
        @pytest.mark.xfail
        def test_xfails(broken): assert 0
    """),
    Case("unittest tearDown error beside a failing call", """
        import unittest
        class T(unittest.TestCase):
            def tearDown(self): raise RuntimeError("tearDown")
            def test_fails(self): self.fail("call")
            def test_passes(self): pass
    """),
    Case("set-up errors", """
        import pytest
        @pytest.fixture
        def broken(): raise RuntimeError("set-up")
        def test_a(broken): pass
        def test_b(no_such_fixture): pass
        def test_c(): pass
        class TestSetup:
            def setup_method(self): raise RuntimeError("setup_method")
            def test_d(self): pass
        class TestTeardown:
            def teardown_method(self): raise RuntimeError("teardown_method")
            def test_e(self): pass
    """),
    Case("fixture errors at each scope", """
        import pytest
        for scope in ("session", "package", "module", "class", "function"):
            def make(scope=scope):
                @pytest.fixture(scope=scope)
                def broken(): raise RuntimeError(scope)
                return broken
            globals()[f"broken_{scope}"] = make()
        def test_session(broken_session): pass
        def test_package(broken_package): pass
        def test_module(broken_module): pass
        class TestIt:
            def test_class(self, broken_class): pass
            def test_again(self, broken_class): pass
        def test_function(broken_function): pass
    """),
    Case("session teardown fails", {
        "conftest.py": """
            import pytest
            @pytest.fixture(scope="session", autouse=True)
            def service():
                yield
                raise RuntimeError("could not be stopped")
        """,
        "test_it.py": "def test_a(): pass\ndef test_b(): pass\n",
    }),
    Case("unittest setUpClass fails", """
        import unittest
        class A(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise RuntimeError("setUpClass")
            def test_a(self): pass
            def test_b(self): pass
        class B(unittest.TestCase):
            @classmethod
            def tearDownClass(cls): raise RuntimeError("tearDownClass")
            def test_c(self): pass
    """),
    Case("module set-up and teardown fail", {
        "test_a.py": """
            import unittest
            def tearDownModule(): raise RuntimeError("tearDownModule")
            class T(unittest.TestCase):
                def test_a(self): pass
        """,
        "test_b.py": """
            def setup_module(): raise RuntimeError("setup_module")
            def test_b(): pass
        """,
        "test_c.py": """
            import unittest
            def setUpModule(): raise unittest.SkipTest("whole module")
            class T(unittest.TestCase):
                def test_c(self): pass
        """,
    }),
    Case("cause chains", """
        def test_from():
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("no value") from error
        def test_while():
            try:
                1 / 0
            except ZeroDivisionError:
                raise OSError("also")
        def test_none():
            try:
                1 / 0
            except ZeroDivisionError:
                raise OSError("alone") from None
    """),
    Case("exception groups", """
        def test_it():
            raise ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])
    """),
    Case("exceptions that misbehave", """
        class Bad(Exception):
            def __str__(self): raise RuntimeError("no text")
            __repr__ = __str__
        class Odd:
            def __eq__(self, other): return False
            def __repr__(self): raise ValueError("no repr")
        def test_a(): raise Bad()
        def test_b(): assert Odd() == Odd()
        def test_c(): raise Exception("x" * 100_000)
        def test_d(): raise AssertionError("\\0 \\x1b[31mred\\x1b[0m \\ud800 \\x07")
    """),
    Case("recursion", """
        def test_it():
            test_it()
    """),
    Case("notes on an exception", """
        def test_it():
            error = ValueError("it")
            error.add_note("a note\\nof two lines")
            raise error
    """),
    Case("asserts with colours in texts", """
        def test_it():
            assert "\\x1b[31mred" == "\\x1b[32mgreen"
    """),
    Case("doctest asked for by conftest", {
        "conftest.py": "def pytest_configure(config): config.option.doctestmodules = True\n",
        "test_it.py": '''
            def double(n):
                """
                >>> double(2)
                4
                >>> double(3)
                7
                """
                return 2 * n
            def test_it(): pass
        ''',
    }),
    Case("async without a plugin's mark", """
        async def test_it():
            assert True
    """),
    Case("async with pytest-asyncio", """
        import asyncio, pytest
        @pytest.mark.asyncio
        async def test_passes():
            await asyncio.sleep(0)
        @pytest.mark.asyncio
        async def test_fails():
            assert 0
    """),
    Case("async unittest", """
        import unittest
        class T(unittest.IsolatedAsyncioTestCase):
            async def test_passes(self): pass
            async def test_fails(self): self.fail("no")
    """),
    Case("generator test", """
        def test_it():
            yield 1
        def test_other(): pass
    """),
    Case("test returns a value", """
        def test_it():
            return 5
    """),
    Case("reruns by a plugin", {
        "conftest.py": """
            from _pytest.runner import runtestprotocol
            def pytest_runtest_protocol(item, nextitem):
                item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                for attempt in range(3):
                    reports = runtestprotocol(item, nextitem=nextitem, log=False)
                    for report in reports:
                        if report.failed and attempt < 2:
                            report.outcome = "rerun"
                            item.ihook.pytest_runtest_logreport(report=report)
                            break
                        item.ihook.pytest_runtest_logreport(report=report)
                    else:
                        break
                item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                return True
            def pytest_report_teststatus(report):
                if report.outcome == "rerun":
                    return "rerun", "R", "RERUN"
        """,
        "test_it.py": """
            tries = []
            def test_flaky():
                tries.append(1)
                assert len(tries) > 1
            def test_never(): assert 0
            def test_always(): pass
        """,
    }),
    Case("every attempt is logged", {
        "conftest.py": """
            from _pytest.runner import runtestprotocol
            def pytest_runtest_protocol(item, nextitem):
                item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                if any(report.failed for report in runtestprotocol(item, nextitem=nextitem)):
                    runtestprotocol(item, nextitem=nextitem)
                item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                return True
        """,
        "test_it.py": """
            tries = []
            def test_flaky():
                tries.append(1)
                assert len(tries) > 1
            def test_always(): pass
        """,
    }, repeats=True),
    Case("each test twice", {
        "conftest.py": "def pytest_collection_modifyitems(items): items[:] = items + items\n",
        "test_it.py": """
            tries = []
            def test_flaky():
                tries.append(1)
                assert len(tries) != 1
            def test_always(): pass
        """,
    }, repeats=True),
    Case("protocol without start and end", {
        "conftest.py": """
            from _pytest.runner import runtestprotocol
            def pytest_runtest_protocol(item, nextitem):
                runtestprotocol(item, nextitem=nextitem)
                return True
        """,
        "test_it.py": """
            import pytest
            @pytest.mark.parametrize("n", range(150))
            def test_it(n): assert n != 77
        """,
    }),
    Case("outcomes of another plugin", {
        "conftest.py": """
            def pytest_report_teststatus(report):
                if report.when == "call" and "known" in report.nodeid:
                    return "known issue", "K", "KNOWN"
        """,
        "test_it.py": "def test_known(): assert 0\ndef test_known_passes(): pass\ndef test_other(): pass\n",
    }, other_words=True),
    Case("maxfail by conftest", {
        "conftest.py": "def pytest_configure(config): config.option.maxfail = 1\n",
        "test_it.py": "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pass\n",
    }),
    Case("stops at the first error", {
        "conftest.py": "def pytest_configure(config): config.option.maxfail = 1\n",
        "test_it.py": """
            import pytest
            @pytest.fixture
            def broken(): raise RuntimeError("x")
            def test_a(broken): pass
            def test_b(): pass
        """,
    }),
    Case("session asked to stop", {
        "conftest.py": """
            def pytest_runtest_logreport(report):
                if report.when == "teardown" and "test_a" in report.nodeid:
                    stop(report)
            import pytest
            def pytest_sessionstart(session):
                global stop
                def stop(report): session.shouldstop = "enough"
        """,
        "test_it.py": "def test_a(): pass\ndef test_b(): pass\n",
    }),
    Case("deselected by conftest", {
        "conftest.py": """
            def pytest_collection_modifyitems(config, items):
                gone = [item for item in items if "slow" in item.name]
                config.hook.pytest_deselected(items=gone)
                items[:] = [item for item in items if item not in gone]
        """,
        "test_it.py": "def test_slow(): assert 0\ndef test_fast(): pass\n",
    }),
    Case("warnings as errors", {
        "conftest.py": "def pytest_configure(config): config.addinivalue_line('filterwarnings', 'error')\n",
        "test_it.py": """
            import warnings
            def test_warns(): warnings.warn("old", DeprecationWarning)
            def test_quiet(): pass
        """,
    }),
    Case("warnings", """
        import warnings
        def test_it():
            for n in range(500):
                warnings.warn(f"warning {n}")
    """),
    Case("thread that raises", """
        import threading
        def test_it():
            def work(): raise RuntimeError("in a thread")
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    """),
    Case("thread that raises, as an error", {
        "conftest.py": """
            def pytest_configure(config):
                config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")
        """,
        "test_it.py": """
            import threading
            def test_it():
                def work(): raise RuntimeError("in a thread")
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
        """,
    }),
    Case("odd parameters", """
        import pytest
        ODD = ["ünïcode ☃ 😀", "a::b", "a[b]", "", " ", "\\0", "\\x1b[31m", "a/b", "new\\nline"]
        ODD += ["\\\\", "%s", "{x}", "~", "'\\""]
        @pytest.mark.parametrize("word", ODD)
        def test_it(word): pass
        @pytest.mark.parametrize("word", ODD, ids=[f"id {word}" for word in ODD])
        def test_named(word): assert word != "a::b"
        @pytest.mark.parametrize("word", ["x" * 5000, "x" * 4999 + "y"])
        def test_long(word): assert word.endswith("x")
        @pytest.mark.parametrize("word", [b"\\xff", 1.5, None, object(), ["list"]])
        def test_types(word): pass
        @pytest.mark.parametrize("none", [])
        def test_without_parameters(none): pass
    """),
    Case("same names", """
        def test_it(): assert 0
        def test_it(): pass
        class TestA:
            def test_it(self): pass
        class TestB:
            def test_it(self): assert 0
            class TestInner:
                def test_it(self): pass
                class TestInnermost:
                    def test_it(self): assert 0
        class NotCollected:
            def test_it(self): assert 0
        class TestWithInit:
            def __init__(self): pass
            def test_it(self): assert 0
    """),
    Case("unicode names", """
        def test_größe(): pass
        def test_测试(): assert 0
        class TestÜber:
            def test_é(self): pass
    """),
    Case("hypothesis", """
        from hypothesis import given, strategies
        @given(strategies.integers())
        def test_it(n): assert n < 1000
        @given(strategies.integers())
        def test_ok(n): assert n == n
    """),
    Case("many tests", """
        import pytest
        @pytest.mark.parametrize("n", range(1200))
        def test_it(n): assert n % 100 != 99
    """),
    Case("many large failures", """
        import pytest
        @pytest.mark.parametrize("n", range(100))
        def test_it(n): assert "a" * 100_000 == "b" * 100_000 + str(n)
    """),
]  # fmt: skip
