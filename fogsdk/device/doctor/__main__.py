"""``python -m fogsdk.device.doctor URL...``"""

import sys

from fogsdk.device.doctor import main

sys.exit(main())
