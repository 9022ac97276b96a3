"""An MCP server of the version 2026-07-28 with one tool, which returns its arguments."""

import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    match message["method"]:
        case "server/discover":
            result = {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "count", "version": "1"},
            }
        case "tools/list":
            result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        case _:
            result = message["params"]["arguments"]
    result["resultType"] = "complete"
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
