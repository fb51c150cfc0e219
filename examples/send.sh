#!/bin/sh
# Sends one message and prints it as Outtray answered. Needs curl.
#   OUTTRAY_KEY=<secret> sh examples/send.sh ada@example.com
set -eu
url=${OUTTRAY_URL:-http://127.0.0.1:3000}

curl --fail-with-body --silent --show-error "$url/send" \
  -H "Authorization: Bearer $OUTTRAY_KEY" \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: example-$(date +%s)" \
  -H 'Prefer: wait=10' \
  -d "{\"to\": \"$1\", \"subject\": \"Hello\", \"text\": \"Sent with curl.\"}"
echo
