<?php
// Sends one message and waits for the outcome. Needs PHP 8.1 or newer with OpenSSL for https, and nothing else.
//   OUTTRAY_KEY=<secret> php examples/send.php ada@example.com

$url = getenv('OUTTRAY_URL') ?: 'http://127.0.0.1:3000';
$to = $argv[1] ?? '';

$response = file_get_contents("$url/send", false, stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        'Authorization: Bearer ' . getenv('OUTTRAY_KEY'),
        'Content-Type: application/json',
        // Repeating the request with the same key, for example after a timeout, never sends twice.
        "Idempotency-Key: invoice-42-$to",
        // Wait up to 10 s for the outcome. Otherwise the response is 202, and GET /messages/<id> has the outcome later.
        'Prefer: wait=10',
    ],
    'content' => json_encode(['to' => $to, 'subject' => 'Invoice 42', 'text' => 'Sent with PHP.'], JSON_THROW_ON_ERROR),
    'timeout' => 30,
    // A problem has a body that names the error, so it is no reason to fail here.
    'ignore_errors' => true,
]]));
if ($response === false) {
    fwrite(STDERR, "No response: repeat the request with the same Idempotency-Key.\n");
    exit(1);
}
$message = json_decode($response, true, flags: JSON_THROW_ON_ERROR);
if (!isset($message['recipients'])) {
    fwrite(STDERR, "{$message['code']}: {$message['detail']}\n{$message['hint']}\n");
    exit(1);
}
echo "{$message['id']} is {$message['status']}\n";
