<?php

declare(strict_types=1);

namespace Wxmint;

use Firebase\JWT\JWK;
use Firebase\JWT\JWT;

/** Verifies wxmint's tokens. php-jwt checks the signature, `exp` and `nbf`; the rest is here. */
final class Token
{
    private const LONGEST = 8192;
    private const LONGEST_LIFE = 30 * 86_400; // seconds; no wxmint can be set to more

    /**
     * The claims of a token that is one of ours.
     *
     * @throws \Throwable php-jwt also throws errors of PHP's own, for a header that it did not expect
     */
    public static function verified(string $authorization, State $state, array $known): array
    {
        // php-jwt ignores what is no base64url. Of two headers PHP makes one, with a comma.
        $form = '/^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/Di';
        if (strlen($authorization) > self::LONGEST || !preg_match($form, $authorization, $found)) {
            throw new \UnexpectedValueException('not one token');
        }
        [$header, $claims] = self::signed($found[1], State::keys($known), ['at+jwt', 'application/at+jwt']);
        foreach (['sub', 'client_id', 'jti'] as $name) {
            if (!is_string($claims[$name] ?? null) || $claims[$name] === '') {
                throw new \UnexpectedValueException($name);
            }
        }
        if ($claims['exp'] - $claims['iat'] > self::LONGEST_LIFE) {
            throw new \UnexpectedValueException('lives too long');
        }
        $audiences = is_array($claims['aud'] ?? null) ? $claims['aud'] : [$claims['aud'] ?? null];
        if (!in_array(Settings::AUDIENCE, $audiences, true)) {
            throw new \UnexpectedValueException('aud');
        }
        if ($state->ended($header['kid'], $claims)) {
            throw new \UnexpectedValueException('ended');
        }
        return $claims;
    }

    /** Header and claims of what the issuer has signed as one of these types; its `iss`, `iat` and `exp` are right. */
    public static function signed(string $token, array $keys, array $types): array
    {
        $header = json_decode(JWT::urlsafeB64Decode(explode('.', $token)[0]), true);
        $typ = $header['typ'] ?? null;
        // Otherwise it would be something else that the same key has signed, or obey what we do not understand.
        $odd = array_intersect_key($header, array_flip(['crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'zip', 'enc', 'cty']));
        if (!is_string($typ) || !in_array($types === ['revocations+jwt'] ? $typ : strtolower($typ), $types, true) || $odd) {
            throw new \UnexpectedValueException('not of this type');
        }
        if (!is_string($header['kid'] ?? null) || !isset($keys[$header['kid']])) {
            throw new UnknownKey('unknown key');
        }
        JWT::$leeway = Settings::LEEWAY;
        // A Key knows its own algorithm, and takes no other.
        $claims = (array) JWT::decode($token, JWK::parseKey($keys[$header['kid']]));
        // php-jwt takes a number as a text, an `iat` of the future beside an `nbf`, and a token without `exp`.
        $times = is_int($claims['iat'] ?? null) && is_int($claims['exp'] ?? null);
        if (($claims['iss'] ?? null) !== Settings::ISSUER || !$times || $claims['iat'] > time() + Settings::LEEWAY) {
            throw new \UnexpectedValueException('iss, iat or exp');
        }
        return [$header, $claims];
    }
}

final class UnknownKey extends \Exception
{
}
