"""The documents: what they tell to do is done."""
