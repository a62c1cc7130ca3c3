#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""krr-vm run: what it promises of arguments, exit statuses, root file systems and disks. And modules
for the guest, and a recording of a guest with a CPU of another kind."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import vm
from tap import Report
from vm import expect

MODULE = """#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test");
"""
AWKWARD = ['', ' ', "it's", '"$HOME"', '*', '\\', '--', '-x', '$(reboot)', 'a\nb', 'ä', ';']


def run(accel, command, options=()):
    """Runs a command in a guest, without recording."""
    return vm.run_guest(command, accel, options)


def lines(result):
    """Console output as lines; the terminal has made \\n to \\r\\n."""
    return result.out.decode().replace('\r\n', '\n').split('\n')[:-1]


def arguments_arrive(accel):
    """No shell touches them."""
    result = run(accel, ['printf', '<%s>\\n', *AWKWARD])
    expect(result.status == 0, result.text())
    expect(lines(result) == ''.join(f'<{a}>\n' for a in AWKWARD).split('\n')[:-1],
           f'other arguments arrived: {result.out!r}')


def statuses(accel):
    """COMMAND's status comes out, as from a shell."""
    for command, status in ((['true'], 0), (['sh', '-c', 'exit 77'], 77), (['nonsense'], 127),
                            (['/etc/passwd'], 126), (['sh', '-c', 'kill -9 $$'], 137)):
        result = run(accel, command)
        expect(result.status == status, f'{command}: expected {status}, got {result.text()}')


def options_of_other_actions():
    """What an action has no use for is not taken in silence."""
    for arguments in (['replay', 'trace', '--smp', '2'], ['replay', 'trace', '--plain'],
                      ['run', '--gdb', '1', '--', 'true'], ['record', '--gdb', '1', '--', 'true'],
                      ['run', '--trace', 'trace', '--', 'true']):
        result = vm.run([vm.SCRIPTS / 'krr-vm', *arguments])
        expect(result.status == vm.WRONG_USAGE and re.search(rb'is (not )?for', result.err),
               f'{arguments}: {result.text()}')


def panic(accel):
    """A panic has a status of its own."""
    result = run(accel, ['sh', '-c', 'echo before; echo c >/proc/sysrq-trigger'])
    expect(result.status == vm.GUEST_PANIC, result.text())
    expect(b'before' in result.out and b'Kernel panic' in result.out, f'console: {result.out!r}')


def command_powers_off(accel):
    """A command may end the guest."""
    result = run(accel, ['sh', '-c', 'echo bye; poweroff -f'])
    expect(result.status == 0 and lines(result)[0] == 'bye', result.text())


def timeout(accel):
    """A guest that does not end is ended."""
    result = run(accel, ['sleep', '1000'], ['--timeout', '20'])
    expect(result.status == vm.RECORDING_FAILED and b'timeout' in result.err, result.text())


def replay_is_ended(folder):
    """Whoever ends krr-vm replay ends its QEMU, also one that does not heed SIGTERM."""
    fake, pid = folder / 'fake-qemu', folder / 'fake-pid'
    fake.write_text(f'#!/bin/sh\ntrap "" TERM\necho $$ >{pid}\nwhile :; do sleep 1; done\n')
    fake.chmod(0o755)
    with subprocess.Popen([vm.SCRIPTS / 'krr-vm', 'replay', fake], stderr=subprocess.DEVNULL,
                          env={**os.environ, 'KRR_QEMU': str(fake)}) as process:
        try:
            vm.wait_until(lambda: pid.exists() and pid.read_text(), 60, 'the fake QEMU')
            expect(process.poll() is None, f'krr-vm ended by itself with {process.returncode}')
        finally:
            process.terminate()
        try:
            # It gives QEMU ten seconds.
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
    expect(process.returncode == 143, f'krr-vm ended with {process.returncode}')
    there = Path('/proc', pid.read_text().strip()).exists()
    expect(not there, 'QEMU runs on')


def root_folder(folder, accel):
    """Files are added to the small root, or replace it when they bring a shell."""
    root = folder / 'added'
    root.mkdir()
    (root / 'file with space').write_text('content')
    result = run(accel, ['cat', '/file with space'], ['--root', root])
    expect(result.status == 0 and result.out == b'content', result.text())
    result = run(accel, ['true'], ['--root', folder / 'none'])
    expect(result.status == vm.RECORDING_FAILED and b'none' in result.err, result.text())
    result = run(accel, ['true'], ['--root', f'scsi:{root}'])
    expect(result.status == vm.WRONG_USAGE and b'folder' in result.err, result.text())


