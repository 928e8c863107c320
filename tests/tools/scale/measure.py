"""What a login and a key cost, measured: commands and CPU of Redis for each kind of request, and bytes for each kind of key."""

import codecs
import re

COPIES = 100_000
REQUESTS = 500
KINDS = {
    "binding": r"wxmint:\{.*\}:binding$",
    "session": r"wxmint:\{.*\}:session$",
    "user": r"wxmint:user:\{[^}]*\}$",
    "union": r"wxmint:union:",
    "ends": r"wxmint:user:.*:(ends$|ended:)",
    "code": r"wxmint:code:",
    "stream": r"wxmint:revoked$",
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
    examples = {}
    for key in source.keys():
        kind = kind_of(key)
        alone = source.ask("MEMORY", "USAGE", key, "SAMPLES", 0) if kind else 0
        # A session grows at the first logins.
        if kind and (kind not in examples or kind == "session" and alone > examples[kind][1]):
            life = source.ask("PTTL", key)
            # What expires within seconds is to be there until it is measured.
            life = 0 if life < 0 else max(life, 600_000)
            examples[kind] = key, alone, life, source.ask("DUMP", key)
    end = source.ask("XRANGE", "wxmint:revoked", "-", "+", "COUNT", 1)[0][1]
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


def saturated(redis, writes):
    """CPU of Redis for each of these writes when it has them of 64 connections at a time; µs by name."""
    connections, costs = [redis.again() for _ in range(64)], {}
    session = next(words[4] for words in writes["session and binding"])
    for number in range(len(connections)):
        redis.ask("COPY", session, of_person(session, number))
    for name, commands in writes.items():
        before, rounds = redis.cpu(), 400
        for number in range(rounds * len(connections)):
            each = connections[number % len(connections)]
            for words in commands:
                each.send(*as_of(words, number, session, number % len(connections)))
            if each is connections[-1]:
                for other in connections:
                    for _ in commands:
                        other.answer()
        costs[name] = (redis.cpu() - before) / rounds / len(connections) * 1e6
    return costs


def of_person(session, number):
    """The session of another person."""
    return session.replace(b"}:session", b"-%d}:session" % number)


def as_of(words, number, session, person):
    """The command of another login: of another code, or of a later exchange of another person, whose binding is the same."""
    if words[0] == b"SET":
        return [words[0], words[1].replace(words[1][15:27], b"%012d" % number), *words[2:]]
    if words[0] != b"EVALSHA":
        return words
    order = int.from_bytes(words[6][:7], "big") + ((number + 1) << 20)
    return [*words[:4], of_person(session, person), words[5], order.to_bytes(7, "big") + words[6][7:], *words[7:]]


def writes_of_a_login(login, redis):
    """The two writes of a silent login as they were sent."""
    login.log_in("watched")
    watcher = redis.again()
    watcher.ask("MONITOR")
    login.log_in("watched")
    redis.ask("PING")
    writes = {"address and code": [], "session and binding": []}
    while True:
        line = watcher.file.readline()
        if b" lua]" in line:
            continue
        words = [codecs.escape_decode(word)[0] for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', line)]
        command = words[0].upper() if words else b""
        if command == b"PING":
            return writes
        if command == b"EVALSHA" and words[4].endswith(b":session"):
            writes["session and binding"].append([command, *words[1:]])
        elif command in (b"HINCRBY", b"HGETALL", b"PEXPIRE", b"TIME") or command == b"SET" and kind_of(words[1]) == "code":
            writes["address and code"].append([command, *words[1:]])
