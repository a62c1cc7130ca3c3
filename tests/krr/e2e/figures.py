#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what recording and replaying cost; prints a table for each workload.

Not a test: nothing here is good or bad. "plain" is a kernel without the recorder, "off" one with
it that is not recording.

Long runs need more time than tests have: KRR_TEST_TIMEOUT gives each other seconds.

With --smp: what several vCPUs cost and gain. All workloads of smp_bench run in one guest, on all of
its vCPUs at once, with recording off and on; the same work in turn on one of them shows what
running it at once is worth.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import compile_work
import vm

WORKLOADS = {
    'byte_reads': ['/krr/byte_reads'],
    'shell_work': ['/krr/cases/shell_work'],
    'fork_exec': ['/krr/fork_exec'],
    'tmpfs_copy': ['/krr/tmpfs_copy'],
}

# Kinds of work of smp_bench, and how often each thread does it.
BENCHES = {
    'user': 200000, 'user_call': 200, 'getpid': 20000, 'byte_read': 20000, 'page_fault': 4000,
    'fork_exec': 20,
}
# How often each is done in a guest, by turns: at once, in turn. The machine's speed varies.
ROUNDS = 5
BENCH_TIME = re.compile(rb'^(\w+) (\d+) smp_bench: ([\d.]+) ms', re.M)

# Prints the seconds that the command took in the guest, to a hundredth.
TIMED = ['sh', '-c', 'read -r a _ </proc/uptime; "$@" || exit; read -r b _ </proc/uptime; '
                     'echo "seconds $a $b"', 'timed']


def seconds(output):
    """What TIMED printed."""
    found = re.search(rb'seconds ([\d.]+) ([\d.]+)', output)
    if not found:
        raise vm.Failure(f'no time in the output: {output[-400:]!r}')
    return float(found[2]) - float(found[1])


def run_one(command, accel, options):
    """Seconds of a run without recording."""
    result = vm.run_guest([*TIMED, *command], accel, options)
    vm.expect(result.status == 0, f'run {command}: {result.text()} {result.out[-400:]!r}')
    return seconds(result.out)


def record_one(trace, command, accel, options):
    """Seconds of a recorded run."""
    result = vm.record(trace, [*TIMED, *command], accel, options)
    vm.expect(result.status == 0, f'record {command}: {result.text()}')
    return seconds(result.out)


def peak_memory(arguments):
    """Peak resident memory in MiB of the QEMU that a command line runs, as far as we can see it."""
    peak = 0
    with subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max([peak] + [memory_of(path) for path in descendants(process.pid)])
            time.sleep(0.02)
    return peak


def descendants(pid):
    """Folders in /proc of a process and all that it started."""
    found, todo = [], [pid]
    while todo:
        folder = Path('/proc') / str(todo.pop())
        found.append(folder)
        try:
            todo += (folder / 'task' / folder.name / 'children').read_text().split()
        except OSError:
            pass
    return found


def memory_of(folder):
    """Peak resident memory of a QEMU in MiB; 0 for other programs."""
    try:
        status = (folder / 'status').read_text()
    except OSError:
        return 0
    if not status.startswith('Name:\tqemu'):
        return 0
    found = re.search(r'^VmHWM:\s*(\d+) kB', status, re.M)
    return int(found[1]) / 1024 if found else 0  # none: it has just ended


def info_of(trace):
    """krr info, as a dictionary."""
    return json.loads(vm.tool('info', '--json', trace).out)


def measure(name, command, accel, times, folder):
    """Measures and prints one workload."""
    root = ['--root', folder / 'root']
    trace = folder / f'{name}.krr'
    plain, off, on = [], [], []
    for _ in range(times):
        plain.append(run_one(command, accel, [*root, '--plain']))
        off.append(run_one(command, accel, root))
        on.append(record_one(trace, command, accel, root))
    began = time.monotonic()
    vm.check_replays(trace)
    replayed = (time.monotonic() - began) / 2
    info = info_of(trace)
    base = statistics.median(plain)
    print(f'\n{name} under {accel}, median of {times} (each: {plain} {off} {on})')
    for label, values in (('plain', plain), ('off', off), ('recording', on)):
        value = statistics.median(values)
        print(f'  {label:<12}{value:8.2f} s {value / base if base else 0:8.2f} x')
    print(f'  {"replay":<12}{replayed:8.2f} s with its start, recorded stretch '
          f'{info["duration_us"] / 1e6:.2f} s')
    records = info['records']
    print(f'  {records} records, {info["raw_bytes"] / records:.1f} bytes each raw, '
          f'{info["file_bytes"] / records:.1f} on disk; file {info["file_size"]} bytes')
    print(f'  start pause {info["pause_us"] / 1e3:.1f} ms, ring full {info["ring_full"]} times')
    print(vm.tool('stats', trace).out.decode())


def bench_command(smp):
    """All kinds of work: on all vCPUs at once, and as much of it on one."""
    lines = ['set -e']
    for kind, count in BENCHES.items():
        for threads, times in ((smp, count), (1, smp * count)) * ROUNDS:
            lines.append(f'echo -n "{kind} {threads} "; /krr/smp_bench {kind} {threads} {times}')
    return ['sh', '-c', '\n'.join(lines)]


