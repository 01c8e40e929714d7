"""The build engine as another client sees it, and a server that only counts its callers."""
import json
import socket
import subprocess
import threading


class Engine:
    """A buildkitd at `address`."""

    def __init__(self, address):
        self.address = address

    def histories(self):
        """Returns the refs of the builds in the engine's history."""
        out = subprocess.run(
            ["buildctl", "--addr", self.address, "debug", "histories", "--format", "{{json .}}"],
            check=True, capture_output=True, text=True).stdout
        found, position, decoder = [], 0, json.JSONDecoder()
        while position < len(out.rstrip()):
            value, position = decoder.raw_decode(out, position)
            position += len(out[position:]) - len(out[position:].lstrip())
            found.append(value["record"]["Ref"])
        return found


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
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def __exit__(self, *_):
        self.socket.close()
