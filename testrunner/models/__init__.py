"""Models of the test runner: environments, test files, runs and their results."""

from testrunner.models.environment import EnvironmentVariable, TestEnvironment
from testrunner.models.failure import FailureTask
from testrunner.models.file import Root, TestFile
from testrunner.models.record import LogChunk, RunFile, TestResult
from testrunner.models.run import RunNotAllowed, TestRun

__all__ = [
    "EnvironmentVariable",
    "FailureTask",
    "LogChunk",
    "Root",
    "RunFile",
    "RunNotAllowed",
    "TestEnvironment",
    "TestFile",
    "TestResult",
    "TestRun",
]
