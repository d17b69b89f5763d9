"""An app on a phone that is put in the background: hands in tasks that take a while, and waits for all of them.

Arguments: the bundle, the broker's URL, the file in which tasks note that they ran.
"""

import logging
import sys

bundle, url, log = sys.argv[1:]
sys.path.insert(0, bundle)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)

import fogsdk  # noqa: E402  what the line before brought

with fogsdk.connect(url, timeout=5) as fog:
    futures = [fog.submit("nap", 0.7, number, log) for number in range(6)]
    hopeless = fog.submit("nap", 30, 0, deadline=4)
    print("handed in", flush=True)
    print("results", sorted(future.result(60) for future in futures), flush=True)
    try:
        hopeless.result(60)
    except fogsdk.DeadlineExceeded:
        print("the deadline passed", flush=True)
    print("and goes on:", fog.run("nap", 0, 99, deadline=10), flush=True)
