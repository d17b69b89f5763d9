"""Hand tasks to a fog from an iPhone or iPad: paste this into Pythonista, and run it. Nothing else is needed.

It fetches the SDK from a node of the fog, checks it, connects, runs a task and prints the result. You may switch to
another app meanwhile, or even close Pythonista: what was handed in is in a file beside this script until its result is
there, and the next run picks it up. (It runs as it is on any other Python from 3.10 on, too.)
"""

import hashlib
import importlib
import json
import sys
import urllib.request
from pathlib import Path

INVITATION = "http://fog.local:8080/"
"""The text of the QR code that `fog invite` and the node's page show: it says where the fog is, and how to get in.
As it stands: the node that has the name fog.local in this network, where the fog asks for no password."""

SHA256 = ""
"""The SDK's hash, as the node's page shows it on a screen that you trust. With it here, no other SDK is ever loaded."""

TASK, ARGUMENTS = "mean", ([1, 2, 3, 4],)

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
SDK = HERE / "fogsdk-phone.zip"
PACKAGES = ("fogsdk", "paho", "cbor2")


def fetch(page: str, path: str) -> bytes:
    """Read something from the node."""
    with urllib.request.urlopen(page.rstrip("/") + path, timeout=10) as response:  # noqa: S310 - http, see main
        return response.read()


def sdk_of(page: str) -> None:
    """Have the SDK of this node beside the script; where the node is out of reach, the one of the last time will do."""
    have = hashlib.sha256(SDK.read_bytes()).hexdigest() if SDK.exists() else None
    try:
        wanted = SHA256 or json.loads(fetch(page, "/fog/v1/phone"))["sha256"]
        if have == wanted:
            return
        bundle = fetch(page, "/fogsdk-phone.zip")
    except OSError as error:
        if have is None or have != (SHA256 or have):
            sys.exit(f"No node at {page} ({error}). Is the phone in the fog's Wi-Fi? Then try the node's address.")
        return
    if hashlib.sha256(bundle).hexdigest() != wanted:
        sys.exit(f"The SDK at {page} is not the one that was asked for; it was not loaded. Its hash should be {wanted}")
    SDK.write_bytes(bundle)
    # Pythonista keeps what an earlier run imported.
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    importlib.invalidate_caches()


def main(invitation: str) -> None:
    """Get the SDK, and use it."""
    page, _, way_in = invitation.partition("#")
    if page.startswith("http"):
        sdk_of(page)
    sys.path.insert(0, str(SDK))
    import fogsdk

    # Without a way in it is looked for: by mDNS where an app may, then under the name fog.local.
    url = invitation if way_in or not page.startswith("http") else None
    with fogsdk.connect(url, ledger=HERE / "fog-tasks.db") as fog:
        for future in fog.recovered:
            print("handed in last time:", future.result())
        future = fog.submit(TASK, *ARGUMENTS)
        print(f"handed in: {TASK}. You may switch to another app now.")
        print("result:", future.result())
        print(future.trace)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else INVITATION)
