"""Uses what multiprocessing needs: child processes, semaphores, shared memory."""

import multiprocessing
import tempfile
from multiprocessing.shared_memory import SharedMemory

import pytest

METHODS = ["spawn", "fork", "forkserver"]
if len(tempfile.gettempdir()) > 60:  # the forkserver's socket path would be too long
    METHODS.remove("forkserver")


def double(number):
    return 2 * number


@pytest.mark.parametrize("method", METHODS)
def test_pool(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]


def test_semaphore_and_queue():
    context = multiprocessing.get_context("spawn")
    queue, lock = context.Queue(), context.Semaphore(1)
    with lock:
        process = context.Process(target=queue.put, args=(5,))
        process.start()
        assert queue.get(timeout=30) == 5
        process.join()


def test_shared_memory():
    memory = SharedMemory(create=True, size=2**20)
    memory.buf[0] = 7
    memory.close()
    memory.unlink()
