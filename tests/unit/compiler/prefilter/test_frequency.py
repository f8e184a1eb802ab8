"""How often texts are expected on a line."""

from __future__ import annotations

import pytest

from nativemtail.compiler.prefilter.frequency import TAGGED, known_frequency
from nativemtail.compiler.prefilter.literals import literal_frequency, required_literals
from nativemtail.compiler.regex.parser import parse


@pytest.mark.parametrize("text", [b"sshd[", b" postfix/smtpd[", b"d[", b" some-service.x["])
def test_a_tag_of_syslog_is_on_as_many_lines_as_its_service_writes(text: bytes) -> None:
    assert known_frequency(text, caseless=False) == known_frequency(text.lower(), caseless=True) == TAGGED
    assert literal_frequency(text, caseless=False) >= TAGGED


@pytest.mark.parametrize("text", [b"zebra", b"7[", b"zebra[7", b"a b["])
def test_other_texts_are_no_tags(text: bytes) -> None:
    assert known_frequency(text, caseless=False) < TAGGED


@pytest.mark.parametrize("service", ["sshd", "CRON", "zebrad"])
def test_what_follows_a_tag_is_looked_for_instead_of_it(service: str) -> None:
    found = required_literals(parse(rf" {service}\[\d+\]: Zebra stopped".encode()))
    assert found is not None
    assert all(b"Z" in literal.text for literal in found)


def test_a_part_of_a_frequent_text_is_as_frequent() -> None:
    assert known_frequency(b"HTTP/1", caseless=False) == known_frequency(b"HTTP/1.1", caseless=False) > 0
    assert known_frequency(b"http/1", caseless=True) == known_frequency(b"HTTP/1.1", caseless=False)
