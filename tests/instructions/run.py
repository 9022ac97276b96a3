"""Counts, with callgrind, the instructions that the server executes for opening a stream, for delivering an event and
for the call of a tool through a tunnel.

Fails if a count exceeds its limit in tests/instructions/limits.json. Unlike seconds, instructions do not depend on the
load of the machine. A debug build executes more of them, but all counts grow with the same changes.

Usage: run.py SERVER_BINARY. Ends with `N passed, N failed`.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
PASSWORD = "password of the instruction count"
# The server is about fifty times slower with callgrind.
DEADLINE_SECONDS = 300
WARM_UP = 10
FEW, MANY = 20, 220
EVENTS = 20
CALLS = 200
# The limits are raised, because other tests check them. The heartbeat would be counted, so its interval is long.
SETTINGS = {
    "STREAMGATE_LIMITS__STREAMS_PER_USER": "1000",
    "STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE": "100000",
    "STREAMGATE_STREAMS__HEARTBEAT_SECONDS": "60",
    "STREAMGATE_STREAMS__REACTOR_THREADS": "1",
    "STREAMGATE_SERVER__HEADER_TIMEOUT_SECONDS": "300",
    "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE": "100000",
    "STREAMGATE_ADMIN_PASSWORD": PASSWORD,
}


class Server:
    """The server, run by callgrind."""

    def __init__(self, binary, directory):
        self.out = directory / "callgrind.out"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}", binary, "serve"]
            + ["--listen", "127.0.0.1:0", "--data-dir", directory / "data"],
            env={**inherited, **SETTINGS},
            stdout=subprocess.PIPE,
            stderr=(directory / "log").open("w"),
            text=True,
        )
        self.dumps = 0
        for line in self.process.stdout:
            if line.startswith("listening on "):
                host, port = line.removeprefix("listening on http://").strip().split(":")
                self.address = (host, int(port))
                self.url = f"http://{host}:{port}"
                self.connection = http.client.HTTPConnection(*self.address)
                return
        sys.exit("the server did not start:\n" + (directory / "log").read_text())

    def control(self, option):
        subprocess.run(["callgrind_control", option, str(self.process.pid)], check=True, capture_output=True)

    def count(self, action):
        """Counts the instructions that the server executes during `action`."""
        self.control("--zero")
        action()
        self.control("--dump")
        self.dumps += 1
        text = Path(f"{self.out}.{self.dumps}").read_text()
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE).group(1))

    def call(self, path, body, token=None, headers=None):
        headers = {"content-type": "application/json", **(headers or {})}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.connection.request("POST", path, json.dumps(body), headers)
        response = self.connection.getresponse()
        answer = json.load(response)
        assert response.status < 300, answer
        return answer


class WatchedTopology:
    """A topology and its subscribers."""

    def __init__(self, server):
        self.server = server
        self.token = server.call("/v1/auth/login", {"username": "admin", "password": PASSWORD})["access_token"]
        self.topology = self.post("", {"name": "count"})["id"]
        for status in ["deploying", "active"]:
            self.post(f"/{self.topology}/status", {"status": status})
        self.streams = []

    def post(self, path, body):
        return self.server.call(f"/v1/topologies{path}", body, self.token)

    def open(self, count):
        for _ in range(count):
            stream = socket.create_connection(self.server.address)
            stream.sendall(
                f"GET /v1/topologies/{self.topology}/stream HTTP/1.1\r\nHost: count\r\n"
                f"Authorization: Bearer {self.token}\r\n\r\n".encode()
            )
            read_until(stream, b"event: snapshot")
            self.streams.append(stream)

    def publish(self):
        for number in range(EVENTS):
            self.post(f"/{self.topology}/mutations", {"op": "add_node", "payload": {"number": number}})
            for stream in self.streams:
                read_until(stream, b"event: mutation.enqueued")


class TunnelledTool:
    """A tool of an MCP server behind a tunnel."""

    def __init__(self, server, token, binary):
        self.server = server
        self.key = server.call("/v1/api-keys", {"name": "count"}, token)["key"]
        command = [binary, "tunnel", "--url", server.url, "--", sys.executable, HERE / "mcp_server.py"]
        environment = {**os.environ, "STREAMGATE_KEY": self.key}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def wait_until_connected(self):
        for line in self.process.stderr:
            if "connected to the gateway" in line:
                return
        sys.exit("the tunnel client did not connect")

    def call(self, count):
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "echo",
        }
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "count", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        for number in range(count):
            params = {"name": "echo", "arguments": {"number": number}, "_meta": meta}
            request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            answer = self.server.call("/mcp/@admin/count", request, self.key, headers)
            assert answer["result"]["number"] == number, answer


def read_until(stream, text):
    """Reads until the stream has sent `text` and the end of its chunk."""
    seen = b""
    while text not in seen or not seen.endswith(b"\n\n\r\n"):
        read = stream.recv(65536)
        assert read, f"the stream ended before {text}"
        seen += read


def measure(binary):
    with tempfile.TemporaryDirectory() as directory:
        server = Server(binary, Path(directory))
        processes = [server.process]
        watchdog = threading.Timer(DEADLINE_SECONDS, lambda: [process.kill() for process in processes])
        watchdog.start()
        try:
            watched = WatchedTopology(server)
            watched.open(WARM_UP)
            opened = server.count(lambda: watched.open(FEW - WARM_UP)) / (FEW - WARM_UP)
            watched.publish()
            # A publish costs the same with few and with many subscribers. The difference is that of the deliveries.
            few = server.count(watched.publish)
            watched.open(MANY - FEW)
            many = server.count(watched.publish)
            delivered = (many - few) / (MANY - FEW) / EVENTS
            tool = TunnelledTool(server, watched.token, binary)
            processes.append(tool.process)
            tool.wait_until_connected()
            tool.call(WARM_UP)
            called = server.count(lambda: tool.call(CALLS)) / CALLS
            return {"stream_opened": opened, "event_delivered": delivered, "tool_called": called}
        finally:
            watchdog.cancel()
            for process in reversed(processes):
                process.terminate()
                process.wait()


def main():
    limits = json.loads((HERE / "limits.json").read_text())
    measured = measure(sys.argv[1])
    failed = 0
    for name, limit in limits.items():
        result = "ok" if measured[name] <= limit else "TOO MANY"
        failed += result != "ok"
        print(f"{name}: {measured[name]:,.0f} instructions, limit {limit:,}: {result}")
    print(f"{len(limits) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
