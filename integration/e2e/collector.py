"""A collector of OpenTelemetry: takes traces as `http/protobuf`, and keeps their spans."""
import http.server
import threading
from dataclasses import dataclass

# The messages and numbers of fields are those of opentelemetry/proto/trace/v1/trace.proto.
LENGTH_DELIMITED, FIXED64, FIXED32 = 2, 1, 5


def fields(message):
    """Yields the number and the value of each field of a protobuf message: bytes, or an integer."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        size = {FIXED64: 8, FIXED32: 4}.get(key & 7)
        if key & 7 == LENGTH_DELIMITED:
            size = varint()
        if size is None:
            yield key >> 3, varint()
        else:
            yield key >> 3, message[at:at + size]
            at += size


def inner(message, *numbers):
    """Returns the messages at a path of field numbers."""
    found = [message]
    for number in numbers:
        found = [value for outer in found for field, value in fields(outer) if field == number]
    return found


def text(message, *numbers):
    return b"".join(inner(message, *numbers)).decode()


@dataclass
class Span:
    service: str
    trace: str
    id: str
    parent: str
    name: str
    fault: str


def spans(body):
    """Returns the spans of an `ExportTraceServiceRequest`."""
    for resource in inner(body, 1):
        attributes = {text(pair, 1): text(pair, 2, 1) for pair in inner(resource, 1, 1)}
        for span in inner(resource, 2, 2):
            trace, own, parent = (b"".join(inner(span, number)).hex() for number in (1, 2, 4))
            yield Span(attributes.get("service.name"), trace, own, parent, text(span, 5), text(span, 15, 2))


class Collector:
    """Listens on `url` while it is entered; answers with `status`."""

    def __init__(self, status=200):
        self.spans, self.headers, self.status = [], [], status

    def __enter__(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces" and collector.status == 200:
                    collector.headers.append(dict(self.headers))
                    collector.spans.extend(spans(body))
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
