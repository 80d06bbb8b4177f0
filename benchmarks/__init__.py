"""One script per figure of docs/benchmarks.md, each against its peer and its limit in the same run: `make bench`."""
