"""Boards with the MicroPython examples as they are, on CPython or the real MicroPython, and stand-ins for hardware."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.docs.readme import ROOT
from tests.firmware.modem import Modem
from tests.support.processes import Processes, Program

FILES = ROOT / "firmware_examples" / "micropython"
SHIM = Path(__file__).parent / "shim"
REAL_SHIM = Path(__file__).parent / "shim_micropython"
RUNNER = Path(__file__).parent / "board.mjs"
NPM = ROOT / "build" / "npm"


class Board:
    """Its flash is a folder with the files of the examples; only config.py is made anew, as its owner would."""

    def __init__(self, flash: Path, processes: Processes) -> None:
        self.flash = flash
        self.processes = processes
        shutil.copytree(FILES, flash, ignore=shutil.ignore_patterns("__pycache__"))

    def configure(self, **settings: Any) -> None:
        """Edit config.py: these settings in place of those that it has."""
        lines = (self.flash / "config.py").read_text().splitlines()
        kept = [line for line in lines if line.split(" = ")[0] not in settings]
        assert len(lines) - len(kept) == len(settings), "config.py has other settings"
        changed = [f"{name} = {value!r}" for name, value in settings.items()]
        (self.flash / "config.py").write_text("\n".join([*kept, *changed, ""]))

    def show(self, celsius: float) -> None:
        """What its thermometer shows."""
        (self.flash / "celsius").write_text(str(celsius))

    def press(self, pin: int) -> None:
        """Press the button on a pin."""
        (self.flash / f"pin-{pin}").touch()

    def pressed(self, pin: int) -> bool:
        """Whether it is."""
        return (self.flash / f"pin-{pin}").exists()

    def release(self, pin: int) -> None:
        """Let go of it."""
        (self.flash / f"pin-{pin}").unlink()

    def power_on(self, program: str) -> Program:
        """Start a program of the examples."""
        environ = {"PYTHONPATH": str(SHIM), "PYTHONDONTWRITEBYTECODE": "1"}
        return self.processes.start_python(program, environ=environ, cwd=self.flash)

    def wake(self) -> str:
        """One wake of the sensor, until it sleeps again; returns what it printed."""
        program = self.power_on("sensor.py")
        assert program.wait() == 0, program.output
        return program.output

    def close(self) -> None:
        """Take its power."""
        self.processes.kill()


class RealBoard(Board):
    """The same with the real MicroPython, built for WebAssembly: its language, its modules, its heap of 128 KiB."""

    def __init__(self, flash: Path, processes: Processes) -> None:
        super().__init__(flash, processes)
        shutil.copytree(SHIM, flash / "shim")
        (flash / "shim" / "hostfiles.py").unlink()  # board.mjs has it
        shutil.copytree(REAL_SHIM, flash / "shim", dirs_exist_ok=True)
        self._modems: list[Modem] = []

    def power_on(self, program: str) -> Program:
        self._modems.append(Modem(self.flash))
        return self.processes.start("node", RUNNER, NPM, self.flash, program, cwd=self.flash)

    def close(self) -> None:
        super().close()
        for modem in self._modems:
            modem.close()
