"""What `collectstatic` takes, and how it stores it: everything but source maps."""

from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class WithoutSourceMaps(StaticFilesConfig):
    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "*.map"]


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Leaves references to source maps as they are: their files would be missed."""

    patterns = tuple(
        (glob, tuple(rule for rule in rules if "sourceMappingURL" not in str(rule)))
        for glob, rules in CompressedManifestStaticFilesStorage.patterns
    )
