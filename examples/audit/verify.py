#!/usr/bin/env python3
"""Computes the hash chain of an audit log again, from the lines of `hallpass audit export` or of an audit sink.

Usage: verify.py [--head NUMBER:HASH] < export.jsonl

It needs nothing of Hallpass. A row that comes twice, as a sink may write it after a crash, counts once. It prints the
number of rows and the head, and ends with 1 if a row was edited, removed or moved.
"""

import datetime
import hashlib
import json
import sys

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def field(data):
    """A field as it is hashed: its length in 8 bytes, and itself."""
    return len(data).to_bytes(8, "big") + data


def computed(row, before):
    """The hash that the row must have."""
    time = (datetime.datetime.fromisoformat(row["time"].replace("Z", "+00:00")) - EPOCH) // datetime.timedelta(microseconds=1)
    texts = ["actor", "credential_kind", "credential_id", "target", "successor_id", "action", "outcome"]
    if row["format"] < 3:
        texts.remove("successor_id")
    if row["format"] == 1:
        texts.remove("credential_kind")
    data = bytes.fromhex(before)
    if row["format"] != 1:
        data += field(row["format"].to_bytes(4, "big"))
    data += field(row["sequence"].to_bytes(8, "big", signed=True))
    data += field(time.to_bytes(8, "big", signed=True))
    for name in texts:
        data += field(row[name].encode())
    data += field(row["count"].to_bytes(4, "big"))
    for name in ["request_id", "client_request_id", "ip", "user_agent"]:
        data += field(row[name].encode())
    return hashlib.sha256(data).hexdigest()


def main():
    noted = sys.argv[2] if sys.argv[1:2] == ["--head"] else None
    rows, last, seen = 0, None, False
    for line in sys.stdin:
        row = json.loads(line)
        number = row["sequence"]
        if last and number <= last["sequence"]:
            continue
        if last and number != last["sequence"] + 1:
            sys.exit(f"row {last['sequence'] + 1} is missing")
        if last and row["previous_hash"] != last["hash"]:
            sys.exit(f"row {number} does not follow row {last['sequence']}")
        if not last and number == 1 and row["previous_hash"] != "00" * 32:
            sys.exit("row 1 is not the first")
        if computed(row, row["previous_hash"]) != row["hash"]:
            sys.exit(f"row {number} was edited")
        seen = seen or noted == f"{number}:{row['hash']}"
        rows, last = rows + 1, row
    if noted and not seen:
        sys.exit(f"there is no row {noted}")
    print(f"{rows} rows, head {last['sequence']}:{last['hash']}" if last else "0 rows")


main()
