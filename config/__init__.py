"""Composition root. It imports nothing, because `config.local.embedded` must run before the settings are read."""
