#!/bin/sh
# Sends one message, waits for the outcome, and prints the response. Needs curl 7.76 or newer.
#   OUTTRAY_KEY=<secret> sh examples/send.sh ada@example.com
# Fails if the message fails: "code" and "hint" have the reason and the fix.
set -eu
url=${OUTTRAY_URL:-http://127.0.0.1:3000}

# Repeating the request with the same Idempotency-Key, for example after a timeout, never sends twice.
# A key that names the purpose of the message, such as "order-42-shipped", is better than a random one.
# Prefer: wait up to 10 s for the outcome. Otherwise the response is 202, and GET /messages/<id> has the outcome later.
curl --fail-with-body --silent --show-error --max-time 30 "$url/send" \
  -H "Authorization: Bearer $OUTTRAY_KEY" \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: example-$(date +%s)-$$" \
  -H 'Prefer: wait=10' \
  -d "{\"to\": \"$1\", \"subject\": \"Hello\", \"text\": \"Sent with curl.\"}"
echo
