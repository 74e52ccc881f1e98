"""Notices: what goes out, where, and that nobody's work stops for one."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.portal_params import PortalParams
from pipeline.refusal import Refusal
from pipeline.services import notices

NOTICE = (["ann@x.org"], "Syndasera: request 1 is published", "See http://x/requests/1")


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as one message needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            if command != b"DATA":
                self.server.lines.append(line.decode().strip())
                self.wfile.write(b"250 yes\r\n")
                continue
            self.wfile.write(b"354 go on\r\n")
            while (text := self.rfile.readline()) != b".\r\n":
                self.server.lines.append(text.decode().strip())
            self.wfile.write(b"250 taken\r\n")


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.lines.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serve(server) -> Iterator[object]:
    server.lines = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mailbox():
    yield from serve(socketserver.TCPServer(("127.0.0.1", 0), Mailbox))


@pytest.fixture
def hook():
    yield from serve(HTTPServer(("127.0.0.1", 0), Hook))


def test_a_notice_is_mailed(mailbox):
    notices.send(PortalParams(smtp=f"127.0.0.1:{mailbox.server_address[1]}"), *NOTICE)
    assert "rcpt TO:<ann@x.org>" in mailbox.lines and NOTICE[2] in mailbox.lines
    assert f"Subject: {NOTICE[1]}" in mailbox.lines


def test_a_webhook_gets_it_as_json(hook):
    notices.send(PortalParams(webhook=f"http://127.0.0.1:{hook.server_address[1]}/x"), *NOTICE)
    assert json.loads(hook.lines[0]) == {"subject": NOTICE[1], "text": NOTICE[2]}


def test_without_either_it_is_a_line_in_the_log(caplog):
    with caplog.at_level("INFO"):
        notices.send(PortalParams(), *NOTICE)
    assert NOTICE[1] in caplog.text


def test_a_mail_server_that_is_away_stops_nobody_and_the_webhook_still_hears(caplog, hook):
    free = socketserver.TCPServer(("127.0.0.1", 0), Mailbox)
    port = free.server_address[1]
    free.server_close()
    address = f"http://127.0.0.1:{hook.server_address[1]}/x"
    notices.send(PortalParams(smtp=f"127.0.0.1:{port}", webhook=address), *NOTICE)
    assert "mail server took none" in caplog.text and len(hook.lines) == 1


@pytest.mark.parametrize("address", ["=?utf-8?b?!?=@x.org", ":;@x.org", "a@[", "a\nBcc: b@x.org"])
def test_an_address_that_the_library_trips_over_stops_nobody(caplog, mailbox, address):
    settings = PortalParams(smtp=f"127.0.0.1:{mailbox.server_address[1]}")
    notices.send(settings, [address], *NOTICE[1:])
    assert "mail server took none" in caplog.text and "Bcc" not in " ".join(mailbox.lines)


@pytest.mark.parametrize(
    "settings",
    [
        {"status_hours": 0},
        {"status_hours": 0.5},
        {"status_hours": 169},
        {"poll_seconds": 0},
        {"mail_to": "ann@x.org"},
        {"smtp": "host:"},
        {"webhook": "file:///etc/passwd"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(Refusal, match=f"portal.{next(iter(settings))}"):
        PortalParams(**settings)
