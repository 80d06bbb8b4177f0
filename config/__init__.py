"""The composition root. Nothing is imported here: `config.embedded` must run before the settings are read."""
