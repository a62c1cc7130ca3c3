#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab with two emulated host CPUs: nested SVM as it needs it, and guests with two vCPUs."""

import argparse
import os
import re
import subprocess
import sys

import vm
from tap import Report
from vm import expect


# Tests of the ROM, each of which finds a fault of the emulator that is mended by a patch of ours.
ROM_TESTS = {
    'injected_once': 'VMRUN injects an interrupt once',
    'flags_kept': 'a fault in an exclusive access keeps the flags',
    'nested_or_not': 'x87 loads on one CPU leave a nested guest on another alone',
}


def run_rom(name):
    """What a ROM prints, in place of the firmware of a machine with the CPUs of the emulated host."""
    script = (vm.SCRIPTS / 'lab-host').read_text()
    model = re.search('^cpu=(.*)$', script, re.M)[1]
    return vm.qemu('-nodefaults', '-no-reboot', '-accel', 'tcg', '-cpu', model, '-smp', '2',
                   '-m', '64', '-bios', vm.PROGRAMS / f'{name}.rom', '-serial', 'stdio',
                   '-device', 'isa-debug-exit,iobase=0xf4,iosize=1', timeout=200)


def rom_says(result, test):
    """A test of the ROM found nothing wrong."""
    expect(f'good {test}' in result.out.decode().splitlines(),
           f'{result.out.decode()}{result.text()}')


def host_cpus(folder, count):
    """The emulated host has that many CPUs, and a TSC that it trusts."""
    job = folder / 'cpus'
    job.mkdir()
    (job / 'job').write_text('nproc\n'
                             'cat /sys/devices/system/clocksource/*/current_clocksource\n')
    result = vm.run([vm.SCRIPTS / 'lab-host', 'run', os.environ['KRR_LAB_SESSION'], job.name])
    expect(result.status == 0, result.text())
    said = (job / 'stdout').read_text().split()
    # It is called tsc-early for the first second.
    expect(said in ([str(count), 'tsc'], [str(count), 'tsc-early']),
           f'the emulated host has {said}')


def ended_job(folder):
    """Who ends `lab-host run` gets the job's folder back: nothing is written there any more."""
    job = folder / 'ended'
    job.mkdir()
    (job / 'job').write_text('echo >begun; exec sleep 1000\n')
    command = [vm.SCRIPTS / 'lab-host', 'run', os.environ['KRR_LAB_SESSION'], job.name]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            vm.wait_until((job / 'begun').exists, 60, 'the job')
        finally:
            process.terminate()
    expect(process.returncode == 143, f'lab-host ended with {process.returncode}')
    expect((job / 'status').exists(), 'the job had not ended')


def boots(count):
    """Guests with two vCPUs come up."""
    for number in range(1, count + 1):
        result = vm.run([vm.SCRIPTS / 'krr-vm', 'run', '--accel', 'lab', '--smp', '2',
                         '--timeout', '300', '--', 'nproc'])
        expect(result.status == 0 and result.out.split() == [b'2'],
               f'boot {number}: {result.out.decode()}{result.text()}')


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--boots', type=int, default=3, metavar='N',
                        help='boot as many guests with two vCPUs (default 3)')
    count = parser.parse_args().boots
    report = Report()
    said = run_rom('nested')
    for test, name in ROM_TESTS.items():
        report.check(name, rom_says, said, test)
    with vm.work_folder('lab') as folder, vm.session('lab', folder):
        report.check('two CPUs with one clock', host_cpus, folder, 2)
        report.check('a job that is ended', ended_job, folder)
        report.check(f'{count} guests with two vCPUs', boots, count)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
