"""Failures on purpose, on real processes."""
