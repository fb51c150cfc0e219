"""Sends one message with an attachment and waits for the outcome. Needs Python 3.9 or newer, and nothing else.

    OUTTRAY_KEY=<secret> python3 examples/send.py ada@example.com
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("OUTTRAY_URL", "http://127.0.0.1:3000")
REPORT = "month,sales\nMay,42\n"

request = urllib.request.Request(
    f"{URL}/send",
    headers={
        "Authorization": f"Bearer {os.environ['OUTTRAY_KEY']}",
        "Content-Type": "application/json",
        # Repeating the request with the same key, for example after a timeout, never sends twice.
        # A key that names the purpose of the message, such as "report-2026-05", is better than a random one.
        "Idempotency-Key": str(uuid.uuid4()),
        # Wait up to 10 s for the outcome. Otherwise the response is 202, and GET /messages/<id> has the outcome later.
        "Prefer": "wait=10",
    },
    data=json.dumps(
        {
            "to": sys.argv[1],
            "subject": "Your report",
            "text": "Attached.",
            "attachments": [
                {
                    "filename": "report.csv",
                    "content": base64.b64encode(REPORT.encode()).decode(),
                    "content_type": "text/csv",
                }
            ],
        }
    ).encode(),
)
try:
    with urllib.request.urlopen(request, timeout=30) as response:
        message = json.load(response)
except urllib.error.HTTPError as error:
    problem = json.load(error)
    lines = [f"{problem['code']}: {problem['detail']}", problem["hint"]]
    sys.exit("\n".join(lines + [f"  {each['pointer']}: {each['detail']}" for each in problem["errors"]]))

print(f"{message['id']} is {message['status']}")
