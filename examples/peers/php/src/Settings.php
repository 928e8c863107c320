<?php

declare(strict_types=1);

namespace Wxmint;

final class Settings
{
    // wxmint's WXMINT_ISSUER and WXMINT_AUDIENCE. https everywhere but on one machine.
    public const ISSUER = 'http://127.0.0.1:8080';
    public const AUDIENCE = self::ISSUER;
    // What follow.php writes and requests read: nobody else may write it.
    public const STATE = __DIR__ . '/../wxmint.sqlite';

    public const LEEWAY = 60; // seconds by which clocks may differ; wxmint keeps a key published for that much longer
    public const KEYS_MAX_AGE = 86_400; // seconds; keys that the issuer has not confirmed for so long are no longer believed
    public const MAX_AGE = 60; // seconds; what to do when the knowledge of ended tokens is older:
    public const FAIL = 'open'; // 'open' goes on and warns; 'closed' answers 503
    public const FIRST_PAGE_WITHIN = 10; // seconds; 'open' goes on without a first page after that
}
