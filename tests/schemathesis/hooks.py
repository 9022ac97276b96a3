"""Gives each call its token, and keeps a run from hanging on a stream or ending its own session."""

import json
import os

import requests
import schemathesis

# From run.py.
VALUES = json.loads(os.environ["STREAMGATE_TEST"])


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


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = f"{case.method.upper()} {case.operation.path}"

    # A stream ends after its snapshot, or after a second. Values that are to be refused stay as they are.
    if is_stream(case.operation):
        case.query = dict(case.query or {})
        for name in ("max_events", "max_seconds"):
            if name not in case.query or would_be_accepted(case.query[name]):
                case.query[name] = 1

    # What closes a session, or spends a refresh token, gets one of its own.
    token = login()["access_token"] if operation == "POST /v1/auth/logout" else VALUES["token"]
    case.headers["Authorization"] = f"Bearer {token}"
    if operation == "POST /v1/auth/refresh" and isinstance(case.body, dict) and isinstance(case.body.get("refresh_token"), str):
        case.body["refresh_token"] = login()["refresh_token"]

    # Nobody removes, changes or revokes the caller: the rest of the run would be one 401.
    for name, value in (case.path_parameters or {}).items():
        if case.operation.path.startswith("/v1/users/") and value in VALUES["protected"] and operation[:3] != "GET":
            case.path_parameters[name] = VALUES["other_user"]
