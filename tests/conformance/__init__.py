"""What it means to hand in a task, stated once and held over every way in."""
