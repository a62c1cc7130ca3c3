#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records guest cases again and again and replays each recording twice.

Each recording must end as its case says, replay without divergence, show the recorded console
byte for byte, and replay to the same instruction count and memory both times. Replays run beside
the next recording. With several vCPUs there are further cases, for what only they can do.
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
    'user_pages': [], 'fuse_server': [], 'io_rings': [], 'packet_rings': [], 'traps': [],
    'rare_inputs': [],
}
CASES = ['oops', 'sysrq_crash', 'shell_work', 'timers', 'mapped_exec', 'sockets', 'user_pages',
         'fuse_server', 'io_rings', 'packet_rings', 'rings_before', 'rare_inputs']

# The same for what only several vCPUs can do.
SMP_PROGRAMS = {
    'smp_storm': [], 'smp_shootdown': [], 'smp_forks': [], 'smp_ping_pong': [], 'smp_affinity': [],
    'smp_spinners': [], 'smp_membarrier': [], 'smp_parallel': ['100', '1000'],
}
SMP_CASES = ['smp_interrupts', 'smp_processes', 'smp_memory', 'smp_spinners', 'smp_code', 'smp_hotplug']


def jobs(what, smp):
    """(name, command, expected status) of each recording."""
    several = smp > 1
    if what == 'programs':
        for name, arguments in {**PROGRAMS, **(SMP_PROGRAMS if several else {})}.items():
            yield name, [f'/krr/{name}', *arguments], 0
        cases = ['oops', 'sysrq_crash', 'rings_before',
                 *(['smp_code', 'smp_hotplug', 'smp_interrupts'] if several else [])]
    else:
        cases = [*CASES, *(SMP_CASES if several else [])]
    for name in cases:
        yield name, [*WATCHED, f'/krr/cases/{name}'], vm.expected_status(name)


def numbers(text):
    """A list of positive numbers with commas between, for the command line."""
    values = [int(word) for word in text.split(',')]
    if min(values) < 1:
        raise ValueError
    return values


# Runs a command with the kernel watching itself: soft lockups after 8 s, hung tasks after 10 s.
WATCHED = ['sh', '-c', 'cd /proc/sys/kernel && echo 4 >watchdog_thresh && echo 1 >watchdog && '
           'echo 10 >hung_task_timeout_secs && cd / || exit 99; exec "$@"', 'watched']


def record_one(trace, command, status, accel, options):
    """Records; the case's own checks count too, and the kernel must be content."""
    result = vm.record(trace, command, accel, options)
    vm.expect(result.status == status,
              f'recording {" ".join(command)}: expected status {status}, got {result.text()}\n'
              + result.out.decode(errors='replace')[-1500:])
    vm.check_content(trace, panics=status == vm.GUEST_PANIC)


def replay_one(report, name, trace, recording):
    """Checks a recording when it is finished, and removes it if it is good."""
    def test():
        recording()
        vm.check_replays(trace)
        vm.leave_coverage(trace)
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


def selection(arguments, smp, times):
    """(turn, job) of all recordings with so many vCPUs."""
    for turn in range(1, times + 1):
        for job in jobs(arguments.what, smp):
            if not arguments.only or job[0] in arguments.only:
                yield turn, job


def title(name, accel, smp, turn):
    """Names a recording in the report."""
    vcpus = '' if smp == 1 else f' at {smp} vCPUs'
    return f'{name}{vcpus} under {accel}, {turn}'


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--what', choices=['cases', 'programs'], default='cases')
    parser.add_argument('--smp', type=numbers, default=[1], metavar='N[,N...]',
                        help='numbers of vCPUs to record with')
    parser.add_argument('--times', type=numbers, default=[1], metavar='N[,N...]',
                        help='recordings of each case; several: one for each number of vCPUs')
    parser.add_argument('--only', action='append', help='only this case; may be repeated')
    parser.add_argument('--lab-cpus', type=int, default=2, metavar='N',
                        help='CPUs of the emulated host (default 2)')
    parser.add_argument('--if-built', action='store_true',
                        help='skip all if the kernel to record is not built')
    arguments, accel = vm.parse_where(parser)
    if len(arguments.times) == 1:
        arguments.times *= len(arguments.smp)
    if len(arguments.times) != len(arguments.smp):
        parser.error('--times: one number, or as many as --smp has')
    report = Report()
    if arguments.if_built and vm.kernel_is_missing(report):
        return report.finish()
    with vm.work_folder(f'recordings-{accel}') as folder:
        root = vm.guest_root(folder)
        with vm.session(accel, folder, arguments.lab_cpus, arguments.noise), \
                concurrent.futures.ThreadPoolExecutor(1) as replays:
            pending = []
            for smp, times in zip(arguments.smp, arguments.times):
                for turn, (name, command, status) in selection(arguments, smp, times):
                    trace = folder / f'{name}-{smp}-{turn}.krr'
                    append = f'rcupdate.rcu_cpu_stall_suppress=0 {vm.case_append(name)}'
                    options = ['--root', root, '--smp', str(smp), '--append', append.rstrip()]
                    options += vm.noise_options(arguments.noise, accel)
                    # Once for each case, memory at the end is compared as well.
                    if turn == 1:
                        options += ['--krr-option', 'final-ram=on']
                    recording = outcome(record_one, trace, command, status, accel, options)
                    pending.append(replays.submit(replay_one, report,
                                                  title(name, accel, smp, turn), trace, recording))
            for replayed in pending:
                replayed.result()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
