<?php

// Stands in for firebase/php-jwt around examples/peers/php where Packagist is out of reach: signatures of ES256 alone, and
// of the claims only what php-jwt checks too, as loosely.
declare(strict_types=1);

namespace Firebase\JWT;

final class Key
{
    public function __construct(private mixed $material, private string $alg)
    {
    }

    public function getKeyMaterial(): mixed
    {
        return $this->material;
    }

    public function getAlgorithm(): string
    {
        return $this->alg;
    }
}

final class JWK
{
    public static function parseKey(array $jwk): Key
    {
        $point = JWT::urlsafeB64Decode($jwk['x']) . JWT::urlsafeB64Decode($jwk['y']);
        $der = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004') . $point;
        return new Key("-----BEGIN PUBLIC KEY-----\n" . base64_encode($der) . "\n-----END PUBLIC KEY-----\n", $jwk['alg']);
    }
}

final class JWT
{
    public static int $leeway = 0;

    public static function urlsafeB64Decode(string $text): string
    {
        return base64_decode(strtr($text, '-_', '+/'));
    }

    public static function decode(string $token, Key $key): \stdClass
    {
        if (substr_count($token, '.') !== 2) {
            throw new \UnexpectedValueException('not three parts');
        }
        [$header, $claims, $signature] = explode('.', $token);
        if (json_decode(self::urlsafeB64Decode($header))->alg !== $key->getAlgorithm()) {
            throw new \UnexpectedValueException('alg');
        }
        $signature = self::der(self::urlsafeB64Decode($signature));
        $isGood = openssl_verify("$header.$claims", $signature, $key->getKeyMaterial(), 'SHA256') === 1;
        $claims = json_decode(self::urlsafeB64Decode($claims), false, 512, JSON_BIGINT_AS_STRING | JSON_THROW_ON_ERROR);
        $now = time();
        if (!$isGood || ($claims->nbf ?? 0) > $now + self::$leeway || ($claims->exp ?? $now + 61) <= $now - self::$leeway) {
            throw new \UnexpectedValueException('signature, nbf or exp');
        }
        return $claims;
    }

    private static function der(string $signature): string
    {
        $der = '';
        foreach (str_split($signature, 32) as $number) {
            $number = ltrim($number, "\0");
            $number = (ord($number) > 127 ? "\0" : '') . $number;
            $der .= "\x02" . chr(strlen($number)) . $number;
        }
        return "\x30" . chr(strlen($der)) . $der;
    }
}
