"""Runs Schemathesis against the real server: on SQLite once with a token of each role, then on each other database.

Usage: run.py SERVER_BINARY [DATABASE_URL...]. Each URL is that of an empty database. Some texts trouble one kind of
database and not another, whoever sends them, so the role that may do everything is enough there. Ends with
`N passed, N failed`, where one test is one operation called by one role.
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
PASSWORD = "a password of the schemathesis run"
START_DEADLINE_SECONDS = 30
# For one role. What hangs longer than this has failed.
RUN_DEADLINE_SECONDS = 300
SEED = 20
PROMPTS = 20
# The limits have tests of their own; here they would only hide the operations behind 429.
UNLIMITED = {
    "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_USER": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_NAME": "1000000",
    "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_ADDRESS": "1000000",
    "STREAMGATE_LIMITS__STREAMS_PER_USER": "1000",
    "STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE": "1000000",
}


def start(binary, directory, settings):
    """Starts the server; returns the process and its origin once it listens."""
    # Without the settings of whoever runs the tests.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}
    # A file rather than a pipe, which would have to be emptied all the time.
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
        # Ends with the process, if not before.
        for line in process.stdout:
            if line.startswith("listening on "):
                return process, line.removeprefix("listening on ").strip()
    finally:
        deadline.cancel()
    sys.exit(f"the server did not start:\n{log.read_text()}")


class Caller:
    """A user who is logged in."""

    def __init__(self, origin, username):
        self.origin = origin
        self.session = requests.Session()
        self.token = self.post("/v1/auth/login", username=username, password=PASSWORD)["access_token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        self.id = self.get("/v1/auth/me")["id"]

    def post(self, path, **body):
        return self.answer("POST", path, json=body)

    def get(self, path):
        return self.answer("GET", path)

    def answer(self, method, path, **request):
        response = self.session.request(method, self.origin + path, **request)
        if not response.ok:
            sys.exit(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    def user(self, username, role):
        return self.post("/v1/users", username=username, password=PASSWORD, role=role)["id"]

    def topology(self, name, *statuses):
        id = self.post("/v1/topologies", name=name)["id"]
        for status in statuses:
            self.post(f"/v1/topologies/{id}/status", status=status)
        return id


def run_as(role, admin, directory):
    """One run; returns how many operations passed and how many failed, and prints those that did."""
    # Everything anew, because the run before may have changed what it found.
    username = f"schemathesis-{role}"
    admin.user(username, role)
    caller = Caller(admin.origin, username)
    topology = admin.topology(f"of-{role}", "deploying", "active")
    for _ in range(3):
        admin.post(f"/v1/topologies/{topology}/mutations", op="add_node", payload={})
    # One under a lease, to report on; the others to claim.
    [claimed] = admin.post(f"/v1/topologies/{topology}/mutations/claim", max=1, lease_seconds=3600)
    # One that the caller may cancel and watch; hooks.py makes those that are worked on.
    task = caller.post("/v1/tasks", task_type="example", input={"a": 1})["id"]
    # The caller's own, each under a lease: some calls end theirs.
    session = caller.post("/v1/sessions")["id"]
    for _ in range(PROMPTS):
        caller.post(f"/v1/sessions/{session}/prompts", prompt="why?")
    prompts = []
    while len(prompts) < PROMPTS:
        # The run before has left some, which come first.
        for given in admin.post("/v1/prompts/claim", max=50, lease_seconds=3600):
            if given["prompt"]["session_id"] == session:
                path = f"/v1/sessions/{session}/prompts/{given['prompt']['id']}"
                cursor = caller.get(f"{path}/events")["next"]
                prompts.append({"id": given["prompt"]["id"], "lease_token": given["lease_token"], "cursor": cursor})
    # One whose stream has ended.
    ended = admin.topology(f"ended-{role}", "torn_down")
    values = {
        # Its own, or the names that this run makes up would all be taken by those of the run before.
        "seed": SEED + ROLES.index(role),
        "origin": admin.origin,
        "token": caller.token,
        "username": username,
        "password": PASSWORD,
        # The caller, and the administrator who prepares the runs.
        "protected": [admin.id, caller.id],
        # Somebody whom nobody needs.
        "other_user": admin.user(f"other-{role}", "viewer"),
        # Who works on tasks when the caller may not.
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
    # In its own directory, because Schemathesis leaves files behind where it runs.
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
        sys.exit(f"the {role} lost its session on the way, so later operations saw only 401")
    return passed, len(failed)


def run_on(binary, settings, roles):
    """These roles, one after the other, on a server of their own."""
    with tempfile.TemporaryDirectory(prefix="streamgate-schemathesis-") as name:
        directory = Path(name)
        process, origin = start(binary, directory, settings)
        try:
            admin = Caller(origin, "admin")
            counts = [run_as(role, admin, directory) for role in roles]
        finally:
            process.terminate()
            process.wait()
            # The cause of a 500 stands nowhere else.
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
