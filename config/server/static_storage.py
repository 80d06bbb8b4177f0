"""What `collectstatic` collects and how it stores it: everything except source maps."""

from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class WithoutSourceMaps(StaticFilesConfig):
    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "*.map"]


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Storage that does not rewrite references to source maps, because their files are missing."""

    patterns = tuple(
        (glob, tuple(rule for rule in rules if "sourceMappingURL" not in str(rule)))
        for glob, rules in CompressedManifestStaticFilesStorage.patterns
    )
