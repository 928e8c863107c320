"""The chart as its user has it: the release's own test."""

import re

from asked import HELM, run
from world import install, issuer


def helm_test_logs_a_person_in():
    """With the image that serves; the test's log has the user id."""
    issuer()
    install("wxmint", "wxmint", {"test": {"simulator": "http://codes.wechat.svc.cluster.local:8090"}})
    said = run(HELM, "test", "wxmint", "--namespace=wxmint", "--logs")
    assert re.search(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", said, re.MULTILINE), said
