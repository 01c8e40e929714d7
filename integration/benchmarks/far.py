"""A registry that is far away: a proxy that passes every byte on later."""
import asyncio
import contextlib
import multiprocessing
import time


async def _carry(reader, writer, delay, start):
    """Passes bytes on, each later by half of the way there and back, the first of them after `start`."""
    queue = asyncio.Queue()

    async def take():
        while data := await reader.read(1 << 16):
            queue.put_nowait((max(time.monotonic() + delay.value / 2, start), data))
        queue.put_nowait((0, b""))
    taking = asyncio.create_task(take())
    with contextlib.suppress(ConnectionError):
        while (item := await queue.get())[1]:
            await asyncio.sleep(max(0, item[0] - time.monotonic()))
            writer.write(item[1])
            await writer.drain()
    taking.cancel()
    writer.close()


def _proxy(target, port, delay):
    async def connection(reader, writer):
        host, number = target.split(":")
        upper, lower = await asyncio.open_connection(host, int(number))
        # A connection costs the way there and back before anything can be sent.
        start = time.monotonic() + delay.value * 1.5
        await asyncio.gather(_carry(reader, lower, delay, start), _carry(upper, writer, delay, 0),
                             return_exceptions=True)

    async def serve():
        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()
    asyncio.run(serve())


class Far:
    """The registry at another address, `delay` away (seconds, there and back; 0 at first)."""

    def __init__(self, registry):
        self.registry = registry

    def __enter__(self):
        self.delay, port = multiprocessing.Value("d", 0.0), multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=_proxy, args=(self.registry.address, port, self.delay), daemon=True)
        self.process.start()
        while not port.value:
            time.sleep(0.01)
        self.address = f"127.0.0.1:{port.value}"
        return self

    @contextlib.contextmanager
    def away(self, seconds):
        self.delay.value = seconds
        yield
        self.delay.value = 0.0

    def __exit__(self, *_):
        self.process.terminate()
