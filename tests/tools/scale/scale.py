"""A day of 1,000,000,000 logins: what it costs Redis and wxmint, from what is measured on this machine in about two minutes.

`make scale` runs it. It prints a table and writes target/scale/scale.json.
"""

import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import day
import measure
from parts import ROOT, Login, Redis, stop

# Of benches/README.md, measured by `make bench`: CPU µs of wxmint for a login.
SATURATED_US, QUIET_US = 72, 297
# Of a primary: memory that its keys may fill, the rest being for replication and for the copy while it saves; and of one core.
PRIMARY_GB, PRIMARY_CORE = 24, 0.6
# Within the busiest hour, the busiest minute has so much more than the mean.
BURST = 1.5


def main():
    target = ROOT / "target/scale"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        costs, sizes, busy = measured(folder / "costs")
        hours = simulated(folder / "day")
    report = model(costs, sizes, busy, hours)
    (target / "scale.json").write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def measured(folder):
    folder.mkdir()
    redis, scratch = Redis(folder), Redis(folder)
    login = Login(folder, redis)
    try:
        writes = measure.writes_of_a_login(login, redis)
        costs = measure.requests(login, redis)
        sizes = measure.bytes_by_kind(login, redis, scratch)
        return costs, sizes, measure.saturated(redis, writes)
    finally:
        login.end()
        stop(redis.process)
        stop(scratch.process)


def simulated(folder):
    folder.mkdir()
    return day.run(folder)


def model(costs, sizes, busy, hours):
    """From the small day to the whole one."""
    for hour in hours:
        hour["logins_a_second"] = hour.pop("logins") * day.ONE_IN / 3600
        hour["keys"] = {kind: count * day.ONE_IN for kind, count in hour["keys"].items()}
        hour["gb"] = {kind: count * sizes[kind]["each"] / 1e9 for kind, count in hour["keys"].items()}
    peak = max(hour["logins_a_second"] for hour in hours) * BURST
    memory = max(sum(hour["gb"].values()) for hour in hours)
    stream = max(hour["gb"]["stream"] for hour in hours)
    cpu = sum(busy.values())
    return {
        "requests": costs, "bytes": sizes, "saturated_us": busy, "hours": hours,
        "mean_a_second": 1e9 / 86_400, "peak_a_second": peak, "memory_gb": memory, "stream_gb": stream,
        "redis_us": cpu, "redis_cores": peak * cpu / 1e6,
        "primaries_by_memory": -(-memory // PRIMARY_GB), "primaries_by_cpu": -(-(peak * cpu / 1e6) // PRIMARY_CORE),
        "wxmint_cores": [peak * us / 1e6 for us in (SATURATED_US, QUIET_US)],
    }


def table(report):
    rows = ["| request | scripts | commands, those in scripts included | CPU of Redis, µs |", "|---|--:|--:|--:|"]
    for name, cost in report["requests"].items():
        rows.append(f"| {name} | {cost['scripts']:.1f} | {cost['commands']:.1f} | {cost['cpu_us']:.0f} |")
    rows += ["", "| key | bytes of one (MEMORY USAGE) | bytes of each among 100,000 | at the end of the busiest hour | GB |",
             "|---|--:|--:|--:|--:|"]
    busiest = max(report["hours"], key=lambda hour: hour["logins_a_second"])
    for kind, size in report["bytes"].items():
        count, gb = busiest["keys"][kind], busiest["gb"][kind]
        rows.append(f"| {kind} | {size['alone']} | {size['each']:.0f} | {count / 1e6:.1f} M | {gb:.1f} |")
    saturated = report["saturated_us"]
    rows += ["", "| of the whole day | |", "|---|--:|"]
    rows += [f"| {name} | {value} |" for name, value in {
        "logins a second, mean": f"{report['mean_a_second']:.0f}",
        "logins a second, busiest minute": f"{report['peak_a_second']:.0f}",
        "CPU of Redis for a silent login, saturated, µs": " + ".join(f"{us:.1f}" for us in saturated.values()),
        "cores of Redis in the busiest minute": f"{report['redis_cores']:.1f}",
        f"primaries, at {PRIMARY_CORE:.0%} of a core each": f"{report['primaries_by_cpu']:.0f}",
        "GB in Redis at the fullest hour": f"{report['memory_gb']:.0f}",
        f"primaries, at {PRIMARY_GB} GB each": f"{report['primaries_by_memory']:.0f}",
        "GB of the stream of ends, on one primary": f"{report['stream_gb']:.1f}",
        f"cores of wxmint in the busiest minute, at {SATURATED_US} to {QUIET_US} µs a login":
            " to ".join(f"{cores:.1f}" for cores in report["wxmint_cores"]),
    }.items()]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
