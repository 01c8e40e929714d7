"""The build engine as another client sees it, and a server that only counts its callers."""
import contextlib
import socket
import subprocess
import threading
import time
import urllib.request


class Engine:
    """A buildkitd at `address`, whose counters are served at `metrics`."""

    def __init__(self, address, metrics):
        self.address = address
        self.metrics = metrics

    def solves(self):
        """Returns how many solves have ended, of all clients. One that a client has ended is counted a moment later."""
        count = None
        while count != (count := self._counted()):
            time.sleep(0.2)
        return count

    def _counted(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        counters = [line for line in lines if line.startswith("rpc_server_call_duration_seconds_count{")]
        assert counters, "the engine counts no calls"
        return sum(int(line.split()[-1]) for line in counters if 'rpc_method="moby.buildkit.v1.Control/Solve"' in line)

    def history(self):
        """Returns the records of the engine's history, as `buildctl` lists them."""
        command = ["buildctl", "--addr", self.address, "debug", "histories", "--format", "{{.Record.Ref}}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def connections(server):
    """Yields each connection to a server until that is closed."""
    with contextlib.suppress(OSError):
        while True:
            yield server.accept()[0]


class UnusedServer:
    """A server that answers nothing and counts connections, in place of an engine or a registry that a
    command must not contact."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.address = f"tcp://{self.host}"
        self.connections = 0
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def _count(self):
        for connection in connections(self.socket):
            self.connections += 1
            connection.close()

    def __exit__(self, *_):
        self.socket.close()


class TcpPort:
    """A TCP port of this machine at which an engine with a socket answers, as one in a container does. `vanish` breaks off
    all that is connected."""

    def __init__(self, engine):
        self.path = engine.address.removeprefix("unix://")
        self.open = []

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.vanish()

    def vanish(self):
        for end in self.open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        for client in connections(self.socket):
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self.path)
            self.open += [client, engine]
            for source, target in ((client, engine), (engine, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
