<?php

declare(strict_types=1);

namespace Wxmint;

use Firebase\JWT\JWK;

/**
 * Asks the issuer for its keys and for what was ended. No request does: a key is published half an hour before it signs, and
 * a stranger could otherwise have us ask as often as he likes, or wait for an issuer that is away, as CachedKeySet does.
 */
final class Follower
{
    public const EVERY = 5; // seconds between two looks
    private const KEYS_EVERY = 300; // seconds; a removed key is believed for so long
    private const KEYS_EVERY_FOR_A_PAGE = 10; // seconds; for a page of a key that is not known
    private const DEADLINE = 4; // seconds for one answer, from the connection to the last byte
    private const LONGEST_SET = 65_536; // bytes
    private const LONGEST_PAGE = 2 << 20; // bytes
    private const MOST_PAGES = 1_000; // in one look
    private const MOST_REVOCATIONS = 1_000_000; // on disk; of more, the oldest of the kind with most are dropped, but no key

    private const FORGET_EVERY = 60; // seconds, by the time of the pages: a look at so many takes long

    private array $known;
    private int $forgotAt = 0; // the newest page's `iat`, when it forgot last
    private float $warned = -INF;
    private float $refreshed = -INF;
    private float $refreshedForPage = -INF;

    public function __construct(private State $state)
    {
    }

    /** Never throws. */
    public function look(): void
    {
        $trouble = null;
        foreach ([fn () => $this->refresh(self::KEYS_EVERY), $this->follow(...)] as $step) {
            try {
                $this->known = $this->state->known();
                $step();
            } catch (\Throwable $error) { // What is known stays, whatever it was.
                $trouble ??= $error->getMessage();
                $this->state->db->inTransaction() && $this->state->db->rollBack();
            }
        }
        $known = $this->state->known();
        $complete = (int) ($known['complete'] ?? 0);
        // If this machine's clock has stepped back, it refuses new pages: what is known is as old as that.
        if ($complete > time() + Settings::LEEWAY) {
            $this->state->learn('complete', $complete = 2 * time() - $complete);
        }
        if (time() < (int) ($known['lacking_until'] ?? 0)) {
            $trouble ??= 'too many revocations; the oldest were dropped';
        }
        if (($trouble || time() - $complete > Settings::MAX_AGE) && self::elapsed() - $this->warned > 60) {
            $age = $complete ? 'are ' . (time() - $complete) . ' s old' : 'are not known';
            error_log("wxmint: revocations $age: " . ($trouble ?? "the issuer's newest page is old"));
            $this->warned = self::elapsed();
        }
    }

    /** A page of an unknown key has keys fetched also if they just were. */
    private function refresh(int $every, bool $forPage = false): void
    {
        $last = $forPage ? $this->refreshedForPage : $this->refreshed;
        if (State::keys($this->known) && self::elapsed() - $last < $every) {
            return;
        }
        $this->refreshedForPage = $forPage ? self::elapsed() : $this->refreshedForPage;
        $set = json_decode(self::fetch(Settings::ISSUER . '/.well-known/jwks.json', self::LONGEST_SET), true);
        $usable = [];
        foreach ($set['keys'] ?? [] as $jwk) {
            try {
                if (self::isUsable($jwk)) {
                    $usable[$jwk['kid']] = $jwk;
                }
            } catch (\Throwable) { // It spoils itself only.
            }
        }
        if (!$usable) {
            throw new \UnexpectedValueException('no usable key in the JWKS');
        }
        $this->refreshed = self::elapsed();
        $this->state->learn('keys', json_encode($usable));
        $this->state->learn('confirmed', time());
        $this->state->learn('began', $this->known['began'] ?? time());
        $this->known = $this->state->known();
    }

    /** php-jwt itself obeys no `use`, takes a symmetric key, and refuses a whole set for one bad key. */
    private static function isUsable(array $jwk): bool
    {
        $kind = [$jwk['kty'], $jwk['crv'] ?? null, $jwk['alg']];
        $wanted = [['EC', 'P-256', 'ES256'], ['OKP', 'Ed25519', 'EdDSA'], ['RSA', null, 'RS256']];
        $verifies = ($jwk['use'] ?? 'sig') === 'sig' && in_array('verify', $jwk['key_ops'] ?? ['verify'], true);
        if (!$verifies || !in_array($kind, $wanted, true) || !is_string($jwk['kid']) || $jwk['kid'] === '') {
            return false;
        }
        $material = JWK::parseKey($jwk)->getKeyMaterial();
        if ($jwk['kty'] === 'OKP') {
            return strlen(base64_decode($material)) === SODIUM_CRYPTO_SIGN_PUBLICKEYBYTES;
        }
        $key = openssl_pkey_get_public($material); // Not for a point off the curve.
        return $key && openssl_pkey_get_details($key)['bits'] >= ($jwk['kty'] === 'RSA' ? 2048 : 256);
    }

    private function follow(): void
    {
        for ($page = 0; State::keys($this->known) && $page < self::MOST_PAGES; $page++) {
            $cursor = $this->known['cursor'] ?? '';
            $query = $cursor === '' ? '' : '?after=' . rawurlencode($cursor);
            $text = self::fetch(Settings::ISSUER . "/revocations$query", self::LONGEST_PAGE);
            try {
                $signed = Token::signed($text, State::keys($this->known), ['revocations+jwt']);
            } catch (UnknownKey) { // After `wxmint keys retire --now` a key signs at once. No stranger can make us fetch it.
                $this->refresh(self::KEYS_EVERY_FOR_A_PAGE, true);
                $signed = Token::signed($text, State::keys($this->known), ['revocations+jwt']);
            }
            if (!$this->take(...$signed)) {
                return;
            }
        }
    }

