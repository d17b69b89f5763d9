"""Inputs that nobody would send on purpose, at every door of a real node and at a real device."""
