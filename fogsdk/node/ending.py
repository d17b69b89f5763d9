"""The signals that tell a daemon to leave."""

from __future__ import annotations

import signal


def signals() -> list[signal.Signals]:
    """SIGTERM and SIGINT; SIGHUP too, so that a node whose terminal is closed says goodbye, unless ``nohup`` or the
    like had it ignored."""
    leave = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Windows has none
        leave.append(signal.SIGHUP)
    return leave
