#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records programs that people use, in a Debian guest on a disk, and replays each recording twice.

Each load is a script in tests/krr/guest/loads that checks its own data. All of them take hours,
so scripts/test has none of them.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import compile_work
import debian
import vm
from tap import Report

LOADS = vm.REPO / 'tests' / 'krr' / 'guest' / 'loads'
CLASSES = ('cpu-cache', 'filesystem', 'interrupt', 'io', 'memory', 'network', 'os', 'pipe',
           'scheduler', 'vm')
SEEDS = 20
COMPILED_FILES = 12
# Exit statuses of stress-ng: 3, something is lacking; 2, a stressor was not content with what it
# got, which is looked at by name.
STRESS_FAILED = 2
STRESS_STATUSES = (0, STRESS_FAILED, 3)
# Those that fail, or cannot run, without a recording too: docs/design.md says why.
STRESS_KNOWN = set((
    'userfaultfd swap verity idle-page kvm apparmor binderfs dccp sctp dnotify landlock key '
    'memhotplug quota tun netlink-task exec spawn ping-sock plugin x86syscall io-uring sem-sysv '
    'cyclic'
    ).split())
# What names a stressor that failed.
STRESS_FAILURE = re.compile(rb'stress-ng: fail: +\[\d+\] ([\w-]+)|'
                            rb'stress-ng: error: +\[\d+\] process \[\d+\] \(([\w-]+)\) '
                            rb'terminated with an error, exit status=2')
# What it says of stressors that have not run, or not well.
STRESS_REMARKS = re.compile(rb'stress-ng: ((?:fail|error): .*|'
                            rb'\w+: +\[\d+\] .*(?:skipp(?:ed(?!: 0)|ing)|failed: [1-9]).*)')


@dataclass
class Load:
    """A script with its arguments, and what the guest needs for it."""
    script: str
    arguments: list = field(default_factory=list)
    disk: bool = False
    network: bool = False
    # Makes the folder that the guest sees, in the folder given.
    share: Callable = None
    bypassed_cards: bool = False
    # What the kernel has to be configured with.
    needs: str = None
    statuses: tuple = (0,)
    # Lines of the output that the report should show: their first group.
    remarks: re.Pattern = None
    # Looks at the result if the status is one of these.
    judge: Callable = None
    # Bounds the recorded stretch on a slow machine (s).
    timeout: int = 1500


def only_known_failures(result):
    """No stressor has failed that has no reason to."""
    failed = {(one or two).decode() for one, two in STRESS_FAILURE.findall(result.out)}
    vm.expect(failed <= STRESS_KNOWN, f'failed: {", ".join(sorted(failed - STRESS_KNOWN))}')
    vm.expect(failed or result.status != STRESS_FAILED, 'stress-ng does not say what failed')


def loads():
    """All loads by name."""
    found = {f'stress-ng {name}': Load('stress-ng', [name, '1'], statuses=STRESS_STATUSES,
                                        remarks=STRESS_REMARKS, judge=only_known_failures)
             for name in CLASSES}
    found |= {f'trinity {seed}': Load('trinity', [str(seed), '30']) for seed in range(1, SEEDS + 1)}
    for engine, direct in (('psync', 0), ('psync', 1), ('libaio', 1), ('io_uring', 1), ('mmap', 0)):
        found[f'fio {engine}{" direct" if direct else ""}'] = \
            Load('fio', [engine, '/dev/vdb', str(direct)], disk=True)
    found |= {f'file system {kind}': Load('filesystem', [kind, '/dev/vdb'], disk=True)
              for kind in ('ext4', 'xfs')}
    found['file system btrfs'] = Load('filesystem', ['btrfs', '/dev/vdb'], disk=True,
                                      needs='CONFIG_BTRFS_FS')
    found['raid'] = Load('raid', ['/dev/vdb'], disk=True, needs='CONFIG_BTRFS_FS')
    found['sqlite'] = Load('sqlite', ['/dev/vdb'], disk=True)
    found['postgresql'] = Load('postgresql', ['/dev/vdb'], disk=True)
    found['nginx'] = Load('nginx', network=True)
    found['redis'] = Load('redis', network=True)
    found['git'] = Load('git')
    found['apt'] = Load('apt', share=shared_package)
    found['compile'] = Load('compile', share=shared_sources)
    found['dpdk'] = Load('dpdk', bypassed_cards=True)
    return found


