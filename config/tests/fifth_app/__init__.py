"""A further app, which INSTALLED_APPS names and nothing else: config/tests/test_fifth_app.py."""
