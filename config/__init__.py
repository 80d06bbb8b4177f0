"""The composition root. Nothing is imported here: `config.local.embedded` must run before the settings are read."""
