"""The page for phones and people, in a real browser, on real nodes."""
