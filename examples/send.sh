#!/bin/sh
# Sends one message, waits for what becomes of it, and prints what Outtray answers. Needs curl 7.76 or newer.
#   OUTTRAY_KEY=<secret> sh examples/send.sh ada@example.com
# It fails if the mail does: then "code" and "hint" say why, and what mends it.
set -eu
url=${OUTTRAY_URL:-http://127.0.0.1:3000}

# The same request with the same Idempotency-Key, after a timeout for instance, never sends twice:
# better than a random one is what the mail is about, such as "order-42-shipped".
# Prefer: wait up to 10 s for the outcome. Without it, or if it takes longer: 202, and GET /messages/<id> tells later.
curl --fail-with-body --silent --show-error --max-time 30 "$url/send" \
  -H "Authorization: Bearer $OUTTRAY_KEY" \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: example-$(date +%s)-$$" \
  -H 'Prefer: wait=10' \
  -d "{\"to\": \"$1\", \"subject\": \"Hello\", \"text\": \"Sent with curl.\"}"
echo
