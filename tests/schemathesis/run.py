"""Runs Schemathesis against the server: on SQLite with a token of each role, then on each other database as admin.

Usage: run.py SERVER_BINARY [DATABASE_URL...]. Each URL is that of an empty database. A text can cause an error on one
kind of database only. The error does not depend on the role, so one role is enough on the other databases. Ends with
`N passed, N failed`. One test is one operation called by one role.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from string import Template

import requests

HERE = Path(__file__).parent
ROLES = ["viewer", "agent", "operator", "admin"]
PASSWORD = "password of the schemathesis run"
START_DEADLINE_SECONDS = 30
# Time limit for one role.
RUN_DEADLINE_SECONDS = 300
SEED = 20
PROMPTS = 20
# The limits are raised, because other tests check them. Here most responses would be 429.
UNLIMITED = {
    "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_USER": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_NAME": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_ADDRESS": "1000000",
    "STREAMGATE_LIMITS__STREAMS_PER_USER": "1000",
    "STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE": "1000000",
}


def start(binary, directory, settings):
    """Starts the server. Returns the process and its origin when it accepts connections."""
    # Settings in the caller's environment must not affect the test.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}
    # The log goes to a file, because a pipe would need a reader.
    log = directory / "server.log"
    process = subprocess.Popen(
        [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", directory / "data"],
        env={**inherited, **UNLIMITED, **settings, "STREAMGATE_ADMIN_PASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )
    deadline = threading.Timer(START_DEADLINE_SECONDS, process.kill)
    deadline.start()
    try:
        # The loop also ends when the process ends.
        for line in process.stdout:
            if line.startswith("listening on "):
                return process, line.removeprefix("listening on ").strip()
    finally:
        deadline.cancel()
    sys.exit(f"the server did not start:\n{log.read_text()}")


class Caller:
    """A logged-in user."""

    def __init__(self, origin, username):
        self.origin = origin
        self.session = requests.Session()
        self.token = self.post("/v1/auth/login", username=username, password=PASSWORD)["access_token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        self.id = self.get("/v1/auth/me")["id"]

    def post(self, path, **body):
        return self.request("POST", path, json=body)

    def get(self, path):
        return self.request("GET", path)

    def request(self, method, path, **arguments):
        response = self.session.request(method, self.origin + path, **arguments)
        if not response.ok:
            sys.exit(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    def create_user(self, username, role):
        return self.post("/v1/users", username=username, password=PASSWORD, role=role)["id"]

    def create_topology(self, name, *statuses):
        id = self.post("/v1/topologies", name=name)["id"]
        for status in statuses:
            self.post(f"/v1/topologies/{id}/status", status=status)
        return id


def run_as(role, admin, directory):
    """Runs Schemathesis as one role. Prints the failed operations. Returns how many passed and failed."""
    # Each run has new resources, because an earlier run can have changed its own.
    username = f"schemathesis-{role}"
    admin.create_user(username, role)
    caller = Caller(admin.origin, username)
    topology = admin.create_topology(f"of-{role}", "deploying", "active")
    for _ in range(3):
        admin.post(f"/v1/topologies/{topology}/mutations", op="add_node", payload={})
    # One mutation is leased, for reports. The others can be claimed.
    [claimed] = admin.post(f"/v1/topologies/{topology}/mutations/claim", max=1, lease_seconds=3600)
    # A task that the caller may cancel and watch. hooks.py creates the tasks for workers.
    task = caller.post("/v1/tasks", task_type="example", input={"a": 1})["id"]
    # Prompts of the caller, all leased. There are several, because some calls end a lease.
    session = caller.post("/v1/sessions")["id"]
    for _ in range(PROMPTS):
        caller.post(f"/v1/sessions/{session}/prompts", prompt="why?")
    prompts = []
    while len(prompts) < PROMPTS:
        # Prompts that an earlier run has left are claimed first.
        for given in admin.post("/v1/prompts/claim", max=50, lease_seconds=3600):
            if given["prompt"]["session_id"] == session:
                path = f"/v1/sessions/{session}/prompts/{given['prompt']['id']}"
                cursor = caller.get(f"{path}/events")["next"]
                prompts.append({"id": given["prompt"]["id"], "lease_token": given["lease_token"], "cursor": cursor})
    # A topology whose stream has ended.
    ended = admin.create_topology(f"ended-{role}", "torn_down")
    values = {
        # Each role has another seed. Otherwise an earlier run would have taken all made-up names.
        "seed": SEED + ROLES.index(role),
        "origin": admin.origin,
        "token": caller.token,
        "username": username,
        "password": PASSWORD,
        # The caller, and the administrator of this script.
        "protected": [admin.id, caller.id],
        # A user that calls can change.
        "other_user": admin.create_user(f"other-{role}", "viewer"),
        # For work on tasks that the caller may not do.
        "admin_token": admin.token,
        "task": task,
        "task_cursor": caller.get(f"/v1/tasks/{task}/events")["next"],
        "topology": topology,
        "mutation": claimed["mutation"]["id"],
        "lease_token": claimed["lease_token"],
        "cursor": admin.get(f"/v1/topologies/{topology}/events")["next"],
        "session": session,
        "prompts": prompts,
        "ended_topology": ended,
        "ended_cursor": admin.get(f"/v1/topologies/{ended}/events")["next"],
    }
    config = directory / f"{role}.toml"
    config.write_text(Template((HERE / "schemathesis.toml").read_text()).substitute(values))
    report = directory / f"{role}.xml"
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config]
    command += ["run", f"{admin.origin}/openapi.json", "--no-color", "--report-junit-path", report]
    # In a temporary directory, because Schemathesis writes files to its working directory.
    status = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "STREAMGATE_TEST": json.dumps(values)},
        timeout=RUN_DEADLINE_SECONDS,
    ).returncode

    cases = list(ET.parse(report).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    passed = len([case for case in cases if case.find("skipped") is None]) - len(failed)
    print(f"{role}: {passed} operations passed, {len(failed)} failed", *failed, sep="\n  ", flush=True)
    if status and not failed:
        sys.exit(f"Schemathesis ended with status {status}")
    if caller.session.get(f"{admin.origin}/v1/auth/me").status_code != 200:
        sys.exit(f"the login session of {role} ended during the run, so later operations only returned 401")
    return passed, len(failed)


def run_on(binary, settings, roles):
    """Starts a server and runs these roles, one after the other."""
    with tempfile.TemporaryDirectory(prefix="streamgate-schemathesis-") as name:
        directory = Path(name)
        process, origin = start(binary, directory, settings)
        try:
            admin = Caller(origin, "admin")
            counts = [run_as(role, admin, directory) for role in roles]
        finally:
            process.terminate()
            process.wait()
            # Only the log contains the cause of a 500.
            errors = [line for line in (directory / "server.log").read_text().splitlines() if " ERROR " in line]
            print(*errors, sep="\n")
    return counts


def main():
    binary, *urls = sys.argv[1:]
    databases = [{}, *({"STREAMGATE_DATABASE__URL": url} for url in urls)]
    counts = []
    for settings in databases:
        print(f"\n### {'PostgreSQL' if settings else 'SQLite'}", flush=True)
        counts += run_on(binary, settings, ["admin"] if settings else ROLES)
    passed, failed = map(sum, zip(*counts))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
