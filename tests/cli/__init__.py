"""The ``fog`` command line, run as people and scripts run it, against real brokers and nodes."""