def disk_and_root_image(folder, accel):
    """A guest formats a disk and fills it; another has it as its root."""
    image = folder / 'an, image.raw'
    with image.open('wb') as file:
        file.truncate(16 << 20)
    fill = ('mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt && cp -a /bin /etc /mnt/ && '
            'mkdir /mnt/root && echo from-disk >/mnt/name && umount /mnt')
    result = run(accel, ['sh', '-c', fill], ['--disk', image])
    expect(result.status == 0, f'filling the disk: {result.text()}\n{result.out.decode()}')
    result = run(accel, ['cat', '/name'], ['--root', image])
    expect(result.status == 0 and lines(result) == ['from-disk'], result.text())
    for bus in vm.DISKS:
        result = run(accel, ['cat', '/name'], ['--root', f'{bus}:{image}'])
        expect(result.status == 0 and lines(result) == ['from-disk'], f'{bus}: {result.text()}')
    result = run(accel, ['true'], ['--root', f'scsi:{image}', '--disk', f'ide:{image}'])
    expect(result.status == vm.WRONG_USAGE and b'mix them up' in result.err, result.text())
    boot_by_own_init(image, accel)


INIT = '''#!/bin/sh
echo init is $$, $(cat /name), $(ls /run/krr/command)
echo changed >/name
sync
poweroff -f
'''


def boot_by_own_init(image, accel):
    """The image's init is the first process; without systemd it runs no command."""
    write = (f"mv /sbin/init /sbin/busybox-init; cat >/sbin/init <<'END'\n{INIT}END\n"
             'chmod +x /sbin/init')
    result = run(accel, ['sh', '-c', f'mkdir -p /sbin; {write}'], ['--root', image])
    expect(result.status == 0, result.text())
    boot = ['--boot', '--root', image]
    for _ in range(2):
        result = vm.run([vm.SCRIPTS / 'krr-vm', 'run', '--accel', accel, '--snapshot', *boot])
        expect(result.status == 0 and b'init is 1, from-disk' in result.out,
               f'{result.text()}\n{result.out!r}')
    result = run(accel, ['true'], boot)
    expect(result.status == vm.RECORDING_FAILED and b'did not run true' in result.err,
           result.text())
    result = run(accel, ['cat', '/name'], ['--root', image])
    expect(lines(result) == ['changed'], f'{result.text()}\n{result.out!r}')


def modules(folder):
    """All files of a folder become modules, also one that is there only later."""
    sources, built = folder / 'sources', folder / 'built'
    sources.mkdir()
    for name in ('one', 'two'):
        (sources / f'{name}.c').write_text(MODULE)
        result = vm.run([vm.SCRIPTS / 'guest-kernel', 'module', sources, built])
        expect(result.status == 0 and (built / f'{name}.ko').exists(), result.text())


def plain_xsave(folder, accel):
    """Of older CPUs' kinds of XSAVE nothing is left but XSAVE itself, which Linux uses; and it writes CR4
    meanwhile."""
    trace = folder / 'xsave.krr'
    model = 'max' if accel == 'tcg' else 'host'
    command = ("grep -qw xsave /proc/cpuinfo && ! grep -qwE 'xsaveopt|xgetbv1' /proc/cpuinfo && "
               '/krr/rare_inputs')
    result = vm.record(trace, ['sh', '-c', command], accel,
                       ['--root', vm.guest_root(folder), *vm.qemu_options('-cpu', f'{model},-xgetbv1')])
    expect(result.status == 0, f'{result.text()}\n{result.out!r}')
    vm.check_replays(trace)


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='tcg')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    report = Report()
    with vm.work_folder('krr-vm') as folder, vm.session(accel, folder):
        report.check('arguments', arguments_arrive, accel)
        report.check('exit statuses', statuses, accel)
        report.check('options of other actions', options_of_other_actions)
        report.check('guest panic', panic, accel)
        report.check('command powers off', command_powers_off, accel)
        report.check('timeout', timeout, accel)
        report.check('replay that is ended', replay_is_ended, folder)
        report.check('root folder', root_folder, folder, accel)
        report.check('disk and root image', disk_and_root_image, folder, accel)
        report.check('modules', modules, folder)
        report.check('CPU with plain XSAVE', plain_xsave, folder, accel)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
