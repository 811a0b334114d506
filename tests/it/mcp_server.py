#!/usr/bin/env python3
"""An MCP server over stdio with one tool, echo. It also tells what its environment holds; "boom" is an error."""

import json
import os
import sys

TOOL = {
    "name": "echo",
    "description": "Says the text back",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def result(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "demo", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        text = params.get("arguments", {}).get("text", "")
        if text == "boom":
            return {"content": [{"type": "text", "text": "it broke"}], "isError": True}
        greeting = os.environ.get("DEMO_GREETING", "none")
        token = "present" if os.environ.get("AUTH_TOKEN") else "none"
        return {"content": [{"type": "text", "text": f"{text}, greeting: {greeting}, token: {token}"}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result(message["method"], message.get("params", {}))}
        print(json.dumps(answer), flush=True)
