#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows that noise tests what it is for: without the code that copes with a kind of noise, a
recording with that kind of noise is not replayed exactly.

Builds a guest kernel or QEMU without each such piece of code, some minutes each, so it is not
part of scripts/test.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import vm
from tap import Report


@dataclass
class Guard:
    """A piece of code that copes with some noise: old is what the file has, new what it has without
    the guard."""
    noise: str
    name: str
    file: str
    old: str
    new: str
    case: str
    # Recordings in which the noise must show.
    times: int = 3
    # Where: some of it shows under KVM only.
    accel: str = 'tcg'

    def in_guest(self):
        """Is it part of the guest kernel, or of QEMU?"""
        return self.file.startswith('krr/guest/')


# Those in a header last among the kernel's: what is built after one of them is built whole.
GUARDS = [
    Guard('xinuse', 'headers of saved state', 'krr/guest/recorder/inputs.c',
          '(&fpstate->regs, KRR_FPU_CONTROL_BYTES);\n\tif (cpu_feature_enabled(X86_FEATURE_XSAVE))\n',
          '(&fpstate->regs, KRR_FPU_CONTROL_BYTES);\n\tif (false)\n', 'timers'),
    Guard('flags', 'flags that the guest saves', 'krr/guest/recorder/asm-krr.h',
          '" ; andq $~" __stringify(KRR_FLAGS_MASK) ", " operand', '', 'rare_inputs', 5, 'lab'),
    Guard('flags', 'flags that an exception finds', 'target/i386/krr/replay-entry.c',
          '        restore_flags(env, trap, frame, ra);\n', '        (void)restore_flags;\n',
          'rare_inputs'),
    Guard('accessed', 'page tables that the CPU does not write', 'krr/guest/recorder/asm-krr.h',
          '\tif (krr_present() &&\t\t\t\t\t\t\\\n\t    (__krr_e', '\tif (false &&\t\t\t\t\t\t\\\n\t    (__krr_e',
          'smp_memory'),
    Guard('faults', 'faults at user addresses', 'target/i386/krr/replay-fault.c',
          '        raise_if_here(env, fault, address, ra);\n        slow',
          '        slow', 'smp_memory'),
    Guard('evict', 'faults that a translation would have spared', 'target/i386/krr/replay-fault.c',
          '        tlb_flush_page(env_cpu(env), fault->cr2);\n', '', 'smp_memory'),
]


def copy_without(guard, folder):
    """Our sources without the guard; what is there already stays as it is, for make to see."""
    files = vm.run(['git', '-C', vm.REPO, 'ls-files', '-z'])
    vm.expect(files.status == 0, f'git ls-files: {files.text()}')
    for name in files.out.decode().rstrip('\0').split('\0'):
        content = (vm.REPO / name).read_bytes()
        if name == guard.file:
            vm.expect(content.count(guard.old.encode()) == 1,
                      f'{guard.file} has changed: the guard is not found')
            content = content.replace(guard.old.encode(), guard.new.encode())
        target = folder / name
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copymode(vm.REPO / name, target)


def build_without(guard, folder):
    """Builds what the guard is in; the environment for the tests to use it."""
    build = folder / 'build'
    env = {'KRR_BUILD': str(build), 'KRR_TOOL': str(vm.TOOL), 'KRR_TEST_PROGRAMS': str(vm.PROGRAMS)}
    if guard.in_guest():
        command = [folder / 'scripts' / 'guest-kernel', 'build']
        env |= {'KRR_QEMU': str(vm.QEMU)}
    else:
        command = ['sh', '-e', '-c', '"$1/configure" --build-dir="$2"; exec ninja -C "$2" qemu-system-x86_64',
                   'build', folder, build]
        env |= {'KRR_KERNEL': str(vm.KERNEL), 'KRR_VMLINUX': str(vm.VMLINUX),
                'KRR_TEST_MODULES': str(modules(folder))}
    built = vm.run(command, timeout=7200, env=env)
    vm.expect(built.status == 0, f'cannot build: {built.text()}')
    return env


def modules(folder):
    """The test modules of the kernel with all guards."""
    built = vm.run([vm.SCRIPTS / 'guest-kernel', 'module', vm.REPO / 'tests' / 'krr' / 'modules',
                    folder / 'modules'])
    vm.expect(built.status == 0, f'cannot build the test modules: {built.text()}')
    return folder / 'modules'


def check(guard, folder):
    """The case must fail, and by an inexact replay."""
    copy_without(guard, folder)
    env = build_without(guard, folder)
    result = subprocess.run(
        [sys.executable, folder / 'tests' / 'krr' / 'e2e' / 'recordings.py',
         '--accel', guard.accel, '--smp', '2', '--noise', guard.noise, '--only', guard.case,
         '--times', str(guard.times)],
        env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    vm.expect('replay' in result.stdout and result.returncode == 1 and
              ('status 2' in result.stdout or 'differ' in result.stdout),
              'all replays were exact, or it failed for another reason:\n' + result.stdout[-2000:])


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', action='append', metavar='KIND', help='only this kind of noise')
    arguments = parser.parse_args()
    report = Report()
    # One folder for all, because most of each build is the same.
    folder = vm.BUILD / 'tests' / 'guards'
    for guard in GUARDS:
        if not arguments.only or guard.noise in arguments.only:
            report.check(f'noise={guard.noise} shows when {guard.name} are not guarded', check,
                         guard, folder)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
