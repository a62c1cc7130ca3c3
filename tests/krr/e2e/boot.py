#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records Debian with systemd from before its init to its power-off, and replays that twice."""

import argparse
import itertools
import json
import sys

import vm
from tap import Report

# What is true in a system that has come up well, whose services work, and where one has logged in.
CHECK = '''
set -ex
test -z "$(systemctl list-units --failed --plain --no-legend)"
systemctl is-active multi-user.target systemd-journald systemd-udevd systemd-logind dbus
test "$(loginctl list-sessions --no-legend | wc -l)" = 1
systemd-run --quiet --wait --property=MemoryMax=64M --property=CPUQuota=50% sh -c 'exit 0'
journalctl --boot --quiet --output=cat _PID=1 | grep -q 'Reached target'
dd if=/dev/urandom of=/var/tmp/data bs=64k count=16 conv=fsync
sha256sum /var/tmp/data >/var/tmp/sum
# What is read now comes from the disk.
echo 3 >/proc/sys/vm/drop_caches
sha256sum --check --quiet /var/tmp/sum
exit 42
'''
STATUS = 42
SHOWN = [b'Reached target', b'Multi-User System', b'Power']


def boot(root, trace, accel, smp, noise):
    """Records and replays; removes the trace if all is well."""
    result = vm.record(trace, ['sh', '-c', CHECK], accel,
                       ['--boot', '--snapshot', '--root', root, '--smp', str(smp),
                        '--append', 'systemd.show_status=1',
                        '--krr-option', 'final-ram=on', *vm.noise_options(noise, accel)])
    vm.expect(result.status == STATUS, f'recording: {result.text()}\n'
              + result.out.decode(errors='replace')[-3000:])
    for text in SHOWN:
        vm.expect(text in result.out, f'the console does not show {text.decode()!r}')
    info = vm.tool('info', '--json', trace)
    vm.expect(info.status == 0, f'krr info: {info.text()}')
    reason = json.loads(info.out)['end_reason']
    vm.expect(reason == 'poweroff', f'the recording ended by {reason}')
    vm.check_content(trace)
    vm.check_replays(trace)
    vm.leave_coverage(trace)
    trace.unlink()


def debian(report):
    """Name of guest-image's image, or None."""
    built = vm.run([vm.SCRIPTS / 'guest-image'], timeout=1800)
    good = built.status == 0
    report.line(good, 'guest image', '' if good else built.text())
    return built.out.decode().strip() if good else None


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--smp', type=int, action='append', metavar='N',
                        help='vCPUs; may be repeated (default 1, 2)')
    parser.add_argument('--times', type=int, default=1, metavar='N')
    parser.add_argument('--image', help="instead of guest-image's")
    parser.add_argument('--bus', action='append', choices=list(vm.DISKS),
                        help='of the disk; may be repeated (default virtio)')
    arguments, accel = vm.parse_where(parser)
    report = Report()
    image = arguments.image or debian(report)
    if not image:
        return report.finish()
    with vm.work_folder(f'boot-{accel}') as folder, \
            vm.session(accel, folder, noise=arguments.noise):
        for turn, smp, bus in itertools.product(range(arguments.times), arguments.smp or [1, 2],
                                                arguments.bus or ['virtio']):
            trace = folder / f'boot-{bus}-{smp}-{turn}.krr'
            good = report.check(
                f'boot from {bus} to power-off at {smp} vCPUs under {accel}, {turn + 1}',
                boot, f'{bus}:{image}', trace, accel, smp, arguments.noise)
            if not good:
                trace.with_suffix('.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
