#!/usr/bin/env python3
"""An MCP server over stdio with one tool, echo. It also tells what its environment holds; "boom" is an error, "ask" asks
the person, and says what came back."""

import json
import os
import sys

TOOL = {
    "name": "echo",
    "description": "Says the text back",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Your name"},
        "age": {"type": "integer"},
        "news": {"type": "boolean"},
    },
    "required": ["name"],
}


def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def ask():
    """Asks the person by the client; what else comes meanwhile is not for us."""
    form = {"message": "Who are you?", "requestedSchema": FORM}
    say({"id": "the-question", "method": "elicitation/create", "params": form})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "the-question":
            return message.get("result") or message.get("error")
    return None


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
        if text == "ask":
            return {"content": [{"type": "text", "text": json.dumps(ask(), sort_keys=True)}]}
        greeting = os.environ.get("DEMO_GREETING", "none")
        token = "present" if os.environ.get("AUTH_TOKEN") else "none"
        return {"content": [{"type": "text", "text": f"{text}, greeting: {greeting}, token: {token}"}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        say({"id": message["id"], "result": result(message["method"], message.get("params", {}))})
