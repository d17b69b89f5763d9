"""``python -m fogsdk.demo`` is ``fog demo``."""

from __future__ import annotations

import argparse
import sys

from fogsdk.demo.main import add_arguments, run

parser = argparse.ArgumentParser(prog="fog demo", description=run.__doc__)
add_arguments(parser)
sys.exit(run(parser.parse_args()))
