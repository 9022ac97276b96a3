"""Uses an MCP endpoint with the official Python SDK, and prints what it got as one line of JSON.

    python_client.py URL TOKEN [legacy | modern | sse]

It works with the versions 1 and 2 of the SDK. Version 1 knows only the legacy era, which begins with
`initialize`. Version 2 asks for the modern era and falls back to the legacy one, unless the third argument
chooses an era. With `sse`, version 1 uses the transport HTTP+SSE.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import sys

import mcp
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

SDK = int(importlib.metadata.version("mcp").split(".")[0])
DEADLINE_SECONDS = 30

if SDK == 1:
    import httpx
else:
    import httpx2 as httpx


async def answer(_context, _params):
    return ElicitResult(action="accept", content={"answer": "Ada"})


@contextlib.asynccontextmanager
async def connect_1(transport):
    """Yields a client of version 1, and its protocol version."""
    # The third part of Streamable HTTP is a function that returns the id of the session.
    async with transport as (read, write, *_):
        async with mcp.ClientSession(read, write, elicitation_callback=answer) as session:
            initialized = await session.initialize()
            yield session, initialized.protocolVersion


@contextlib.asynccontextmanager
async def connect_2(transport, era):
    """Yields a client of version 2, and its protocol version."""
    mode = {"legacy": "legacy", "modern": "2026-07-28"}.get(era, "auto")
    async with mcp.Client(transport, mode=mode, elicitation_callback=answer) as client:
        yield client, client.protocol_version


def text(result):
    """The text of the result of a tool. Fails when the tool has failed."""
    # The two versions name the fields of the model differently, but its JSON is the same.
    plain = result.model_dump(by_alias=True)
    if plain["isError"]:
        raise RuntimeError(f"A tool has failed: {plain['content']}")
    return plain["content"][0]["text"]


async def main(url, token, era="auto"):
    progress = []

    async def on_progress(value, _total, _message):
        progress.append(value)

    headers = {"Authorization": f"Bearer {token}"}
    client = httpx.AsyncClient(headers=headers, timeout=DEADLINE_SECONDS)
    async with asyncio.timeout(DEADLINE_SECONDS), client as http:
        if era == "sse":
            transport = sse_client(f"{url}/sse", headers=headers, timeout=DEADLINE_SECONDS)
        else:
            transport = streamable_http_client(url, http_client=http)
        # Leaving the block ends the session with a DELETE request.
        async with connect_1(transport) if SDK == 1 else connect_2(transport, era) as (session, version):
            listed = await session.list_tools()
            echo = text(await session.call_tool("echo", {"text": "hello"}))
            slow = {"steps": 3, "delay_ms": 20}
            text(await session.call_tool("slow", slow, progress_callback=on_progress))
            asked = text(await session.call_tool("ask", {"question": "name?"}))
    report = {
        "client": f"python-{SDK}",
        "version": version,
        "tools": [tool.name for tool in listed.tools],
        "echo": echo,
        "progress": progress,
        "answer": asked,
    }
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
