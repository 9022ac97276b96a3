"""Hooks for Schemathesis.

They give each call a token, and replace most made-up ids by those of existing resources. They keep a run from waiting
for the end of a stream, and from ending its own login session.
"""

import itertools
import json
import os
import re
import uuid

import requests
import schemathesis

# Set by run.py.
VALUES = json.loads(os.environ["STREAMGATE_TEST"])
CALLS = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """Sends the value unchanged. OpenAPI 3.0 describes NDJSON only as text."""
    return value if isinstance(value, bytes) else str(value).encode()


def login():
    body = {"username": VALUES["username"], "password": VALUES["password"]}
    response = requests.post(f"{VALUES['origin']}/v1/auth/login", json=body, timeout=10)
    response.raise_for_status()
    return response.json()


def is_stream(operation):
    responses = operation.definition.raw.get("responses", {})
    return "text/event-stream" in responses.get("200", {}).get("content", {})


def is_positive(value):
    try:
        return float(value) >= 1
    except (TypeError, ValueError):
        return False


def is_id(value):
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


def is_cursor(value):
    return isinstance(value, str) and re.fullmatch("[0-9a-f]+-[0-9]+-[0-9a-f]+", value)


def is_topics(value):
    return isinstance(value, list) and value and all(isinstance(name, str) and "." in name for name in value)


def replace(container, values, is_valid):
    """Replaces valid made-up values by existing ones. Invalid values stay, because they test an error."""
    for name, value in values.items():
        if isinstance(container, dict) and is_valid(container.get(name)):
            container[name] = value


def task_post(path, token, body):
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(f"{VALUES['origin']}/v1/tasks{path}", json=body, headers=headers, timeout=10)
    response.raise_for_status()
    return response.json()


def use_task(case):
    """Gives each call that works on a task a new task, because most of these calls end the lease."""
    path, body = case.operation.path, case.body
    replace(case.path_parameters, {"id": VALUES["task"]}, is_id)
    cursor = VALUES["task_cursor"]
    replace(case.query, {"last_event_id": cursor, "after": cursor}, is_cursor)
    replace(case.headers, {"Last-Event-ID": cursor}, is_cursor)
    if case.method.upper() != "POST" or path == "/v1/tasks":
        return
    skill = str(uuid.uuid4())
    task = task_post("", VALUES["token"], {"task_type": skill})["id"]
    if path == "/v1/tasks/claim":
        if isinstance(body, dict) and isinstance(body.get("skills"), list) and body["skills"]:
            body["skills"][0] = skill
        return
    replace(case.path_parameters, {"id": task}, is_id)
    if path == "/v1/tasks/{id}/cancel":
        return
    [claimed] = task_post("/claim", VALUES["admin_token"], {"skills": [skill], "lease_seconds": 3600})
    replace(body, {"lease_token": claimed["lease_token"]}, is_id)
    replace(body, {"seq": 1}, is_positive)


def use_existing(case, call):
    """Uses existing ids and cursors. Made-up ids are almost always 404, and made-up cursors are unknown."""
    path, body = case.operation.path, case.body
    if path.startswith("/v1/users/"):
        replace(case.path_parameters, {"id": VALUES["other_user"]}, is_id)
        return
    if path.startswith("/v1/tasks"):
        use_task(case)
        return
    if path.startswith("/v1/sessions/"):
        prompt = VALUES["prompts"][call % len(VALUES["prompts"])]
        replace(case.path_parameters, {"session_id": VALUES["session"], "prompt_id": prompt["id"]}, is_id)
        replace(body, {"lease_token": prompt["lease_token"]}, is_id)
        replace(case.headers, {"Lease-Token": prompt["lease_token"]}, is_id)
        replace(case.query, {"last_event_id": prompt["cursor"], "after": prompt["cursor"]}, is_cursor)
        replace(case.headers, {"Last-Event-ID": prompt["cursor"]}, is_cursor)
        return
    # One call in four uses a topology whose streams have ended.
    ended = "ended_" if call % 4 == 1 else ""
    topology, cursor = VALUES[f"{ended}topology"], VALUES[f"{ended}cursor"]
    if path.startswith("/v1/topologies/"):
        replace(case.path_parameters, {"id": topology, "mutation_id": VALUES["mutation"]}, is_id)
    replace(body, {"id": topology, "lease_token": VALUES["lease_token"]}, is_id)
    # A made-up version is never the current version. Half of the calls keep it, and test the conflict.
    if call % 2 and isinstance(body, dict) and isinstance(body.get("expected_version"), int):
        del body["expected_version"]
    replace(case.query, {"topic": [f"topology.{topology}"]}, is_topics)
    replace(body, {"topics": [f"topology.{topology}"]}, is_topics)
    replace(case.query, {"last_event_id": cursor, "after": cursor}, is_cursor)
    replace(case.headers, {"Last-Event-ID": cursor}, is_cursor)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = f"{case.method.upper()} {case.operation.path}"
    call = next(CALLS)

    if call % 4:
        use_existing(case, call)
    # Names are unique. Half of the calls keep a name that is taken, and test the conflict.
    if operation in ("POST /v1/topologies", "POST /v1/users") and call % 2 and isinstance(case.body, dict):
        for name in ("name", "username"):
            if isinstance(case.body.get(name), str):
                case.body[name] += f"-{call}"

    # Limits the wait for work to one second.
    if isinstance(case.body, dict) and case.body.get("wait_seconds") in range(2, 61):
        case.body["wait_seconds"] = 1

    if is_stream(case.operation):
        case.query = dict(case.query or {})
        # Ends the stream after its snapshot, or after a second. Invalid values stay, because they test an error.
        for name in ("max_events", "max_seconds"):
            if name not in case.query or is_positive(case.query[name]):
                case.query[name] = 1
        # `on_refusal=event` hides the status of the error.
        if call % 2 and case.query.get("on_refusal") == "event":
            del case.query["on_refusal"]

    # A call that ends a login session, or uses a refresh token, gets a new one.
    token = login()["access_token"] if operation == "POST /v1/auth/logout" else VALUES["token"]
    case.headers["Authorization"] = f"Bearer {token}"
    if operation == "POST /v1/auth/refresh" and isinstance(case.body, dict) and isinstance(case.body.get("refresh_token"), str):
        case.body["refresh_token"] = login()["refresh_token"]

    # No call deletes, updates or revokes the caller. Otherwise all later calls would be 401.
    for name, value in (case.path_parameters or {}).items():
        if case.operation.path.startswith("/v1/users/") and value in VALUES["protected"] and operation[:3] != "GET":
            case.path_parameters[name] = VALUES["other_user"]
