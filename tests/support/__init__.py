"""What the tests share: waiting, free ports, real brokers, and processes that do not outlive a test."""
