"""The reference of bench/socket.py: the same stack (Protocol, uvloop, msgspec) with nothing behind it."""

import asyncio
import sys
from typing import cast

import msgspec


class Envelope(msgspec.Struct):
    jsonrpc: str
    method: str
    params: msgspec.Raw
    id: msgspec.Raw


class Echo(asyncio.Protocol):
    decode = msgspec.json.Decoder(Envelope).decode
    encode = msgspec.json.Encoder().encode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        out = []
        for line in data.split(b"\n"):
            if line:
                envelope = self.decode(line)
                params = msgspec.json.decode(envelope.params)
                out.append(b'{"jsonrpc":"2.0","id":' + bytes(envelope.id) + b',"result":' + self.encode(params) + b"}")
        self.transport.write(b"\n".join(out) + b"\n")


async def main(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


def new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(sys.argv[1]))
