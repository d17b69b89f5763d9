"""What measures: one contender in one process (measure), all of them in rounds (rounds), tables and plots (report)."""
