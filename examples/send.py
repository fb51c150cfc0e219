"""Sends one message with an attachment and follows it until it is settled. Needs Python 3.9 or newer, and nothing else.

    OUTTRAY_KEY=<secret> python3 examples/send.py ada@example.com
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("OUTTRAY_URL", "http://127.0.0.1:3000")
HEADERS = {"Authorization": f"Bearer {os.environ['OUTTRAY_KEY']}", "Content-Type": "application/json"}


def call(path, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {**HEADERS, **(headers or {})})
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        sys.exit(f"{problem['code']}: {problem['detail']}\n{problem['hint']}")


report = base64.b64encode("month,sales\nMay,42\n".encode()).decode()
message = call(
    "/send",
    {
        "to": sys.argv[1],
        "subject": "Your report",
        "text": "Attached.",
        "attachments": [{"filename": "report.csv", "content": report, "content_type": "text/csv"}],
    },
    {"Idempotency-Key": str(uuid.uuid4())},
)
while message["finished_at"] is None:
    print(message["id"], message["status"])
    time.sleep(0.5)
    message = call(f"/messages/{message['id']}")
print(message["id"], message["status"], message["error"] and message["error"]["code"] or "")
