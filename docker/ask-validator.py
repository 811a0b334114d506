#!/usr/bin/env python3
"""Has a running executor validate its image for a shell, as Wegent's manager does, and prints what it finds.

    ask-validator.py EXECUTOR_URL CALLBACK_PORT SHELL      exit code 0 if the image is valid
"""

import http.server
import json
import queue
import sys
import threading
import urllib.request

executor, port, shell = sys.argv[1].rstrip("/"), int(sys.argv[2]), sys.argv[3]
events: queue.Queue = queue.Queue()


class Callbacks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        events.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def ask():
    subtask = sum(shell.encode())
    request = {
        "model": "ImageValidator",
        "input": f"Validate {shell} image",
        "background": True,
        "metadata": {
            "task_id": 1,
            "subtask_id": subtask,
            "type": "validation",
            "bot": [{"agent_name": "ImageValidator"}],
            "validation_params": {"shell_type": shell, "image": "this", "shell_name": shell, "validation_id": f"check-{shell}"},
            "callback_url": f"http://127.0.0.1:{port}/callback",
        },
    }
    body = json.dumps(request).encode()
    asked = urllib.request.Request(f"{executor}/v1/responses", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        answer.read()


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Callbacks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask()
    while True:
        event = events.get(timeout=180)
        if event["event_type"] == "response.completed":
            break
        if event["event_type"] == "error":
            sys.exit(f"ask-validator: {event['data']}")
    text = event["data"]["response"]["output"][0]["content"][0]["text"]
    report = json.loads(text)
    for check in report["checks"]:
        print(f"{shell}: {check['name']}: {check['status']} {check.get('version') or ''} {check.get('message') or ''}".rstrip())
    sys.exit(0 if report["valid"] else 1)


if __name__ == "__main__":
    main()
