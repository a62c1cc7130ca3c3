#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs that need two CPUs: each is recorded when it strikes, then found in the replay.

Each case loads a module of ours with one classic bug (tests/krr/modules) and provokes it. The
analysis in bugs/ runs in gdb on the replay and must name the culprit. The replay must also be
exact with nobody looking.
"""

import argparse
import re
import sys
from pathlib import Path

import gdb as gdb_tests
import vm
from tap import Report
from vm import expect

ANALYSES = Path(__file__).resolve().parent / 'bugs'

# What each analysis must say.
CULPRITS = {
    'abba': r'abba_forward holds abba_a and waits for abba_b, '
            r'abba_backward holds abba_b and waits for abba_a',
    'list_race': r'list_race_walk does not lock: list_race_remove \(races \d+ on vCPU 1\) freed '
                 r'the item that races \d+ on vCPU 0 was at',
    'double_fetch': r'double_fetch_copy reads the length twice: it checked 8 and used 32',
    'lost_wakeup': r'lost_wakeup_wait looks for work before it sets its state: at the last '
                   r'wake-up, by lost_wakeup_wake \(races \d+ on vCPU 1\), the sleeper was still '
                   r'running',
    'refcount_race': r'refcount_race_get is not atomic: races \d+ on vCPU ([01]) set the count to '
                     r'\d+ when races \d+ on vCPU (?!\1)[01] had already set it to \d+',
    'rcu_uaf': r'rcu_uaf_update \(races \d+ on vCPU 1\) freed the object without a grace period '
               r'while rcu_uaf_read \(races \d+ on vCPU 0\) was reading it',
}


def record(name, trace, accel, options):
    """Records the bug; it must have struck."""
    result = vm.record(trace, [f'/krr/cases/bug_{name}'], accel, ['--smp', '2', *options])
    status = vm.expected_status(f'bug_{name}')
    expect(result.status == status,
           f'recording: expected status {status}, got {result.text()}\n'
           + result.out.decode(errors='replace')[-1500:])
    vm.leave_coverage(trace)


def one_pass(name, trace, modules, values):
    """Goes through a replay with the analysis; what it printed."""
    with gdb_tests.replaying(trace) as replay:
        return replay.gdb(f'python import sys; sys.path.insert(0, "{ANALYSES}")',
                          f'set $modules = "{modules}"',
                          *(f'set ${key} = {number}' for key, number in values),
                          f'source {ANALYSES / name}.py')


def analyse(name, trace, modules):
    """Runs the analysis, with a second pass if it asks for one."""
    text = one_pass(name, trace, modules, [])
    asked = re.search(r'^again: (.*)$', text, re.M)
    if asked:
        text = one_pass(name, trace, modules,
                        [pair.split('=') for pair in asked[1].split()])
    verdict = re.search(r'^culprit: (.*)$', text, re.M)
    expect(verdict, f'{name}: no culprit was found:\n{text[-3000:]}')
    expect(re.fullmatch(CULPRITS[name], verdict[1]), f'{name}: not the culprit: {verdict[1]}')


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='tcg',
                        help='what records')
    parser.add_argument('--only', action='append', choices=list(CULPRITS),
                        help='only this bug; may be repeated')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    report = Report()
    with vm.work_folder(f'bugs-{accel}') as folder, vm.session(accel, folder):
        root = vm.guest_root(folder)
        for name in arguments.only or CULPRITS:
            trace = folder / f'{name}.krr'
            good = report.check(f'{name} recorded at 2 vCPUs under {accel}', record, name, trace,
                                accel, ['--root', root])
            good = good and report.check(f'{name} replayed exactly', vm.check_replays, trace)
            good = good and report.check(f'{name} found in the replay', analyse, name, trace,
                                         root / 'krr')
            if not good:
                trace.with_suffix('.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
