"""A WebSocket client: websocket.py PORT CERTIFICATE [TOKEN]. Prints the status and the echoed frame."""

import os
import socket
import ssl
import sys

port, certificate, *token = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
context.set_alpn_protocols(["http/1.1"])
plain = socket.create_connection(("127.0.0.1", int(port)), timeout=10, source_address=("127.0.0.2", 0))
with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
    request = (
        "GET /socket HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    if token:
        request += f"Authorization: Bearer {token[0]}\r\n"
    connection.sendall((request + "\r\n").encode())
    response = connection.makefile("rb")
    status = response.readline().split()[1].decode()
    while response.readline().strip():
        pass
    if status == "101":
        mask, text = os.urandom(4), b"hello"
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
        status += " " + response.read(2 + len(text))[2:].decode()
    print(status)
