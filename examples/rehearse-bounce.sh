#!/usr/bin/env bash
# Rehearses a bounce and a lost reply against the simulator, for example in CI. Needs curl 7.76 or newer.
#   bash examples/rehearse-bounce.sh
# Runs `npx outtray`; in a checkout, set OUTTRAY="npx node src/main.ts". Uses PORT (3000) and the five ports
# after it. Exits with 0 if each step has the expected result.
# -m: each background job can be ended with its children.
set -eum
outtray=${OUTTRAY:-npx outtray}
port=${PORT:-3000}
url=http://127.0.0.1:$port
key=$(openssl rand -hex 24)
dir=$(mktemp -d)

clean_up() {
  for job in $(jobs -p); do kill -- "-$job" 2> /dev/null || true; done
  rm -rf "$dir"
}
trap clean_up EXIT

fail() {
  echo "$1" >&2
  cat "$dir"/*.log >&2
  exit 1
}

# Repeats a command for at most 30 s, until it succeeds.
until_true() {
  for _ in $(seq 150); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.2
  done
  fail "Timed out: $*"
}

api() {
  path=$1
  shift
  curl --silent --show-error --max-time 60 "$url$path" -H "Authorization: Bearer $key" "$@"
}

# Sends a message to $1, and waits for the outcome.
send() {
  api /send -H 'Content-Type: application/json' -H 'Prefer: wait=30' \
    -d "{\"to\": \"$1\", \"subject\": \"Rehearsal\", \"text\": \"Hello.\"}"
}

# Checks that the input contains $1.
expect() {
  grep -F "$1" > /dev/null || fail "Missing: $1"
  echo "  $1"
}

$outtray simulator --smtp-port $((port + 2)) --smtps-port $((port + 3)) --imap-port $((port + 4)) \
  --http-port $((port + 5)) --ca-file "$dir/ca.pem" > "$dir/simulator.log" 2>&1 &
until_true test -s "$dir/ca.pem"

# The endpoint of the webhook: your own service. Here, it appends each event to a file.
node -e 'require("http").createServer((request, response) => {
  request.pipe(require("fs").createWriteStream(process.argv[2], { flags: "a" })).on("close", () => response.end());
}).listen(process.argv[1], "127.0.0.1")' $((port + 1)) "$dir/events" > "$dir/endpoint.log" 2>&1 &

PORT=$port API_KEYS="ci:$key" GMAIL_USER=demo@simulator.test GMAIL_APP_PASSWORD=abcdefghijklmnop \
  SMTP_URL=smtp://localhost:$((port + 2)) IMAP_URL=imaps://localhost:$((port + 4)) INBOUND=replies \
  WEBHOOK_URL=http://127.0.0.1:$((port + 1)) WEBHOOK_ALLOWED_HOSTS=127.0.0.1 \
  WEBHOOK_SECRET="whsec_$(openssl rand -base64 32)" \
  NODE_EXTRA_CA_CERTS="$dir/ca.pem" $outtray serve > "$dir/service.log" 2>&1 &
until_true curl --fail "$url/readyz"

echo 'A message is sent, then bounces:'
send bounces-later@simulator.test | expect '"status":"sent"'
until_true grep -q '"type":"message.bounced"' "$dir/events"
api '/messages?bounced=true' | expect '"class":"hard"'

echo 'The address is suppressed, so the next message is refused:'
api /suppressions/bounces-later@simulator.test | expect '"reason":"bounce"'
send bounces-later@simulator.test | expect '"code":"recipient_suppressed"'

echo 'The reply to a message is lost, and Sent Mail confirms it:'
send drop-after-dot@simulator.test | expect '"confirmed_by":"sent_mail"'
