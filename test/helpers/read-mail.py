"""Reads messages, each after its length in bytes on a line, and prints what Python's email package reads in each, as JSON."""
import email, email.policy, hashlib, json, re, sys

POLICY = email.policy.SMTPUTF8


def defects(part):
    found = [repr(d) for d in part.defects]
    for name, value in part.items():
        found += [f"{name}: {d!r}" for d in getattr(value, "defects", ())]
    # RFC 6532 allows such a local part; Python reports it all the same.
    return [d for d in found if "NonASCIILocalPart" not in d]


def addresses(message, name):
    field = message[name]
    return [] if field is None else [[a.display_name, a.addr_spec] for a in field.addresses]


def text(part, name):
    return None if part[name] is None else str(part[name])


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def read_part(part, depth):
    kind = part["content-type"]
    found = {"depth": depth, "type": part.get_content_type(), "parameters": {k: v for k, v in kind.params.items() if k != "boundary"} if kind else {}}
    if part.is_multipart():
        return found
    content = part.get_payload(decode=True)
    return found | {
        "name": getattr(part["content-disposition"], "params", {}).get("filename"),
        "disposition": part.get_content_disposition(),
        "content_id": text(part, "content-id"),
        "sha256": sha256(content),
        "lines_sha256": sha256(b"\n".join(re.split(rb"\r\n|\r|\n", content)).rstrip(b"\n")),
    }


def walk(part, depth=0):
    yield part, depth
    if part.is_multipart():
        for child in part.iter_parts():
            yield from walk(child, depth + 1)


def read(raw):
    # Only header fields may have bytes beyond ASCII: those are UTF-8 (RFC 6532).
    message = email.message_from_string(raw.decode("utf-8"), policy=POLICY)
    parts = list(walk(message))
    return {
        "subject": text(message, "subject"),
        "from": addresses(message, "from"),
        "to": addresses(message, "to"),
        "cc": addresses(message, "cc"),
        "replyTo": addresses(message, "reply-to"),
        "date": message["date"].datetime.timestamp() * 1000,
        "message_id": text(message, "message-id"),
        "in_reply_to": text(message, "in-reply-to"),
        "references": (text(message, "references") or "").split(),
        "names": sorted(k.lower() for k in message.keys()),
        "headers": {k: str(v) for k, v in message.items() if k.lower().startswith(("x-", "list-", "comments", "mime-version"))},
        "parts": [read_part(part, depth) for part, depth in parts],
        "defects": [d for part, _ in parts for d in defects(part)],
    }


stdin = sys.stdin.buffer
while line := stdin.readline():
    print(json.dumps(read(stdin.read(int(line)))), flush=False)
