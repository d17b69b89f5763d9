"""The promises of the SDK, held against real brokers, real nodes, and real kills."""
