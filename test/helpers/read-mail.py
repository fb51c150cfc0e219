"""Reads messages, each after its length in bytes on a line, and prints what Python's email package reads in each, as JSON."""
import base64, email, email.policy, hashlib, json, sys

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


def read(raw):
    # Only header fields may have bytes beyond ASCII: those are UTF-8 (RFC 6532).
    message = email.message_from_string(raw.decode("utf-8"), policy=POLICY)
    parts = []
    found = []
    for part in message.walk():
        found += defects(part)
        if part.is_multipart():
            parts.append([part.get_content_type(), None, None, None, None])
            continue
        body = part.get_payload(decode=True)
        parts.append([part.get_content_type(), getattr(part["content-disposition"], "params", {}).get("filename"), part.get_content_disposition(), part["content-id"], hashlib.sha256(body).hexdigest()])
    return {
        "subject": message["subject"],
        "from": addresses(message, "from"),
        "to": addresses(message, "to"),
        "cc": addresses(message, "cc"),
        "reply_to": addresses(message, "reply-to"),
        "headers": [[k, str(v)] for k, v in message.items() if k.lower().startswith("x-")],
        "references": message["references"] and str(message["references"]).split(),
        "unsubscribe": message["list-unsubscribe"] and str(message["list-unsubscribe"]),
        "parts": parts,
        "defects": found,
    }


stdin = sys.stdin.buffer
while line := stdin.readline():
    print(json.dumps(read(stdin.read(int(line)))), flush=False)
