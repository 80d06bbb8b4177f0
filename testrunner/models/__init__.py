"""Environments, test files, the runs of these in those, and what came of them."""

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
