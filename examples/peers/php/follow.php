<?php

// Runs beside the web server, once: `php follow.php`, by systemd, supervisord or in a container of its own.
declare(strict_types=1);

require __DIR__ . '/vendor/autoload.php';

umask(0077); // Who can open the lock can hold it, and nothing would be followed any more.
$only = fopen(Wxmint\Settings::STATE . '.lock', 'c');
flock($only, LOCK_EX); // A second one waits until the first has ended.
$state = new Wxmint\State();
$state->create();
$follower = new Wxmint\Follower($state);
while (true) {
    $follower->look();
    usleep((int) (Wxmint\Follower::EVERY * 1_000_000));
}
