"""What firmware people copy is run: every example against a real node and broker."""
