"""Cases about output, processes, and changes that a test makes to its interpreter."""

from testrunner.tests.agreement.case import Case

CASES = [
    Case("huge log records", """
        import logging
        def test_it():
            for n in range(3000):
                logging.warning("record %d %s", n, "x" * 300)
            logging.warning("y" * 3_000_000)
        def test_fails():
            logging.warning("z" * 3_000_000)
            assert 0
        def test_next(): pass
    """),
    Case("huge output", """
        import sys
        def test_it():
            print("x" * 5_000_000)
            for n in range(50_000):
                print("line", n)
            sys.stderr.write("e" * 1_000_000)
        def test_fails():
            print("x" * 5_000_000)
            assert 0
    """),
    Case("surrogates and bytes in the output", """
        import sys
        def test_it():
            sys.stdout.buffer.write(b"\\xff\\xfe\\x00 bytes\\n")
            print("\\udc80 surrogate".encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
        def test_fails():
            assert "\\ud800" == "\\udfff"
    """),
    Case("progress bars and colours", """
        import time
        def test_it():
            for n in range(101):
                print(f"\\r{n:3} %", end="")
            print()
            print("\\x1b[1;31mred\\x1b[0m \\x1b]0;title\\x07 \\x1b[2J\\x1b[H")
    """),
    Case("standard streams replaced", """
        import io, sys
        def test_replaces():
            sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        def test_prints():
            print("to nowhere")
        def test_fails():
            assert 0
    """),
    Case("descriptors of the output closed", """
        import os
        def test_it():
            saved = os.dup(1)
            os.close(1)
            os.dup2(saved, 1)
        def test_next(): assert 0
    """),
    Case("change of directory", """
        import os, tempfile
        def test_it():
            os.chdir(tempfile.mkdtemp())
        def test_fails(): assert 0
        def test_passes(): pass
    """),
    Case("deleted working directory", """
        import os, tempfile
        def test_it():
            directory = tempfile.mkdtemp()
            os.chdir(directory)
            os.rmdir(directory)
        def test_fails(): assert 0
        def test_passes(): pass
    """),
    Case("changed environment and umask", """
        import os, sys
        def test_clears():
            os.environ.clear()
            os.umask(0o777)
            sys.path.clear()
        def test_fails(): assert 0
    """),
    Case("time and functions replaced", """
        import builtins, os, time
        def test_time(monkeypatch):
            for name in ("time", "perf_counter", "monotonic"):
                monkeypatch.setattr(time, name, lambda: 0.0)
        def test_os(monkeypatch):
            def broken(*_, **__): raise RuntimeError("replaced")
            monkeypatch.setattr(os, "write", broken)
            monkeypatch.setattr(os, "getpid", lambda: 1)
        def test_for_good():
            time.sleep = None
            builtins.print = None
        def test_fails(): assert 0
    """),
    Case("multiprocessing", """
        import multiprocessing, pytest
        def double(n): return 2 * n
        @pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
        def test_pool(method):
            with multiprocessing.get_context(method).Pool(2) as pool:
                assert pool.map(double, [1, 2]) == [2, 4]
        def test_queue():
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=queue.put, args=(5,))
            process.start()
            assert queue.get(timeout=30) == 5
            process.join()
            assert process.exitcode == 0
        def test_shared():
            from multiprocessing.shared_memory import SharedMemory
            memory = SharedMemory(create=True, size=2**20)
            memory.buf[0] = 7
            memory.close()
            memory.unlink()
        def test_semaphore():
            multiprocessing.Semaphore(2).acquire()
        def test_manager():
            with multiprocessing.Manager() as manager:
                assert manager.list([1]) is not None
        def test_executor():
            from concurrent.futures import ProcessPoolExecutor
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                assert list(executor.map(double, range(3))) == [0, 2, 4]
    """),
    Case("subprocesses", """
        import subprocess, sys
        def test_it():
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        def test_fails():
            subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)
    """),
    Case("fork whose child comes back to pytest", """
        import os
        def test_it():
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        def test_fails(): assert 0
    """),
    Case("standard input", """
        import sys
        def test_it():
            sys.stdin.read(1)
            input()
    """),
    Case("sys.exit in a test", """
        import sys
        def test_it(): sys.exit(0)
        def test_other(): raise SystemExit("words")
        def test_fixture(): pass
    """),
    Case("sys.exit at import", "import sys\nsys.exit(0)\n"),
    Case("sys.exit at import with words", "raise SystemExit('not here')\n"),
    Case("os._exit at import", "import os\nos._exit(0)\n", state="error"),
    Case("os._exit in a test", """
        import os
        def test_a(): pass
        def test_b(): os._exit(0)
        def test_c(): pass
    """, unfinished="test_b", state="error"),
    Case("KeyboardInterrupt", """
        def test_a(): pass
        def test_b(): raise KeyboardInterrupt
        def test_c(): pass
    """, unfinished="test_b"),
    Case("KeyboardInterrupt at import", "raise KeyboardInterrupt\n"),
    Case("pytest.exit", """
        import pytest
        def test_a(): pass
        def test_b(): pytest.exit("enough", returncode=3)
        def test_c(): pass
    """, unfinished="test_b"),
    Case("pytest.exit at import", "import pytest\npytest.exit('nothing to do', returncode=9)\n"),
    Case("segmentation fault", """
        import ctypes
        def test_a(): pass
        def test_b(): ctypes.string_at(0)
        def test_c(): pass
    """, unfinished="test_b"),
    Case("killed", """
        import os, signal
        def test_a(): pass
        def test_b(): os.kill(os.getpid(), signal.SIGTERM)
    """, unfinished="test_b"),
    Case("conftest ends with an error", {
        "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 42\n",
        "test_it.py": "def test_it(): pass\n",
    }),
    Case("conftest's hook breaks", {
        "conftest.py": "def pytest_runtest_logfinish(nodeid): raise RuntimeError('hook')\n",
        "test_it.py": "def test_it(): pass\ndef test_b(): pass\n",
    }),
]  # fmt: skip
