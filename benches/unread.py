#!/usr/bin/env python3
"""Measures the memory of the server with clients that never read: before they connect, while they are connected, and after they close.

    cargo build --release
    benches/unread.py                                # target/release/streamgate
    benches/unread.py --program target/debug/streamgate --only docs --connections 1500

Each scenario starts a server on a free port of 127.0.0.1, and opens connections with a receive buffer of 4096 bytes.
Each connection sends one request and never reads. Meanwhile another client sends requests and reads the responses. PSS
is that of the server process (/proc/PID/smaps_rollup). The memory of sockets is the growth of the kernel's memory for all TCP
sockets of the machine (/proc/net/sockstat), so it counts both ends of each connection.
"""

import argparse
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PASSWORD = "password of the benchmark"
# Bytes of one published event, and the number of events that fill a page of the event log.
EVENT, EVENTS = 15_000, 70
UNLIMITED = "1000000"


class Server:
    """A running streamgate."""

    def __init__(self, program, settings):
        self.directory = tempfile.TemporaryDirectory()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}
        kept |= {
            "STREAMGATE_ADMIN_PASSWORD": PASSWORD,
            "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE": UNLIMITED,
            "STREAMGATE_LOG__FILTER": "off",
        }
        kept |= dict(setting.split("=", 1) for setting in settings)
        arguments = [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.directory.name]
        self.process = subprocess.Popen(arguments, env=kept, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "http://127.0.0.1:" in line:
                self.port = int(line.split("http://127.0.0.1:")[1].split()[0].strip("/.,"))
                return
        raise SystemExit("the server did not start")

    def pss(self):
        """Returns the memory of the process in MiB."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024

    def call(self, method, path, body=None, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")
        return text

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.directory.cleanup()


def sockets():
    """Returns the kernel's memory for TCP in MiB."""
    fields = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")).split()
    return int(fields[fields.index("mem") + 1]) * os.sysconf("SC_PAGESIZE") / 2**20


def page(server):
    """Fills a page of an event log. Returns its path, and a token that may read it."""
    login = {"username": "admin", "password": PASSWORD}
    token = json.loads(server.call("POST", "/v1/auth/login", login))["access_token"]
    session = json.loads(server.call("POST", "/v1/sessions", {}, token))["id"]
    prompts = f"/v1/sessions/{session}/prompts"
    prompt = json.loads(server.call("POST", prompts, {"prompt": "a question"}, token))["id"]
    for _ in range(EVENTS):
        event = {"kind": "message", "data": {"text": "x" * EVENT}}
        server.call("POST", f"{prompts}/{prompt}/events", event, token)
    return f"{prompts}/{prompt}/events?limit=200", token


class ReadingClient(threading.Thread):
    """A client that sends a request every 50 ms, reads the response, and records the time that this takes."""

    def __init__(self, server, path, token):
        super().__init__(daemon=True)
        self.server, self.path, self.token = server, path, token
        self.times, self.failures, self.stopped = [], [], threading.Event()

    def run(self):
        while not self.stopped.wait(0.05):
            for path in (self.path, "/health/ready"):
                began = time.monotonic()
                try:
                    self.server.call("GET", path, token=self.token)
                    self.times.append(time.monotonic() - began)
                except Exception as error:  # noqa: BLE001, any exception means that the request failed
                    self.failures.append(repr(error))


def unread(server, path, token, count):
    """Opens connections that request a path and do not read the response."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{credential}\r\n".encode()
    held = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(request)
        held.append(client)
    return held


def measure(name, arguments):
    server = Server(arguments.program, arguments.set)
    try:
        path, token = {"openapi": ("/openapi.json", None), "docs": ("/docs", None)}.get(name) or page(server)
        count = arguments.connections if token is None else min(arguments.connections, 500)
        server.call("GET", path, token=token)
        before, kernel = server.pss(), sockets()
        reader = ReadingClient(server, path, token)
        reader.start()
        held = unread(server, path, token, count)
        max_pss, max_kernel, until = 0, 0, time.monotonic() + arguments.seconds
        while time.monotonic() < until:
            max_pss, max_kernel = max(max_pss, server.pss()), max(max_kernel, sockets() - kernel)
            time.sleep(0.1)
        for client in held:
            client.close()
        reader.stopped.set()
        reader.join()
        time.sleep(2)
        after = server.pss()
        times = sorted(reader.times) or [float("nan")]
        print(
            f"{name:8} {count:6} {before:9.1f} {max_pss:9.1f} {after:9.1f} {max_kernel:9.1f} "
            f"{len(reader.times):7} {len(reader.failures):7} {times[-1] * 1000:9.0f}"
        )
        for failure in sorted(set(reader.failures))[:3]:
            print(f"         {failure}", file=sys.stderr)
    finally:
        server.stop()


def main():
    scenarios = ["openapi", "docs", "pages"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/streamgate")
    parser.add_argument("--only", choices=scenarios, action="append")
    parser.add_argument("--connections", type=int, default=5000, help="number of connections; at most 500 in the scenario pages")
    parser.add_argument("--seconds", type=float, default=5, help="time for which the connections stay open")
    parser.add_argument("--set", action="append", default=[], help="environment variable of the server: STREAMGATE_...=VALUE")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("scenario  conns  PSS, MiB                     sockets  a client that reads")
    print("                  before       max     after      MiB  served  failed    max, ms")
    for name in arguments.only or scenarios:
        measure(name, arguments)


if __name__ == "__main__":
    main()
