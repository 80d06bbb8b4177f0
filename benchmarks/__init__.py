"""Benchmarks, one module per figure of docs/benchmarks.md. Each run also measures a peer and a limit: `make bench`."""
