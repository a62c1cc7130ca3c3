# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of tests in TAP, the format that meson understands."""

import sys
import threading
import traceback

from vm import Failure


class Report:
    """Counts and prints results; may be used from several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        self.failures = 0

    def line(self, good, name, text=''):
        """One result."""
        with self.lock:
            self.number += 1
            self.failures += not good
            print(f'{"ok" if good else "not ok"} {self.number} - {name}')
            for part in text.splitlines():
                print(f'# {part}')
            sys.stdout.flush()

    def skip(self, name, reason):
        """A test that cannot be done here; meson shows it."""
        with self.lock:
            self.number += 1
            print(f'ok {self.number} - {name} # SKIP {reason}', flush=True)

    def check(self, name, function, *arguments):
        """Runs a test; True if it found nothing wrong."""
        try:
            function(*arguments)
        except Failure as failure:
            self.line(False, name, str(failure))
            return False
        except Exception:  # a test that breaks is a test that failed
            self.line(False, name, traceback.format_exc())
            return False
        self.line(True, name)
        return True

    def finish(self):
        """Prints the plan; returns the exit status."""
        print(f'1..{self.number}', flush=True)
        return 1 if self.failures or not self.number else 0
