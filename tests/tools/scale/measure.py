"""What a login and a key cost, measured: commands and CPU of Redis for each kind of request, and bytes for each kind of key."""

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


def saturated(redis, writes):
    """CPU of Redis for each of these writes when it has them of 64 connections at a time; µs by name."""
    connections, costs = [redis.again() for _ in range(64)], {}
    session = next(words[1] for words in writes["session and binding"] if words[0] == "RPUSHX")
    for number in range(64):
        redis.ask("COPY", session, of_person(session, number))
    for name, commands in writes.items():
        before, rounds = redis.cpu(), 400
        for number in range(rounds * len(connections)):
            each = connections[number % len(connections)]
            for words in commands:
                older, person = number - 2 * len(connections), number % len(connections)
                differ = {"__number__": f"{number:012d}", "__older__": f"{older:012d}", session: of_person(session, person)}
                each.send(*(re.sub("|".join(map(re.escape, differ)), lambda found: differ[found[0]], word) for word in words))
            if each is connections[-1]:
                for other in connections:
                    for _ in commands:
                        other.answer()
        costs[name] = (redis.cpu() - before) / rounds / len(connections) * 1e6
    return costs


def of_person(session, number):
    """The session of another person: a list that all people shared would be long."""
    return session.replace("}:session", f"-{number}}}:session")


def writes_of_a_login(login, redis):
    """The two writes of a silent login as they were sent; the code and the order of the exchange differ each time."""
    login.log_in("watched")
    watcher = redis.again()
    watcher.ask("MONITOR")
    login.log_in("watched")
    redis.ask("PING")
    writes = {"address and code": [], "session and binding": []}
    while True:
        line = watcher.file.readline().decode()
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        command = words[0].upper() if words and " lua]" not in line else ""
        if command == "PING":
            return writes
        name, differs = "address and code", None
        if command in ("RPUSHX", "LRANGE", "HGETALL") and kind_of(words[1].encode()) in ("session", "binding"):
            name = "session and binding"
            differs = words[2][4:16] if command == "RPUSHX" else None
        elif command == "SET" and kind_of(words[1].encode()) == "code":
            differs = words[1][15:27]
        elif command == "TIME" and any(words == ["TIME"] for words in writes[name]):
            name = "session and binding"
        elif command not in ("HINCRBY", "HGETALL", "PEXPIRE", "TIME"):
            continue
        writes[name].append([word.replace(differs, "__number__") if differs else word for word in words])
        if command == "RPUSHX":
            # Each login makes one of the earlier lines needless, which is deleted soon.
            needless = words[2].replace(differs, "__older__")
            writes[name].append(["LREM", words[1], "0", needless])
