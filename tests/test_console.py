"""What the terminal shows is what was said."""

import pytest

from aecli import console


def test_a_notice_shows_its_words_whatever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.notice("no network ([Errno -2] [/bold] Name or service not known)")
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "no network ([Errno -2] [/bold] Name or service not known)" in shown
