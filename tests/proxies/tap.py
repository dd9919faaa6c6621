"""Relays between a proxy and Hallpass: tap.py PORT TARGET_PORT FILE. Records what the proxy sends in FILE."""

import asyncio
import sys


async def relay(reader, writer, keep):
    try:
        while data := await reader.read(65536):
            keep(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(port, target, path):
    with open(path, "ab", buffering=0) as file:

        async def tap(reader, writer):
            there, back = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(relay(reader, back, file.write), relay(there, writer, len))

        server = await asyncio.start_server(tap, "127.0.0.1", port)
        async with server:
            await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
