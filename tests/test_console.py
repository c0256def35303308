"""The terminal shows text literally."""

import pytest

from aecli.cli import console


def test_a_notice_shows_its_words_literally(capsys: pytest.CaptureFixture[str]) -> None:
    console.notice("no network ([Errno -2] [/bold] Name or service not known)")
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "no network ([Errno -2] [/bold] Name or service not known)" in shown


def test_a_paragraph_is_broken_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 20)
    console.paragraph("brackets [bold] stay, and lines end in no blank")
    assert capsys.readouterr().out == "brackets [bold]\nstay, and lines end\nin no blank\n"