def shared_package(folder):
    """A folder with a package that needs no other."""
    share = folder / 'package'
    if not share.exists():
        fetched = vm.run(['bash', '-c', '. "$1/scripts/lib.sh"; . "$1/scripts/lib-apt.sh"; '
                          'apt_deb "$APT_BOOKWORM" hello', 'fetch', vm.REPO])
        vm.expect(fetched.status == 0, f'cannot fetch the package hello: {fetched.text()}')
        share.mkdir()
        package = Path(fetched.out.decode().strip())
        (share / package.name).write_bytes(package.read_bytes())
    return share


def shared_sources(folder):
    """A folder with kernel sources and what compiles them; made each time, for the guest leaves what
    it has compiled."""
    share = folder / 'sources'
    shutil.rmtree(share, ignore_errors=True)
    share.mkdir()
    options = compile_work.install(share, COMPILED_FILES)
    (share / compile_work.FOLDER / 'options').write_text(' '.join(options))
    return share


def guest_options(load, folder, image, smp):
    """Options of krr-vm for a load."""
    options = ['--root', image, '--snapshot', '--smp', str(smp), '--mem', '1024',
               '--timeout', str(load.timeout), '--krr-option', 'final-ram=on',
               # What user programs have left in pages would lie about in the kernel's memory, where
               # it has not written yet; in a replay it is something else.
               '--append', 'init_on_free=1']
    if load.disk:
        options += ['--disk', debian.free_disk(folder)]
    if load.share:
        options += ['--share', load.share(folder)]
    if load.network:
        options += debian.network()
    if load.bypassed_cards:
        options += debian.bypassed_cards()
    return options


def is_configured(load):
    """Has the kernel what it needs?"""
    return (not load.needs or
            f'{load.needs}=y' in vm.KERNEL.with_name('config').read_text().splitlines())


def check(name, load, folder, accel, smp, image, noise):
    """Records and replays; removes the trace if all is well."""
    trace = folder / f'{re.sub("[^a-z0-9]+", "-", name)}-{smp}.krr'
    options = [*guest_options(load, folder, image, smp), *vm.noise_options(noise, accel)]
    script = (LOADS / load.script).read_text()
    shell = script.splitlines()[0].removeprefix('#!')
    result = vm.run(vm.record_arguments(trace, [shell, '-c', script, load.script, *load.arguments],
                                        accel, options), timeout=load.timeout + 200)
    vm.expect(result.status in load.statuses, f'recording: {result.text()}\n'
              + result.out.decode(errors='replace')[-3000:])
    if load.remarks:
        for text in dict.fromkeys(load.remarks.findall(result.out)):
            print(f'# {text.decode(errors="replace").strip()}', flush=True)
    if load.judge:
        load.judge(result)
    vm.check_content(trace)
    vm.check_replays(trace, load.timeout)
    vm.leave_coverage(trace)
    trace.unlink()
    Path(f'{trace}.console').unlink()


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--smp', type=int, action='append', metavar='N',
                        help='vCPUs; may be repeated (default 1, 2)')
    parser.add_argument('--times', type=int, default=1, metavar='N')
    parser.add_argument('--only', action='append', metavar='PATTERN',
                        help='only loads whose names match; may be repeated')
    arguments, accel = vm.parse_where(parser)
    image = debian.image()
    wanted = {name: load for name, load in loads().items()
              if not arguments.only or any(re.fullmatch(text, name) for text in arguments.only)}
    report = Report()
    with vm.work_folder(f'loads-{accel}') as folder, \
            vm.session(accel, folder, noise=arguments.noise, guest_memory=1280):
        for smp in arguments.smp or [1, 2]:
            for turn in range(1, arguments.times + 1):
                for name, load in wanted.items():
                    if not is_configured(load):
                        report.skip(name, f'{vm.KERNEL} has no {load.needs}')
                    elif not report.check(f'{name} at {smp} vCPUs under {accel}, {turn}', check, name,
                                        load, folder, accel, smp, image, arguments.noise):
                        (folder / f'{name}.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
