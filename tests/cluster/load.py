"""Logins at a steady rate, each of a new person, whatever becomes of the earlier ones."""

import asyncio
import itertools
import json
import random
import threading
import time
from collections import namedtuple

Login = namedtuple("Login", "request at took status user retried")  # status: that of HTTP, or `cut`, or `late`
PATIENCE = 20  # seconds for an answer
REUSED = 50  # times, for a connection


class Load:
    """Sends in a thread of its own until it is left. `answered` are the logins that are over."""

    def __init__(self, host, appid, rate, codes):
        self.host, self.appid, self.rate, self.codes = host, appid, rate, codes
        self.idle, self.answered, self.over = [], [], threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.send()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    async def send(self):
        """Each at its time."""
        began, running = time.monotonic(), set()
        for number, code in enumerate(self.codes):
            await asyncio.sleep(max(0, began + number / self.rate - time.monotonic()))
            if self.over.is_set():
                break
            running.add(asyncio.create_task(self.log_in(f"load-{self.rate}-{number}", code)))
        await asyncio.gather(*running)

    async def log_in(self, request, code):
        """One login. Where nobody listens, it is tried again, as a gateway does."""
        at, retried = time.time(), 0
        for retried in itertools.count():
            try:
                status, user = await asyncio.wait_for(self.post(request, code), PATIENCE)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
                if time.time() - at < PATIENCE:
                    continue
                status, user = "late", None
            except (ConnectionError, asyncio.IncompleteReadError):
                status, user = "cut", None
            except TimeoutError:
                status, user = "late", None
            break
        self.answered.append(Login(request, at, time.time() - at, status, user, retried))

    def connection(self):
        """One that is idle, and that the other side has not closed."""
        while self.idle:
            reader, writer, used = self.idle.pop()
            if not reader.at_eof():
                return reader, writer, used
            writer.close()
        return None

    async def post(self, request, code):
        """The answer's status, and the user id."""
        reader, writer, used = self.connection() or (*await asyncio.open_connection(self.host, 80), 0)
        keep = False
        try:
            body = json.dumps({"code": code, "appid": self.appid})
            client = ".".join(str(random.randrange(1, 255)) for _ in range(3))
            writer.write(f"POST /login HTTP/1.1\r\nHost: wxmint\r\nContent-Type: application/json\r\nX-Request-Id: {request}\r\n"
                         f"X-Forwarded-For: 198.{client}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r")[0])
            answer = json.loads(await reader.readexactly(length))
            keep = "connection: close" not in head and used < REUSED
            return int(head.split()[1]), answer.get("user_id", answer.get("code"))
        finally:
            if keep:
                self.idle.append((reader, writer, used + 1))
            else:
                writer.close()


def capacity(host, appid, codes, at_once=16):
    """How many logins a second the machine does when as many wait."""
    load, began = Load(host, appid, 0, ()), time.monotonic()

    async def worker(share):
        for number, code in enumerate(share):
            await load.log_in(f"warm-{id(share)}-{number}", code)

    async def all_of_them():
        await asyncio.gather(*(worker(codes[start::at_once]) for start in range(at_once)))

    asyncio.run(all_of_them())
    assert {login.status for login in load.answered} == {200}, load.answered[:5]
    return len(codes) / (time.monotonic() - began)
