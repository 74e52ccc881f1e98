"""Short notices to people, by e-mail and by a webhook, as the block `portal` of params.yaml says;
where it names neither, they go into the log. They hold public words only: ids, states, addresses
of pages.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial

from pipeline.portal_params import PortalParams

logger = logging.getLogger(__name__)
SECONDS = 20  # for one delivery


def send(settings: PortalParams, to: Sequence[str], subject: str, text: str) -> bool:
    """Tells the people at these addresses, and the webhook. What cannot be delivered is a line in
    the log: nobody's work stops for a notice. Returns whether somebody took it, or the log did.
    """
    ways: list[tuple[str, Callable[[], None]]] = []
    if settings.smtp and to:
        ways.append(("mail server", partial(_mail, settings, to, subject, text)))
    if settings.webhook:
        ways.append(("webhook", partial(_post, settings.webhook, subject, text)))
    if not ways:
        logger.info("notice: %s. %s", subject, text)
    n_failures = 0
    for name, deliver in ways:
        try:
            deliver()
        except Exception as error:  # email trips over some addresses: IndexError, AttributeError
            n_failures += 1
            logger.warning("notice: the %s took none (%s): %s", name, type(error).__name__, subject)
    return not ways or n_failures < len(ways)


def _mail(settings: PortalParams, to: Sequence[str], subject: str, text: str) -> None:
    import smtplib
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["Subject"] = settings.mail_from, subject
    message["To"] = ", ".join(to)
    message.set_content(text + "\n")
    host, _, port = str(settings.smtp).partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as server:
        server.send_message(message)


def _post(address: str, subject: str, text: str) -> None:
    import urllib.request

    body = json.dumps({"subject": subject, "text": text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=SECONDS):
        pass
