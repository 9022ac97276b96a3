#!/usr/bin/env python3
"""Fills the disk of a gateway on SQLite, and counts the events that it acknowledged and kept.

    benches/disk_full.py BINARY [BINARY ...]

Mounts a tmpfs of 6 MiB for the data directory, which needs root. Publishes events of 28 KB one by one until the disk is
full, and 150 more. Then enlarges the disk, publishes again, kills the gateway with SIGKILL, and reads the event log
after a restart. Prints one line per binary.
"""
import collections, json, os, signal, subprocess, sys, tempfile, time, urllib.error, urllib.request

PASSWORD = "password of this benchmark"
PAD = "x" * 28_000


def serve(binary, data):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STREAMGATE_")}
    environment |= {
        "STREAMGATE_ADMIN_PASSWORD": PASSWORD,
        "STREAMGATE_LISTEN": "127.0.0.1:0",
        "STREAMGATE_DATA_DIR": data,
        "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE": "100000",
    }
    process = subprocess.Popen([binary, "serve"], env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("listening on "):
            return process, line.split()[-1]
    raise SystemExit(f"{binary} did not start")


def call(base, method, path, token=None, body=None):
    request = urllib.request.Request(base + path, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, data, timeout=30) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, None


def login(base):
    return call(base, "POST", "/v1/auth/login", body={"username": "admin", "password": PASSWORD})[1]["access_token"]


def run(binary):
    directory = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "streamgate-bench", directory], check=True)
    process = None
    try:
        process, base = serve(binary, directory)
        token = login(base)
        session = call(base, "POST", "/v1/sessions", token, {})[1]["id"]
        prompt = call(base, "POST", f"/v1/sessions/{session}/prompts", token, {"prompt": "x"})[1]["id"]
        path = f"/v1/sessions/{session}/prompts/{prompt}"
        acknowledged, statuses, ready = [], collections.Counter(), collections.Counter()

        def publish(number):
            event = {"kind": "message", "data": {"number": number, "pad": PAD}}
            status, _ = call(base, "POST", f"{path}/events", token, event)
            statuses[status] += 1
            if status < 300:
                acknowledged.append(number)
            elif status >= 500:
                ready[call(base, "GET", "/health/ready")[0]] += 1

        number = 0
        while not any(status >= 500 for status in statuses):
            publish(number)
            number += 1
        for number in range(number, number + 150):
            publish(number)
        subprocess.run(["mount", "-o", "remount,size=200m", directory], check=True)
        # After a failed write, the gateway checks repeatedly whether writes succeed again.
        until = time.monotonic() + 20
        while call(base, "GET", "/health/ready")[0] != 200 and time.monotonic() < until:
            time.sleep(0.1)
        for number in range(number + 1, number + 71):
            publish(number)
        ready_after = call(base, "GET", "/health/ready")[0]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process, base = serve(binary, directory)
        token = login(base)
        kept, after = [], ""
        while True:
            page = call(base, "GET", f"{path}/events?limit=200{after}", token)[1]
            kept += [event["data"]["number"] for event in page["events"] if event["kind"] == "message"]
            if not page["has_more"]:
                break
            after = f"&after={page['next']}"
        lost = len(set(acknowledged) - set(kept))
        extra = len(set(kept) - set(acknowledged))
        print(f"{binary}: acknowledged {len(acknowledged)}, lost {lost}, kept although refused {extra}; "
              f"statuses {dict(statuses)}; /health/ready while the disk is full {dict(ready)}, afterwards {ready_after}")
    finally:
        if process:
            process.kill()
            process.wait()
        subprocess.run(["umount", directory], check=True)
        os.rmdir(directory)


for binary in sys.argv[1:]:
    run(binary)
