"""Standard output that cannot be written."""

import errno
import io
import logging
import os
import sys

from eca_mm.streams import drop_unwritten, lenient_streams


class Broken(io.TextIOBase):
    encoding = 'ascii'

    def write(self, text=''):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    flush = write


def test_what_cannot_be_written_is_passed_over(monkeypatch, capsys):
    """By print, by logging, without its traceback, and when Python flushes at exit; the first error is kept."""
    monkeypatch.setattr(sys, 'stdout', Broken())
    with lenient_streams() as (out, _):
        print('lost', flush=True)
        log = logging.Logger('broken')
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.addHandler(logging.StreamHandler(Broken()))  # as a log file on a full disk
        log.warning('lost')
        sys.stdout.writelines(['a', 'b'])
    assert out.error.errno == errno.EPIPE and sys.stdout is not out and logging.raiseExceptions
    assert capsys.readouterr().err == ''


def test_characters_that_an_encoding_lacks(monkeypatch):
    """As in an ASCII locale, and of file names that are not UTF-8."""
    for encoding, shown in (
        ('ascii', r'\xfc \udce9'),
        ('utf-8', '\xfc' + r' \udce9'),
    ):
        written = io.BytesIO()
        monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding=encoding, write_through=True))
        with lenient_streams():
            print('\xfc \udce9')
        assert written.getvalue().decode(encoding) == f'{shown}\n'


def test_nothing_is_left_for_the_end():
    """Else the interpreter ends with 120."""
    with open('/dev/full', 'w') as stream:  # which flushes once more
        stream.write('x')
        drop_unwritten(stream)
