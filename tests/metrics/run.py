"""Checks the metrics of a running server with the tools of Prometheus, in both formats.

`promtool check metrics` reads the Prometheus text format, and complains about names, units and help texts. The parser of
the Python client reads OpenMetrics, and refuses text that breaks a rule of it. Each format comes twice: before the first
request, and after requests of every kind.

Usage: run.py SERVER_BINARY. Ends with `N passed, N failed`.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

PASSWORD = "password of the metrics test"
OPEN_METRICS = "application/openmetrics-text"


def call(url, body=None, token=None, accept="*/*"):
    """Sends a request. Returns the body of the response, whatever its status."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    request.add_header("accept", accept)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def use(server):
    """Causes metrics of every kind: requests, a refusal, a missing operation, a stream and its end."""
    login = {"username": "admin", "password": PASSWORD}
    token = json.loads(call(f"{server}/v1/auth/login", login))["access_token"]
    topology = json.loads(call(f"{server}/v1/topologies", {"name": "metrics"}, token))["id"]
    stream = call(f"{server}/v1/topologies/{topology}/stream?max_events=1&last_event_id=unknown", None, token)
    assert "event: snapshot" in stream, stream
    call(f"{server}/v1/auth/login", login | {"password": "wrong"})
    call(f"{server}/v1/auth/me")
    call(f"{server}/nowhere")


def complaints_of_promtool(text):
    assert text.startswith("# HELP ") and "streamgate_streams_open{" in text, text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    return checked.stdout + checked.stderr or (f"exit status {checked.returncode}" if checked.returncode else "")


def complaints_of_open_metrics(text):
    try:
        families = {family.name for family in text_string_to_metric_families(text)}
    except ValueError as error:
        return f"{error}\n"
    missing = {"streamgate_build", "streamgate_streams_opened", "process_cpu_seconds"} - families
    return f"missing: {missing}\n" if missing else ""


def main(binary):
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}
        process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", f"{directory}/data"],
            env={**settings, "STREAMGATE_ADMIN_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            stderr=(Path(directory) / "log").open("w"),
            text=True,
        )
        try:
            server = next((line for line in process.stdout if line.startswith("listening on ")), None)
            if server is None:
                sys.exit("the server did not start:\n" + (Path(directory) / "log").read_text())
            server = server.removeprefix("listening on ").strip()
            for when, act in [("at the start", lambda: None), ("after requests", lambda: use(server))]:
                act()
                for accept, check in [("text/plain", complaints_of_promtool), (OPEN_METRICS, complaints_of_open_metrics)]:
                    complaints = check(call(f"{server}/metrics", accept=accept))
                    print(f"{'FAILED' if complaints else 'ok'}: {accept}, {when}\n{complaints}", end="")
                    failed += bool(complaints)
        finally:
            process.terminate()
            process.wait()
    print(f"{4 - failed} passed, {failed} failed")
    return failed == 0


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1]))
