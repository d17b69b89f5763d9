"""A device of its own process: runs a task on so many MiB, and prints the result's digest and its peak of memory."""

from __future__ import annotations

import hashlib
import resource
import sys

import fogsdk

url, task, mib = sys.argv[1], sys.argv[2], int(sys.argv[3])
with fogsdk.connect(url) as fog:
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = bytes(range(256)) * (mib * 4096)
    result = fog.run(task, data)
    said = result if isinstance(result, str) else hashlib.blake2b(result).hexdigest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(said, peak - begin)
