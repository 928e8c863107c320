"""A small account service for wxmint: the calls of docs/accounts.openapi.yaml, with users in SQLite."""

import os
import secrets
import sqlite3
import uuid
from contextlib import closing

import click
import jwt
from flask import Flask, abort, request
from werkzeug.security import check_password_hash, generate_password_hash

from signature import RequestVerifier

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 << 10  # bytes; a body is read before it is known who sends it
verifier = RequestVerifier(os.environ["WXMINT_ISSUER"], os.environ["WXMINT_ACCOUNTS"])

# What identifies a user is UNIQUE: of two calls at once, the database lets one make the user.
SCHEMA = """CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY,
    name TEXT UNIQUE,
    password_hash TEXT,
    disabled INTEGER NOT NULL DEFAULT 0,
    roles TEXT NOT NULL DEFAULT '',
    phone TEXT UNIQUE,
    idempotency_key TEXT UNIQUE
)"""

# A name that nobody has is checked against this, so that it takes as long as a wrong password.
NOBODY = (None, generate_password_hash(secrets.token_hex()), 1)


def database():
    connection = sqlite3.connect(os.environ.get("DATABASE", "users.db"), timeout=2)
    connection.execute(SCHEMA)
    return closing(connection)


@app.before_request
def only_wxmint():
    try:
        verifier.verify(request.headers.get("Authorization", ""), request.method, request.path, request.get_data())
    except jwt.PyJWKClientConnectionError:
        abort(503, "wxmint's keys cannot be fetched")
    except jwt.PyJWTError as error:
        app.logger.warning("refused: %r", error)  # It may have a stranger's words.
        abort(401)


@app.post("/password-checks")
def check_password():
    asked = request.get_json()
    with database() as db:
        row = db.execute("SELECT id, password_hash, disabled FROM users WHERE name = ?", [asked["username"]]).fetchone()
    user_id, password_hash, disabled = row or NOBODY
    right = check_password_hash(password_hash, asked["password"])
    return {"user_id": user_id if right and not disabled else None}


@app.post("/login-checks")
def check_login():
    """wxmint asks at each login if WXMINT_ACCOUNTS_CHECK=true."""
    with database() as db:
        user_id = request.get_json()["user_id"]
        row = db.execute("SELECT roles FROM users WHERE id = ? AND NOT disabled", [user_id]).fetchone()
    if row is None:
        abort(403)
    return {"claims": {"roles": row[0].split(",") if row[0] else []}}


@app.post("/users/by-phone")
def find_or_make_user_by_phone():
    user_id, new_user = find_or_make("phone", request.get_json()["phone_number"])
    return {"user_id": user_id, "new_user": new_user}


@app.post("/users")
def make_user():
    user_id, _ = find_or_make("idempotency_key", request.get_json()["idempotency_key"])
    # The same key gets the same answer, also when the first one was lost on its way.
    return {"user_id": user_id, "new_user": True}


def find_or_make(column, value):
    with database() as db, db:
        insert = f"INSERT INTO users (id, {column}) VALUES (?, ?) ON CONFLICT DO NOTHING"
        made = db.execute(insert, [str(uuid.uuid4()), value]).rowcount == 1
        [user_id] = db.execute(f"SELECT id FROM users WHERE {column} = ?", [value]).fetchone()
    return user_id, made


@app.cli.command()
@click.argument("name")
@click.password_option()
@click.option("--roles", default="", help="with commas between them")
def add_user(name, password, roles):
    """Adds a user with a password: flask add-user alice --roles admin"""
    user_id = str(uuid.uuid4())
    try:
        with database() as db, db:
            insert = "INSERT INTO users (id, name, password_hash, roles) VALUES (?, ?, ?, ?)"
            db.execute(insert, [user_id, name, generate_password_hash(password), roles])
    except sqlite3.IntegrityError:
        raise click.ClickException(f"{name} exists") from None
    click.echo(f"{name} added, user id {user_id}")


@app.cli.command()
@click.argument("name")
def disable_user(name):
    """Lets a user log in no more, if WXMINT_ACCOUNTS_CHECK=true: flask disable-user alice"""
    with database() as db, db:
        if not db.execute("UPDATE users SET disabled = 1 WHERE name = ?", [name]).rowcount:
            raise click.ClickException(f"there is no {name}")
