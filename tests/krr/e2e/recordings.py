#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records guest cases again and again and replays each recording twice.

Each recording must end as its case says, replay without divergence, show the recorded console
byte for byte, and replay to the same instruction count and memory both times. Replays run beside
the next recording.
"""

import argparse
import concurrent.futures
import sys
from pathlib import Path

import vm
from tap import Report

# What each case consists of, for the quick loop; the cases run them in one recording.
PROGRAMS = {
    'fork_exec': [], 'pipes': [], 'alarm_signals': [], 'segv_sigreturn': [],
    'walk': ['/proc', '/sys'], 'tmpfs_copy': [], 'mmap_loop': [], 'ping_pong': [],
    'ptrace_child': [], 'timers': [], 'mapped_exec': [], 'sockets': [], 'byte_reads': [],
}
CASES = ['oops', 'sysrq_crash', 'shell_work', 'timers', 'mapped_exec', 'sockets']


def jobs(what):
    """(name, command, expected status) of each recording."""
    if what == 'programs':
        for name, arguments in PROGRAMS.items():
            yield name, [f'/krr/{name}', *arguments], 0
        for name in ('oops', 'sysrq_crash'):
            yield name, [f'/krr/cases/{name}'], vm.expected_status(name)
    else:
        for name in CASES:
            yield name, [f'/krr/cases/{name}'], vm.expected_status(name)


def record_one(trace, command, status, accel, options):
    """Records; the case's own checks count too."""
    result = vm.record(trace, command, accel, options)
    vm.expect(result.status == status,
              f'recording {" ".join(command)}: expected status {status}, got {result.text()}\n'
              + result.out.decode(errors='replace')[-1500:])


def replay_one(report, name, trace, recording):
    """Checks a recording when it is finished, and removes it if it is good."""
    def test():
        recording()
        vm.check_replays(trace)
    if report.check(name, test):
        trace.unlink()
        Path(f'{trace}.console').unlink()
    else:
        trace.with_suffix('.failed').touch()


def outcome(function, *arguments):
    """Runs a function now; calling the result returns or raises what it did."""
    future = concurrent.futures.Future()
    try:
        future.set_result(function(*arguments))
    except Exception as exception:  # handed on
        future.set_exception(exception)
    return future.result


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='best')
    parser.add_argument('--what', choices=['cases', 'programs'], default='cases')
    parser.add_argument('--times', type=int, default=1, help='recordings of each case')
    parser.add_argument('--only', action='append', help='only this case; may be repeated')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    report = Report()
    with vm.work_folder(f'recordings-{accel}') as folder:
        root = vm.guest_root(folder)
        with vm.session(accel, folder), concurrent.futures.ThreadPoolExecutor(1) as replays:
            for turn in range(1, arguments.times + 1):
                for name, command, status in jobs(arguments.what):
                    if arguments.only and name not in arguments.only:
                        continue
                    trace = folder / f'{name}-{turn}.krr'
                    options = ['--root', root]
                    # Once for each case, memory at the end is compared as well.
                    if turn == 1:
                        options += ['--krr-option', 'final-ram=on']
                    recording = outcome(record_one, trace, command, status, accel, options)
                    replays.submit(replay_one, report, f'{name} under {accel}, {turn}', trace,
                                   recording)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
