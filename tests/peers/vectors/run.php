<?php

// Runs the test vectors of the revocation feed against the example in PHP.
//
// Usage: php run.php FOLDER_OF_VECTORS AUTOLOAD [ALGORITHM]
// With an ALGORITHM, good pages of other algorithms are left out: the library behind AUTOLOAD knows this one alone.
declare(strict_types=1);

namespace Firebase\JWT {
    function time(): int
    {
        return \Wxmint\time();
    }
}

namespace Wxmint {
    final class Clock
    {
        public static int $now = 0;
    }

    function time(): int
    {
        return Clock::$now;
    }
}

namespace {
    use Wxmint\Clock;
    use Wxmint\Follower;
    use Wxmint\State;
    use Wxmint\Token;

    [, $vectors, $autoload] = $argv;
    $alone = $argv[3] ?? null;
    require $autoload;

    final class Verifier
    {
        private State $state;
        private Follower $follower;

        public function __construct(array $group, int $now)
        {
            @unlink(Wxmint\Settings::STATE);
            Clock::$now = $now;
            $this->state = new State();
            $this->state->create();
            $this->follower = new Follower($this->state);
            $this->state->learn('keys', json_encode(array_column($group['jwks']['keys'], null, 'kid')));
            $this->state->learn('began', $now);
        }

        public function take(string $page): string
        {
            $this->state->learn('confirmed', Clock::$now);
            $known = $this->state->known();
            (new ReflectionProperty(Follower::class, 'known'))->setValue($this->follower, $known);
            try {
                $signed = Token::signed($page, State::keys($known), ['revocations+jwt']);
                (new ReflectionMethod(Follower::class, 'take'))->invoke($this->follower, ...$signed);
                return 'accept';
            } catch (Throwable) {
                return 'refuse';
            }
        }

        public function judge(string $token): string
        {
            $this->state->learn('confirmed', Clock::$now);
            $known = $this->state->known();
            try {
                Token::verified("Bearer $token", $this->state, $known);
            } catch (Throwable) {
                return 'refuse';
            }
            return State::unavailable($known) ? 'unavailable' : 'accept';
        }
    }

    $groups = fn (string $name) => json_decode(file_get_contents("$vectors/$name"), true)['testGroups'];
    [$count, $faults] = [0, []];
    $expect = function (string $test, string $result, string $expected) use (&$count, &$faults): void {
        $count++;
        if ($result !== $expected) {
            $faults[] = "$test: $result, and not $expected";
        }
    };

    foreach ($groups('pages.json') as $group) {
        foreach ($group['tests'] as $test) {
            $header = base64_decode(explode('.', $test['page'])[0]);
            if ($alone !== null && $test['result'] === 'accept' && !str_contains($header, "\"$alone\"")) {
                continue;
            }
            $result = (new Verifier($group, $group['now']))->take($test['page']);
            $expect("page {$test['tcId']}, {$test['comment']}", $result, $test['result']);
        }
    }
    foreach ($groups('sequences.json') as $group) {
        $verifier = new Verifier($group, $group['tests'][0]['now']);
        foreach ($group['tests'] as $test) {
            Clock::$now = $test['now'];
            $result = isset($test['page']) ? $verifier->take($test['page']) : $verifier->judge($test['token']);
            $expect("step {$test['tcId']}, {$group['comment']}", $result, $test['result']);
        }
    }
    $hash = new ReflectionMethod(State::class, 'hash');
    foreach ($groups('hashes.json') as $group) {
        foreach ($group['tests'] as $test) {
            $result = $hash->invoke(null, implode("\0", $test['parts']));
            $expect("hash {$test['tcId']}, {$test['comment']}", $result, $test['hash']);
        }
    }

    echo implode("\n", ["$count tests, " . count($faults) . ' faults', ...$faults]), "\n";
    exit($faults ? 1 : 0);
}
