"""The fog node's daemon: the core's shell on asyncio, worker processes, brokers, discovery, configuration."""
