#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what programs that people use get done while they are recorded, and without.

For each load and number of vCPUs: throughput with the same kernel not recording, recording, and
under QEMU's own recording of the whole machine (-icount rr=record, one vCPU only); how large the
trace is, what is in it, and how long its replay takes. Writes results.json, a table, and graphs in
SVG and PDF. Not a test: nothing here is good or bad, but a replay that is not exact is an error.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import compile_work
import debian
import vm

BENCH = vm.REPO / 'tests' / 'krr' / 'guest' / 'bench'
# Each run must end in this time (s); the machine recorded as a whole is slow.
TIMEOUT = 3600
MODES = ('native', 'recorded', 'rr')
TITLES = {'native': 'native', 'recorded': 'recorded by KRR',
          'rr': "QEMU's rr=record of the whole machine"}
COMPILED_FILES = 16
SECONDS = 5


@dataclass
class Load:
    """A program, by number of vCPUs, and how its output says what it got done."""
    command: callable
    pattern: bytes
    unit: str
    options: callable = lambda work: []
    # How much there is to do: for KVM, and for the machine that is recorded as a whole.
    amounts: tuple = (1, 1)
    network: bool = False


@dataclass
class Work:
    """Where and how it is measured."""
    folder: Path
    accel: str
    image: Path
    flags: list


def in_debian(script, *arguments):
    """Runs a script in the Debian guest."""
    text = (BENCH / script).read_text()
    return [text.splitlines()[0].removeprefix('#!'), '-c', text, script,
            *(str(word) for word in arguments)]


def timed_compile(work, smp, _amount):
    """The compile of figures.py, which says how many files it did a second."""
    compile_all = compile_work.command(work.flags, smp)[2]
    return ['sh', '-c', f'read -r a _ </proc/uptime; ( {compile_all}\n) || exit; '
            f'read -r b _ </proc/uptime; echo "compiled: {COMPILED_FILES} $a $b"']


def on_image(work):
    """The guest with Debian on a disk."""
    return ['--root', work.image, '--snapshot', '--mem', '1024']


LOADS = {
    'db_bench': Load(
        lambda work, smp, amount: in_debian('db_bench', '/dev/vdb', smp, amount),
        rb'^(fillseq|readrandom|readwhilewriting) *: .*?(\d+) ops/sec', 'operations/s',
        lambda work: [*on_image(work), '--disk', debian.free_disk(work.folder)], (50000, 5000)),
    'compile': Load(
        timed_compile, rb'^(compiled): (\d+) ([\d.]+) ([\d.]+)', 'files/s',
        lambda work: ['--root', work.folder / 'root', '--mem',
                      str(compile_work.memory(COMPILED_FILES))]),
    'nginx': Load(
        lambda work, smp, amount: in_debian('nginx', smp, amount),
        rb'^(Requests/sec): +([\d.]+)', 'requests/s',
        lambda work: [*on_image(work), *debian.network()], (SECONDS, SECONDS), True),
    'redis': Load(
        lambda work, smp, amount: in_debian('redis', smp, amount),
        rb'^"(SET|GET)","([\d.]+)"', 'requests/s',
        lambda work: [*on_image(work), *debian.network()], (5000, 500), True),
}


def throughput(load, output):
    """What each part of a load got done a second."""
    found = {}
    # Progress is shown on the line of what comes next.
    for name, value, *times in re.findall(load.pattern, output.replace(b'\r', b'\n'), re.M):
        value = float(value)
        if times:
            value /= float(times[1]) - float(times[0])
        found[name.decode()] = value
    vm.expect(found, f'no figures in the output: {output[-600:]!r}')
    return found


def krr_vm(action, load, work, smp, amount, options):
    """Runs or records a load; what krr-vm returned."""
    return vm.run([vm.SCRIPTS / 'krr-vm', action, '--accel', work.accel, '--smp', str(smp),
                   '--timeout', str(TIMEOUT), *load.options(work), *options, '--',
                   *load.command(work, smp, amount)], timeout=TIMEOUT + 200)


def measure_native(load, work, smp):
    """The kernel with the recorder, which does not record."""
    result = krr_vm('run', load, work, smp, load.amounts[0], [])
    vm.expect(result.status == 0, result.text())
    return {'throughput': throughput(load, result.out)}


def measure_rr(load, work, smp):
    """QEMU's own recording."""
    log = work.folder / 'rr.log'
    network = ['--qemu-option', '-object', '--qemu-option', 'filter-replay,id=replay,netdev=net']
    result = krr_vm('run', load, work, smp, load.amounts[1],
                    ['--rr', log, *(network if load.network else [])])
    vm.expect(result.status == 0, result.text())
    size = log.stat().st_size
    log.unlink()
    return {'throughput': throughput(load, result.out), 'file_bytes': size}


def measure_recorded(load, work, smp):
    """Recorded, and replayed."""
    trace = work.folder / 'bench.krr'
    result = krr_vm('record', load, work, smp, load.amounts[0], ['--trace', trace])
    vm.expect(result.status == 0, result.text())
    found = {'throughput': throughput(load, result.out)}
    began = time.monotonic()
    replayed = vm.replay(trace, timeout=TIMEOUT)
    vm.expect(replayed.status == 0, f'the replay is not exact: {replayed.text()}')
    found['replay_s'] = time.monotonic() - began
    stats = vm.tool('stats', '--json', trace)
    vm.expect(stats.status == 0, f'krr stats: {stats.text()}')
    info = json.loads(vm.tool('info', '--json', trace).out)
    found |= {'recorded_s': info['duration_us'] / 1e6, 'file_bytes': info['file_bytes'],
              'records': info['records'],
              'kinds': {kind['name']: kind['records']
                        for kind in json.loads(stats.out)['kinds']}}
    trace.unlink()
    return found


