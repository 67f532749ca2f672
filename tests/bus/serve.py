"""A bus as a process of its own: ``python -m tests.bus.serve ADDRESS DIRECTORY QUEUE``, ended by SIGKILL or SIGTERM."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from actors.bus import Bus
from core.line import Endpoint
from tests.waiting import until


class BusProcess:
    """Starts, kills and starts again, always at the same address."""

    def __init__(self, path: Path, queue: str = "memory") -> None:
        self.address = f"ipc://{path}/bus.sock"
        self.directory = path / "bus"
        self._queue = queue
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.bus.serve", self.address, str(self.directory), self._queue]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def until_dead(self) -> None:
        process = self._process
        until(lambda: process.poll() is not None, what="the bus dies by itself")
        self.kill()

    def __enter__(self) -> "BusProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


async def serve(address: str, directory: str, queue: str) -> None:
    bus = Bus(address, queue, Path(directory))  # type: ignore[arg-type]
    await bus.start()
    print("listening", flush=True)
    await bus.run()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:4]))
