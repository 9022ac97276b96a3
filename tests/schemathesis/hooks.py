"""Gives each call its token, leads most calls to something that exists, and keeps a run from hanging on a stream or
ending its own session."""

import itertools
import json
import os
import re
import uuid

import requests
import schemathesis

# From run.py.
VALUES = json.loads(os.environ["STREAMGATE_TEST"])
CALLS = itertools.count()


@schemathesis.serializer("application/x-ndjson")
def as_it_is(ctx, value):
    """The document can only say that it is a text."""
    return value if isinstance(value, bytes) else str(value).encode()


def login():
    body = {"username": VALUES["username"], "password": VALUES["password"]}
    response = requests.post(f"{VALUES['origin']}/v1/auth/login", json=body, timeout=10)
    response.raise_for_status()
    return response.json()


def is_stream(operation):
    responses = operation.definition.raw.get("responses", {})
    return "text/event-stream" in responses.get("200", {}).get("content", {})


def would_be_accepted(value):
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


def lead(place, names, is_one):
    """Puts what is there in the place of what could be there. What is to be refused stays as it is."""
    for name, value in names.items():
        if isinstance(place, dict) and is_one(place.get(name)):
            place[name] = value


def task_post(path, token, body):
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(f"{VALUES['origin']}/v1/tasks{path}", json=body, headers=headers, timeout=10)
    response.raise_for_status()
    return response.json()


def lead_to_task(case):
    """What works on a task gets one of its own, because most of it ends the lease."""
    path, body = case.operation.path, case.body
    lead(case.path_parameters, {"id": VALUES["task"]}, is_id)
    cursor = VALUES["task_cursor"]
    lead(case.query, {"last_event_id": cursor, "after": cursor}, is_cursor)
    lead(case.headers, {"Last-Event-ID": cursor}, is_cursor)
    if case.method.upper() != "POST" or path == "/v1/tasks":
        return
    skill = str(uuid.uuid4())
    task = task_post("", VALUES["token"], {"task_type": skill})["id"]
    if path == "/v1/tasks/claim":
        if isinstance(body, dict) and isinstance(body.get("skills"), list) and body["skills"]:
            body["skills"][0] = skill
        return
    lead(case.path_parameters, {"id": task}, is_id)
    if path == "/v1/tasks/{id}/cancel":
        return
    [claimed] = task_post("/claim", VALUES["admin_token"], {"skills": [skill], "lease_seconds": 3600})
    lead(body, {"lease_token": claimed["lease_token"]}, is_id)
    lead(body, {"seq": 1}, would_be_accepted)


def lead_somewhere(case, call):
    """Made-up ids and the examples of the document are almost always 404, and their cursors unknown."""
    path, body = case.operation.path, case.body
    if path.startswith("/v1/users/"):
        lead(case.path_parameters, {"id": VALUES["other_user"]}, is_id)
        return
    if path.startswith("/v1/tasks"):
        lead_to_task(case)
        return
    if path.startswith("/v1/sessions/"):
        prompt = VALUES["prompts"][call % len(VALUES["prompts"])]
        lead(case.path_parameters, {"session_id": VALUES["session"], "prompt_id": prompt["id"]}, is_id)
        lead(body, {"lease_token": prompt["lease_token"]}, is_id)
        lead(case.headers, {"Lease-Token": prompt["lease_token"]}, is_id)
        lead(case.query, {"last_event_id": prompt["cursor"], "after": prompt["cursor"]}, is_cursor)
        lead(case.headers, {"Last-Event-ID": prompt["cursor"]}, is_cursor)
        return
    # Now and then the one whose streams have ended.
    ended = "ended_" if call % 4 == 1 else ""
    topology, cursor = VALUES[f"{ended}topology"], VALUES[f"{ended}cursor"]
    if path.startswith("/v1/topologies/"):
        lead(case.path_parameters, {"id": topology, "mutation_id": VALUES["mutation"]}, is_id)
    lead(body, {"id": topology, "lease_token": VALUES["lease_token"]}, is_id)
    # No made-up version is the present one; the other calls are the conflict.
    if call % 2 and isinstance(body, dict) and isinstance(body.get("expected_version"), int):
        del body["expected_version"]
    lead(case.query, {"topic": [f"topology.{topology}"]}, is_topics)
    lead(body, {"topics": [f"topology.{topology}"]}, is_topics)
    lead(case.query, {"last_event_id": cursor, "after": cursor}, is_cursor)
    lead(case.headers, {"Last-Event-ID": cursor}, is_cursor)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = f"{case.method.upper()} {case.operation.path}"
    call = next(CALLS)

    if call % 4:
        lead_somewhere(case, call)
    # A name can be given once; the other calls are the conflict.
    if operation in ("POST /v1/topologies", "POST /v1/users") and call % 2 and isinstance(case.body, dict):
        for name in ("name", "username"):
            if isinstance(case.body.get(name), str):
                case.body[name] += f"-{call}"

    # Nobody waits for work longer than a moment.
    if isinstance(case.body, dict) and case.body.get("wait_seconds") in range(2, 61):
        case.body["wait_seconds"] = 1

    if is_stream(case.operation):
        case.query = dict(case.query or {})
        # A stream ends after its snapshot, or after a second. Values that are to be refused stay as they are.
        for name in ("max_events", "max_seconds"):
            if name not in case.query or would_be_accepted(case.query[name]):
                case.query[name] = 1
        # It hides the status of a refusal.
        if call % 2 and case.query.get("on_refusal") == "event":
            del case.query["on_refusal"]

    # What closes a session, or spends a refresh token, gets one of its own.
    token = login()["access_token"] if operation == "POST /v1/auth/logout" else VALUES["token"]
    case.headers["Authorization"] = f"Bearer {token}"
    if operation == "POST /v1/auth/refresh" and isinstance(case.body, dict) and isinstance(case.body.get("refresh_token"), str):
        case.body["refresh_token"] = login()["refresh_token"]

    # Nobody removes, changes or revokes the caller: the rest of the run would be one 401.
    for name, value in (case.path_parameters or {}).items():
        if case.operation.path.startswith("/v1/users/") and value in VALUES["protected"] and operation[:3] != "GET":
            case.path_parameters[name] = VALUES["other_user"]
