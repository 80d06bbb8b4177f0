"""Date and time formats for Django's own formatting: see FORMAT_MODULE_PATH."""