def bench_times(result):
    """(kind, threads) -> milliseconds, the median of the rounds, of a run of bench_command."""
    vm.expect(result.status == 0, f'smp_bench: {result.text()}')
    times = {}
    for kind, threads, took in BENCH_TIME.findall(result.out.replace(b'\r', b'')):
        times.setdefault((kind.decode(), int(threads)), []).append(float(took))
    return {key: statistics.median(values) for key, values in times.items()}


def medians(runs):
    """The median of each figure of several runs."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def measure_smp(smp, accel, times, folder):
    """Measures and prints what a number of vCPUs costs."""
    options = ['--root', folder / 'root', '--smp', str(smp)]
    trace = folder / f'smp-{smp}.krr'
    off, on = [], []
    for _ in range(times):
        off.append(bench_times(vm.run_guest(bench_command(smp), accel, options)))
        on.append(bench_times(vm.record(trace, bench_command(smp), accel, options)))
    off, on = medians(off), medians(on)
    print(f'\n{smp} vCPUs under {accel}, median of {times}, milliseconds')
    print(f'  {"":<12}{"at once:":>9}{"off":>9}{"recording":>11}{"slower":>8}'
          f'   {"in turn:":>9}{"off":>9}{"recording":>11}   at once is, recorded')
    for kind in BENCHES:
        at_once, in_turn = (off[kind, smp], on[kind, smp]), (off[kind, 1], on[kind, 1])
        print(f'  {kind:<12}{"":>9}{at_once[0]:9.1f}{at_once[1]:11.1f}'
              f'{at_once[1] / at_once[0]:7.2f}x   {"":>9}{in_turn[0]:9.1f}{in_turn[1]:11.1f}   '
              f'{at_once[1] / in_turn[1]:.2f}x of in turn ({at_once[0] / in_turn[0]:.2f}x off)')
    print(vm.tool('stats', trace).out.decode())
    trace.unlink()


def measure_compile(smp, count, flags, accel, folder):
    """Measures and prints what recording costs a compile of so many kernel sources, with these
    flags of the compiler, on all vCPUs."""
    work = compile_work.command(flags, smp)
    options = ['--root', folder / 'root', '--smp', str(smp), '--mem', str(compile_work.memory(count))]
    trace = folder / f'compile-{smp}.krr'
    off = run_one(work, accel, options)
    on = record_one(trace, work, accel, options)
    print(f'\ncompile of {count} kernel files at {smp} vCPUs under {accel}: off {off:.1f} s, '
          f'recording {on:.1f} s, {on / off:.2f}x slower')
    print(vm.tool('stats', trace).out.decode())
    trace.unlink()


def measure_memory(folder):
    """Recorder and replayer against a run of the same workload, under tcg, where we see QEMU."""
    command = WORKLOADS['shell_work']
    options = ['--root', folder / 'root', '--accel', 'tcg', '--']
    trace = folder / 'memory.krr'
    krr_vm = vm.SCRIPTS / 'krr-vm'
    run = peak_memory([krr_vm, 'run', *options, *command])
    record = peak_memory([krr_vm, 'record', '--trace', trace, *options, *command])
    replay = peak_memory([krr_vm, 'replay', trace])
    print(f'\npeak memory of QEMU (512 MiB guest, tcg): run {run:.0f} MiB, record {record:.0f} MiB, '
          f'replay {replay:.0f} MiB')


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='best')
    parser.add_argument('--times', type=int, default=3)
    parser.add_argument('--only', action='append', choices=[*WORKLOADS, 'memory'])
    parser.add_argument('--smp', type=lambda text: [int(word) for word in text.split(',')],
                        metavar='N[,N...]', help='only this: the cost of N vCPUs, for each N')
    parser.add_argument('--compile', type=int, metavar='N',
                        help='with --smp: only a compile of N kernel source files, once')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    if arguments.smp:
        with vm.work_folder('figures') as folder:
            count = arguments.compile or 0
            root = vm.guest_root(folder)
            flags = compile_work.install(root, count) if count else None
            with vm.session(accel, folder, guest_memory=compile_work.memory(count)):
                for smp in arguments.smp:
                    if count:
                        measure_compile(smp, count, flags, accel, folder)
                    else:
                        measure_smp(smp, accel, arguments.times, folder)
        return 0
    if 'KRR_PLAIN_KERNEL' not in os.environ:
        built = vm.run([vm.SCRIPTS / 'guest-kernel', 'build', '--plain'], timeout=3600)
        vm.expect(built.status == 0, f'cannot build a kernel without recorder: {built.text()}')
    with vm.work_folder('figures') as folder:
        vm.guest_root(folder)
        with vm.session(accel, folder):
            for name, command in WORKLOADS.items():
                if not arguments.only or name in arguments.only:
                    measure(name, command, accel, arguments.times, folder)
        if not arguments.only or 'memory' in arguments.only:
            measure_memory(folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
