"""Formats of dates and times where Django words them itself: see FORMAT_MODULE_PATH."""
