"""Back ends that read a path each in its own way. Each answers with /orders where it takes a request's path for that.

Flask (Werkzeug), Starlette and http.server are the real ones. Two imitate what cannot be run here, by its documentation:
`imitated_spring` is UrlPathHelper and AntPathMatcher with suffix patterns (the default until Spring 5.3; the classes of
Spring 4.3.30 read `;x`, `.json`, `//` and a slash at the end in the same way) behind a Java that reads overlong UTF-8, and
`imitated_windows` is how Win32 normalises the name of a file.
"""

import functools
import http.server
import json
import posixpath
import re
import socket
import threading
from urllib.parse import unquote, unquote_to_bytes

import flask
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from werkzeug.serving import make_server

PROTECTED = "/orders"


def protected(path):
    return PROTECTED if path == PROTECTED or path.startswith(PROTECTED + "/") else ""


def resolved(path):
    return posixpath.normpath(re.sub("^/*", "/", path))


def imitated_spring(path):
    octets = unquote_to_bytes(re.sub(";[^/]*", "", path))
    octets = re.sub(rb"[\xc0\xc1]([\x80-\xbf])|\xe0[\x80-\x9f]([\x80-\xbf])", overlong, octets)
    return protected(re.sub(r"\.[^/]*$", "", resolved(octets.decode(errors="replace"))))


def overlong(match):
    lead, last = match[0][-2] & 0x1F, match[0][-1] & 0x3F
    return bytes([(lead << 6 | last) & 0x7F])


def imitated_windows(path):
    segments = [segment.rstrip(" ") for segment in unquote(path).replace("\\", "/").lower().split("/")]
    names = [segment if segment in (".", "..") else segment.split(":")[0].rstrip(". ") for segment in segments]
    return protected(resolved("/".join(names)))


class Files(http.server.SimpleHTTPRequestHandler):
    def reading(self, path):
        return protected(self.translate_path(path).removeprefix("/srv"))

    def do_GET(self):
        body = self.reading(self.path.split("?")[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Imitation(Files):
    def __init__(self, reading, *arguments):
        self.reading = reading
        super().__init__(*arguments)


def serve_files(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever).start()
    return server.server_port


def serve_flask():
    app = flask.Flask(__name__)
    for rule in [PROTECTED, PROTECTED + "/<path:rest>"]:
        app.add_url_rule(rule, rule, lambda rest="": PROTECTED)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever).start()
    return server.server_port


def serve_starlette():
    answer = PlainTextResponse(PROTECTED)
    routes = [Route(PROTECTED, answer), Mount(PROTECTED, answer)]
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}).start()
    return listener.getsockname()[1]


ports = {
    "flask": serve_flask(),
    "starlette": serve_starlette(),
    "http_server": serve_files(functools.partial(Files, directory="/srv")),
    "imitated_spring": serve_files(functools.partial(Imitation, imitated_spring)),
    "imitated_windows": serve_files(functools.partial(Imitation, imitated_windows)),
}
print(json.dumps(ports), flush=True)
