"""The works as tasks of a node; of what the measurements need besides, its workers load nothing."""

from __future__ import annotations

import fogsdk
from benchmarks.harness.works import FUNCTIONS

for _function in FUNCTIONS.values():
    fogsdk.task(_function)
