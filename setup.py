"""What setuptools cannot be told in pyproject.toml: the packages for phones are put beside the code when it is built.

A phone needs cbor2 in pure Python, which ended with version 5, and a node has version 6, which is compiled. So cbor2 5
is a requirement of the build (``[build-system]`` in pyproject.toml), and what of it is written in Python goes into the
package, with its licence. Nodes hand that on, see ``fogsdk/node/phone_bundle.py``; they never import it.
"""

import zipfile
from importlib import metadata
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "cbor2"
FILE = "fogsdk/node/phone_packages.zip"


class BuildWithPhonePackages(build_py):
    """Builds the package, and the file that goes into it."""

    def run(self) -> None:
        """Write it into what is built; into the source tree, where that is what is installed (``pip install -e``)."""
        super().run()
        try:
            found = metadata.distribution(PACKAGE)
        except metadata.PackageNotFoundError:
            found = None
        if found is None or not found.version.startswith("5."):
            self.warn(f"{PACKAGE} 5 is not here, so nodes will have nothing to give to phones; build with isolation")
            return
        target = Path("." if self.editable_mode else self.build_lib) / FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w") as bundle:
            for file in sorted(found.files or [], key=str):
                if file.suffix == ".py" and file.parts[0] == PACKAGE:
                    name = file.as_posix()
                elif "LICENSE" in file.name:
                    name = f"licenses/{PACKAGE}-{file.name}"
                else:
                    continue
                bundle.writestr(zipfile.ZipInfo(name), file.read_binary(), zipfile.ZIP_DEFLATED)


setup(cmdclass={"build_py": BuildWithPhonePackages})
