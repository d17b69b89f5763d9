"""The tests: one folder for each part of fogsdk, and ``support`` for what they share."""
