"""Prints what a client delivers, as one line of JSON. Reconnects, which the clients for Python leave to the caller."""

import json
import sys
import time


def report(event):
    print(json.dumps({"id": event.id, "event": event.event, "data": event.data}), flush=True)


def watch(connect, errors):
    """Reads the events of `connect(url, headers)` until this program is ended."""
    url, token = sys.argv[1:3]
    cursor, retry_ms = None, 3_000
    while True:
        headers = {"Authorization": f"Bearer {token}"}
        if cursor:
            headers["Last-Event-ID"] = cursor
        try:
            for event in connect(url, headers):
                cursor = event.id or cursor
                retry_ms = int(event.retry or retry_ms)
                report(event)
        except errors:
            pass
        time.sleep(retry_ms / 1_000)