    /** A page counts as a whole or not at all. Returns whether there is more. */
    private function take(array $header, array $page): bool
    {
        $newest = (int) ($this->known['newest'] ?? 0);
        // Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
        if ($page['iat'] < $newest - Settings::LEEWAY) {
            throw new \UnexpectedValueException('a much older page than the newest one');
        }
        if (!in_array($page['after'] ?? null, ['', $this->known['cursor'] ?? ''], true)) {
            throw new \UnexpectedValueException('a page that was not asked for');
        }
        $isWell = is_string($page['cursor']) && is_bool($page['more']) && is_array($page['revoked'] ?? null)
            && array_is_list($page['revoked']);
        if ($isWell && $page['more'] && $page['cursor'] === ($this->known['cursor'] ?? '')) {
            throw new \UnexpectedValueException('a page that leads to itself');
        }
        foreach ($isWell ? $page['revoked'] : [] as $end) {
            $isWell = $isWell && self::isEnd($end);
        }
        if (!$isWell) {
            throw new \UnexpectedValueException('a malformed page');
        }
        $kid = $header['kid'];
        $isEnded = $this->state->db->prepare("SELECT 1 FROM revocations WHERE kind = 'kid' AND name = ?");
        $isEnded->execute([$kid]);
        $named = array_map(fn ($end) => array_slice($end, 0, 2), $page['revoked']);
        if ($isEnded->fetchColumn() || in_array(['kid', $kid], $named, true)) {
            throw new \UnexpectedValueException("the page's key is ended");
        }
        $learn = $this->state->db->prepare('INSERT INTO revocations VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET before = max(before, excluded.before), until = max(until, excluded.until)');
        $newest = max($newest, $page['iat']);
        $this->state->db->beginTransaction();
        foreach ($page['revoked'] as $end) {
            [$before, $until] = match (State::KINDS[$end[0]] ?? null) {
                true => [$end[2], $end[3]],
                false => [0, $end[2]],
                null => [0, 0], // of a newer issuer
            };
            if (self::isNeeded($until, $newest)) {
                $learn->execute([$end[0], $end[1], $before, $until]);
            }
        }
        $complete = $page['more'] ? 0 : $page['iat'];
        $news = ['cursor' => $page['cursor'], 'newest' => $newest,
            'complete' => max((int) ($this->known['complete'] ?? 0), $complete)];
        array_map($this->state->learn(...), array_keys($news), $news);
        $this->known = $this->state->known();
        if (!$page['more']) {
            $this->forget($newest);
        }
        $this->state->db->commit();
        return $page['more'];
    }

    private static function isEnd(mixed $end): bool
    {
        if (!is_array($end) || !is_string($end[0] ?? null)) {
            return false;
        }
        $hasBefore = State::KINDS[$end[0]] ?? null;
        if ($hasBefore === null) {
            return true; // of a newer issuer
        }
        $name = is_string($end[1] ?? null) ? $end[1] : '';
        $isNamed = $end[0] === 'kid' ? $name !== '' : preg_match('/^[\w-]{16}$/D', $name) === 1;
        return $isNamed && is_int($end[2] ?? null) && (!$hasBefore || is_int($end[3] ?? null));
    }

    /** Until the last token has expired that it names: for the leeway, and for as long again by a clock that is behind. */
    private static function isNeeded(int $until, int $newest): bool
    {
        return $until + 2 * Settings::LEEWAY > $newest;
    }

    /**
     * Drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
     * machine's clock may be wrong, and what is forgotten is never learnt again.
     */
    private function forget(int $now): void
    {
        $db = $this->state->db;
        $leeway = 2 * Settings::LEEWAY;
        if ($now - $this->forgotAt >= self::FORGET_EVERY) {
            $this->forgotAt = $now;
            $db->exec("DELETE FROM revocations WHERE until <= $now - $leeway");
        }
        $counts = fn () => $db->query('SELECT kind, count(*) FROM revocations GROUP BY kind')->fetchAll(\PDO::FETCH_KEY_PAIR);
        while (array_sum($held = $counts()) > self::MOST_REVOCATIONS) {
            unset($held['kid']);
            if (!$held) {
                return;
            }
            $kind = array_search($most = max($held), $held, true);
            $oldest = "SELECT name, until FROM revocations WHERE kind = '$kind' ORDER BY until LIMIT " . intdiv($most + 7, 8);
            $until = $db->query("SELECT max(until) FROM ($oldest)")->fetchColumn() + $leeway;
            $this->state->learn('lacking_until', max($until, (int) ($this->known['lacking_until'] ?? 0)));
            $db->exec("DELETE FROM revocations WHERE kind = '$kind' AND name IN (SELECT name FROM ($oldest))");
            $this->known = $this->state->known();
        }
    }

    /** An answer with status 200. Follows no redirect. */
    private static function fetch(string $url, int $longest): string
    {
        [$text, $curl] = ['', curl_init($url)];
        curl_setopt_array($curl, [
            CURLOPT_TIMEOUT_MS => (int) (self::DEADLINE * 1000), // A stream's timeout begins again with each byte.
            CURLOPT_WRITEFUNCTION => function ($curl, string $some) use (&$text, $longest): int {
                $text .= $some;
                return strlen($text) > $longest ? 0 : strlen($some); // 0 ends it.
            },
        ]);
        $trouble = curl_exec($curl) ? '' : curl_error($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($trouble !== '' || $status !== 200) {
            throw new \UnexpectedValueException("the issuer answers $status $trouble");
        }
        return $text;
    }

    /** Seconds, for durations: the clock may be set. */
    private static function elapsed(): float
    {
        return hrtime(true) / 1e9;
    }
}
