"""A day at a small scale on a moved clock: a real Redis lets keys expire, and wxmint serves each login."""

import collections
import glob
import random

from measure import KINDS, kind_of
from parts import Login, Redis, stop

# One login here stands for so many.
ONE_IN = 200_000
LOGINS_A_DAY = 1_000_000_000 // ONE_IN
BOUND = 800_000_000 // ONE_IN
SEEN_IN_30_DAYS = 500_000_000 // ONE_IN
SEEN_IN_A_DAY = 250_000_000 // ONE_IN
NEW_A_DAY = 2_000_000 // ONE_IN
ENDED = 0.01
# Logins in each hour of the day, in parts: little at night, most at 20 o'clock.
HOURS = [12, 7, 5, 4, 4, 6, 14, 26, 34, 38, 41, 46, 52, 46, 42, 43, 45, 49, 56, 64, 70, 66, 50, 29]
STEPS = 144
STEP = 86_400 // STEPS
WARM_UP_DAYS = 34
WARM_UP_ENDS = round(30 * LOGINS_A_DAY * ENDED)


class Clock:
    """A clock of Redis and wxmint that only goes on when it is told to."""

    def __init__(self, folder):
        self.file = folder / "clock"
        self.at(0)

    def at(self, second):
        self.file.write_text(f"+{second}\n")

    def environment(self):
        # The C library's allocator before jemalloc, which asks for the time before libfaketime can tell it.
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/lib/*-linux-gnu/libc.so.6")
        return {"LD_PRELOAD": ":".join(libraries), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def run(folder):
    """What stands in Redis at each full hour: the number of keys by kind, and the logins of the hour before."""
    draw, clock = random.Random(1), Clock(folder)
    redis = Redis(folder, clock.environment())
    login = Login(folder, redis, clock.environment())
    try:
        warm_up(login, clock, draw)
        return list(hours(redis, login, clock, draw))
    finally:
        login.end()
        stop(redis.process)


def warm_up(login, clock, draw):
    """All who are bound have logged in once: those who come rarely more than 30 days ago, the others since then."""
    rare = BOUND - SEEN_IN_30_DAYS
    for person in range(BOUND):
        day = 3 * person / rare if person < rare else 4 + 30 * (person - rare) / SEEN_IN_30_DAYS
        clock.at(int(day * 86_400))
        token = login.log_in(f"person-{person}")
        if person >= rare and draw.random() < WARM_UP_ENDS / SEEN_IN_30_DAYS:
            # A logout forgets the session key, which the next of many logins brings back.
            login.log_out(token)
            login.log_in(f"person-{person}")


def hours(redis, login, clock, draw):
    begin, born, served = WARM_UP_DAYS * 86_400, BOUND, 0
    parts = [HOURS[step * 24 // STEPS] for step in range(STEPS)]
    for step, part in enumerate(parts, 1):
        due = round(LOGINS_A_DAY * sum(parts[:step]) / sum(parts))
        newcomers = NEW_A_DAY * step // STEPS
        for number in range(served, due):
            clock.at(begin + (step - 1) * STEP + STEP * (number - served) // (due - served))
            if born - BOUND < newcomers:
                person, born = born, born + 1
            else:
                person = BOUND - 1 - draw.randrange(SEEN_IN_A_DAY)
            token = login.log_in(f"person-{person}")
            if draw.random() < ENDED:
                login.log_out(token)
        clock.at(begin + step * STEP)
        if step % (STEPS // 24) == 0:
            yield {"logins": LOGINS_A_DAY * HOURS[step * 24 // STEPS - 1] / sum(HOURS), "keys": standing(redis)}
        served = due


def standing(redis):
    found = collections.Counter(kind_of(key) for key in redis.keys())
    found["stream"] = redis.ask("XLEN", "wxmint:revoked")
    return {kind: found[kind] for kind in KINDS}
