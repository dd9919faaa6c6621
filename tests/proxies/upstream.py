"""The application behind a proxy: upstream.py PORT LOG.

Responds with the request as JSON; accepts WebSockets and echoes a frame. Each request is a line in LOG, so that a
check can detect that none came. Requests meant for Hallpass get a 503.
"""

import asyncio
import base64
import hashlib
import json
import sys

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


async def read_body(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", 0)))


async def echo(reader, writer, headers):
    key = headers["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET).digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    # One short frame, masked as a client's must be.
    head = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    text = await reader.readexactly(head[1] & 0x7F)
    text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
    writer.write(bytes([0x81, len(text)]) + text)


async def serve(reader, writer, log):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        pairs = [line.split(":", 1) for line in lines]
        pairs = [[name, value.strip()] for name, value in pairs]
        headers = {name.lower(): value for name, value in pairs}
        if first.split()[1].startswith(("/forward-auth", "/oauth2/introspect")):
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        log.write(first + "\n")
        log.flush()
        if headers.get("upgrade", "").lower() == "websocket":
            await echo(reader, writer, headers)
        else:
            if headers.get("expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await read_body(reader, headers)
            seen = {"request": first, "headers": pairs, "sha256": hashlib.sha256(body).hexdigest()}
            content = json.dumps(seen).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                + f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the proxy has given up
    finally:
        writer.close()


async def main(port, path):
    with open(path, "a", encoding="latin-1") as log:
        server = await asyncio.start_server(lambda r, w: serve(r, w, log), "127.0.0.1", port)
        async with server:
            await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
