<?php

declare(strict_types=1);

namespace Wxmint;

/** What is known of the issuer, in SQLite: follow.php writes it, each request reads it. A page of revocations counts as a whole. */
final class State
{
    /** The kinds of revocations that `ended` looks for, and whether a revocation of the kind has a BEFORE. */
    public const KINDS = ['sub' => true, 'app' => true, 'jti' => false, 'kid' => false];

    public readonly \PDO $db;

    public function __construct()
    {
        $this->db = new \PDO('sqlite:' . Settings::STATE, null, null, [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION]);
        $this->db->exec('PRAGMA busy_timeout = 2000');
    }

    public function create(): void
    {
        $this->db->exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS known (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS revocations (kind TEXT, name TEXT, before INTEGER, until INTEGER,
                PRIMARY KEY (kind, name)) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS first_to_end ON revocations (kind, until);');
    }

    /** @return array<string, string> keys, confirmed, began, cursor, newest, complete, lacking_until */
    public function known(): array
    {
        if (!$this->db->query("SELECT 1 FROM sqlite_master WHERE name = 'known'")->fetchColumn()) {
            return []; // follow.php has not yet run
        }
        return $this->db->query('SELECT name, value FROM known')->fetchAll(\PDO::FETCH_KEY_PAIR);
    }

    public function learn(string $name, string|int $value): void
    {
        $this->db->prepare('REPLACE INTO known VALUES (?, ?)')->execute([$name, (string) $value]);
    }

    /** The usable keys of the JWKS by kid. @return array<string, array<string, mixed>> */
    public static function keys(array $known): array
    {
        $fresh = abs(time() - (int) ($known['confirmed'] ?? 0)) <= Settings::KEYS_MAX_AGE; // the clock may have been ahead
        return $fresh ? json_decode($known['keys'] ?? '[]', true) : [];
    }

    /** Whether no token can be judged now: answer 503. */
    public static function unavailable(array $known): bool
    {
        $complete = (int) ($known['complete'] ?? 0);
        if (!self::keys($known)) {
            return true;
        }
        if (Settings::FAIL === 'closed') {
            return time() - $complete > Settings::MAX_AGE || time() < (int) ($known['lacking_until'] ?? 0);
        }
        return $complete === 0 && time() - (int) $known['began'] <= Settings::FIRST_PAGE_WITHIN;
    }

    /** Whether a verified token was ended. To be asked about each request. */
    public function ended(string $kid, array $claims): bool
    {
        $query = $this->db->prepare("SELECT EXISTS (SELECT 1 FROM revocations
            WHERE kind = 'sub' AND name = ? AND before >= ? OR kind = 'app' AND name = ? AND before >= ?
            OR kind = 'jti' AND name = ? OR kind = 'kid' AND name = ?)");
        $app = self::hash("{$claims['sub']}\0{$claims['client_id']}");
        $query->execute([self::hash($claims['sub']), $claims['iat'], $app, $claims['iat'], self::hash($claims['jti']), $kid]);
        return (bool) $query->fetchColumn();
    }

    /** The feed names nobody: the first 12 bytes of SHA-256, as base64url. */
    private static function hash(string $value): string
    {
        $hash = hash('sha256', Settings::ISSUER . "\0" . $value, true);
        return strtr(base64_encode(substr($hash, 0, 12)), '+/', '-_');
    }
}
