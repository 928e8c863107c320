"""What a login and a key cost, measured: commands and CPU of Redis for each kind of request, and bytes for each kind of key."""

import re
import subprocess

COPIES = 100_000
REQUESTS = 500
KINDS = {
    "binding": r"wxmint:\{.*\}:binding$",
    "session": r"wxmint:\{.*\}:session$",
    "user": r"wxmint:user:\{[^}]*\}$",
    "union": r"wxmint:union:",
    "ends": r"wxmint:user:.*:(ends$|ended:)",
    "code": r"wxmint:code:",
    "cell": r"wxmint:\{.*\}:limit:logins$",
    "stream": r"wxmint:ended$",
}


def kind_of(key):
    return next((kind for kind, form in KINDS.items() if re.match(form, key.decode())), None)


def requests(login, redis):
    """For each kind of request: its commands, those within scripts too, and the CPU of Redis, without those of an idle second."""
    login.unionids(False)
    for number in range(20):
        login.log_in(f"warm-{number}")
    tokens = []

    def first(name):
        return lambda number: tokens.append(login.log_in(f"{name}-{number}"))

    costs = {"first": measured(redis, first("plain"))}
    costs["silent"] = measured(redis, lambda number: login.log_in(f"plain-{number}"))
    costs["logout"] = measured(redis, lambda number: login.log_out(tokens[number]))
    login.unionids(True)
    costs["first with unionid"] = measured(redis, first("union"))
    return costs


def measured(redis, request):
    calls, cpu = redis.calls(), redis.cpu()
    for number in range(REQUESTS):
        request(number)
    cpu, after = redis.cpu() - cpu, redis.calls()
    more = {name: count - calls.get(name, 0) for name, count in after.items()}
    more.pop("info", None)
    trips = sum(more.get(name, 0) for name in ("evalsha", "eval", "wait"))
    return {"scripts": trips / REQUESTS, "commands": sum(more.values()) / REQUESTS, "cpu_us": cpu / REQUESTS * 1e6,
            "by_name": {name: round(count / REQUESTS, 2) for name, count in more.items() if count}}


def bytes_by_kind(login, source, scratch):
    """For each kind of key as wxmint wrote it: MEMORY USAGE, and what Redis grows by for each of 100,000 copies."""
    # The count of a login is kept for 10 s.
    login.log_in("counted")
    examples = {}
    for key in source.keys():
        kind = kind_of(key)
        if kind and kind not in examples:
            alone, life = source.ask("MEMORY", "USAGE", key, "SAMPLES", 0), source.ask("PTTL", key)
            # What expires within seconds is to be there until it is measured.
            life = 0 if life < 0 else max(life, 600_000)
            examples[kind] = key, alone, life, source.ask("DUMP", key)
    end = source.ask("XRANGE", "wxmint:ended", "-", "+", "COUNT", 1)[0][1]
    found = {}
    for kind in KINDS:
        key, alone, life, value = examples[kind]
        scratch.ask("FLUSHALL")
        before = int(scratch.info("memory")["used_memory"])
        if kind == "stream":
            fill(scratch, lambda _: ("XADD", key, "*", *end))
        else:
            fill(scratch, lambda number: ("RESTORE", named(key, number), life, value))
        each = (int(scratch.info("memory")["used_memory"]) - before) / COPIES
        found[kind] = {"alone": alone, "each": each, "name": len(key)}
    return found


def named(key, number):
    """The same name with another number in its middle, of the same length."""
    text = b"%08d" % number
    at = key.rfind(b"}") if b"}" in key else len(key)
    return key[: at - len(text)] + text + key[at:] if at > len(text) + 8 else key[:at] + text + key[at:]


def fill(scratch, command):
    for start in range(0, COPIES, 1000):
        for number in range(start, start + 1000):
            scratch.send(*command(number))
        for _ in range(1000):
            scratch.answer()


def saturated(redis, calls):
    """CPU of Redis for each of these calls when 64 connections send as fast as they can; µs by name."""
    costs = {}
    for name, words in calls.items():
        before, count = redis.cpu(), 40_000
        benchmark = ["redis-benchmark", "-p", str(redis.port), "-c", "64", "-n", str(count), "-r", "1000000", "-q"]
        subprocess.run(benchmark + words, check=True, capture_output=True)
        costs[name] = (redis.cpu() - before) / count * 1e6
    return costs


def calls_of_a_login(login, redis):
    """The scripts of one silent login as they were sent; the code and the order of the exchange differ each time."""
    login.log_in("watched")
    watcher = redis.again()
    watcher.ask("MONITOR")
    login.log_in("watched")
    redis.ask("PING")
    calls = {}
    while True:
        line = watcher.file.readline().decode()
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        if words[:1] == ["PING"]:
            return calls
        if words and words[0].upper() == "EVALSHA" and " lua]" not in line:
            name = kind_of(words[3].encode()) or "address"
            differs = {"code": words[3][15:27], "binding": words[3 + int(words[2]) + 1][4:16]}.get(name)
            if name != "code":
                # Interval and period of the limit, which is not to be reached.
                words[{"binding": -4, "address": -2}[name]] = "1"
            calls[name] = [word.replace(differs, "__rand_int__") if differs else word for word in words]