MEASURES = {'native': measure_native, 'recorded': measure_recorded, 'rr': measure_rr}


def table(results):
    """The results as text."""
    lines = []
    for load, by_smp in results.items():
        for smp, modes in by_smp.items():
            native, recorded = modes.get('native'), modes.get('recorded')
            for part in next(iter(modes.values()))['throughput']:
                cells = [f'{load} {part}, {smp} vCPUs:']
                cells += [f'{TITLES[mode]} {modes[mode]["throughput"][part]:.4g} '
                          f'{LOADS[load].unit}' for mode in MODES if mode in modes]
                if native:
                    value = native['throughput'][part]
                    cells += [f'{value / modes[mode]["throughput"][part]:.2f}x slower {mode}'
                              for mode in MODES[1:] if mode in modes]
                lines.append('  '.join(cells))
            if recorded:
                seconds = recorded['recorded_s']
                lines.append(f'    trace {recorded["file_bytes"] / seconds:.0f} bytes/s, '
                             f'{recorded["records"] / seconds:.0f} records/s, '
                             f'replayed in {recorded["replay_s"]:.1f} s, '
                             f'{recorded["replay_s"] / seconds:.2f}x of its {seconds:.1f} s')
                kinds = sorted(recorded['kinds'].items(), key=lambda item: -item[1])
                lines.append('    ' + ', '.join(f'{name} {count}' for name, count in kinds))
    return '\n'.join(lines) + '\n'


GRAPH = '''
set terminal {terminal} noenhanced
set output '{output}'
set title '{title}'
set xlabel 'vCPUs'
set ylabel '{unit}'
set yrange [0:*]
set xrange [{first}-0.5:{last}+0.5]
set xtics ({tics})
set key below
plot {plots}
'''


def graph(folder, load, part, by_smp):
    """Throughput over the number of vCPUs, as SVG and PDF."""
    name = f'{load}-{part}'.replace('/', '-')
    blocks, plots = [], []
    for mode in MODES:
        points = [(smp, modes[mode]['throughput'][part]) for smp, modes in by_smp.items()
                  if part in modes.get(mode, {}).get('throughput', {})]
        if points:
            rows = '\n'.join(f'{smp} {value}' for smp, value in points)
            blocks.append(f'${mode} << EOD\n{rows}\nEOD\n')
            plots.append(f"${mode} with linespoints pointtype 7 title \"{TITLES[mode]}\"")
    for suffix, terminal in (('svg', 'svg size 640,480'), ('pdf', 'pdfcairo')):
        text = ''.join(blocks) + GRAPH.format(
            terminal=terminal, output=folder / f'{name}.{suffix}', title=f'{load}: {part}',
            unit=LOADS[load].unit, tics=', '.join(by_smp), first=min(map(int, by_smp)),
            last=max(map(int, by_smp)),
            plots=', '.join(plots))
        subprocess.run(['gnuplot'], input=text, text=True, check=True)


def write_results(folder, results):
    """All that is known so far."""
    (folder / 'results.json').write_text(json.dumps(results, indent=1) + '\n')
    (folder / 'results.txt').write_text(table(results))
    for load, by_smp in results.items():
        parts = {part for modes in by_smp.values() for found in modes.values()
                 for part in found['throughput']}
        for part in sorted(parts):
            graph(folder, load, part, by_smp)


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='best')
    parser.add_argument('--smp', type=lambda text: [int(word) for word in text.split(',')],
                        default=[1, 2, 4], metavar='N[,N...]', help='vCPUs (default 1,2,4)')
    parser.add_argument('--only', action='append', choices=list(LOADS))
    parser.add_argument('--mode', action='append', choices=MODES, help='default: all')
    parser.add_argument('--output', type=Path, default=vm.BUILD / 'bench',
                        help='folder for the results (default build/bench)')
    arguments = parser.parse_args()
    vm.expect(shutil.which('gnuplot'), 'gnuplot is missing, which draws the graphs: install the Debian package gnuplot-nox')
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    image = debian.image()
    results = {}
    arguments.output.mkdir(parents=True, exist_ok=True)
    with vm.work_folder(f'bench-{accel}') as folder:
        root = vm.guest_root(folder)
        work = Work(folder, accel, image, compile_work.install(root, COMPILED_FILES))
        with vm.session(accel, folder, guest_memory=1280):
            for name in arguments.only or LOADS:
                for smp in arguments.smp:
                    for mode in arguments.mode or MODES:
                        # It knows machines with one CPU only.
                        if mode == 'rr' and smp > 1:
                            continue
                        print(f'{name} at {smp} vCPUs, {TITLES[mode]}', flush=True)
                        modes = results.setdefault(name, {}).setdefault(str(smp), {})
                        modes[mode] = MEASURES[mode](LOADS[name], work, smp)
                        write_results(arguments.output, results)
    print((arguments.output / 'results.txt').read_text(), end='')
    print(f'graphs: {arguments.output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
