"""huey with Redis and ``notify_result``, its option for results at low latency: the client waits by a blocking read."""

from __future__ import annotations

import os

os.environ["FOGSDK_BENCH_HUEY_NOTIFY"] = "1"  # read by the next line, here and in the consumer

from benchmarks.peers.huey_redis import HueyRedis


class HueyNotify(HueyRedis):
    """The client."""
