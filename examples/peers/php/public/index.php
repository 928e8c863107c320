<?php

// An API that takes wxmint's tokens.
declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

use Wxmint\State;
use Wxmint\Token;

/** The claims of who asks, or ends the request: 401 without a good token, 503 while none can be judged. */
function current_user(): array
{
    // php-fpm behind Apache needs `CGIPassAuth On`.
    $authorization = $_SERVER['HTTP_AUTHORIZATION'] ?? null;
    if ($authorization === null) {
        header('WWW-Authenticate: Bearer', true, 401);
        exit;
    }
    $state = new State();
    $known = $state->known();
    if (State::unavailable($known)) {
        header('Retry-After: 2', true, 503);
        exit;
    }
    try {
        return Token::verified($authorization, $state, $known);
    } catch (Throwable $error) {
        error_log('refused: ' . $error->getMessage());
        header('WWW-Authenticate: Bearer error="invalid_token"', true, 401);
        exit;
    }
}

header('Content-Type: application/json');
$path = strtok($_SERVER['REQUEST_URI'], '?');
if ($path === '/orders') {
    $claims = current_user();
    echo json_encode(['user_id' => $claims['sub'], 'client_id' => $claims['client_id']]);
} elseif ($path === '/public/hello') {
    echo json_encode(['hello' => 'everybody']);
} else {
    http_response_code(404);
}
