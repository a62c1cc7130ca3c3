#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records guests that work with devices, checks their data, and replays each recording twice."""

import argparse
import fcntl
import hashlib
import random
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import vm
from tap import Report

DISK_SIZE = 32 << 20
# linux/if_tun.h
TUNSETIFF = 0x400454ca
IFF_TAP = 2
FILE_SIZES = (0, 1, 4095, 4096, 70001, 1 << 20)


def disk_image(folder):
    """An ext4 image with files and their checksums; made once."""
    image = Path(folder) / 'disk.img'
    if image.exists():
        return image
    content = Path(folder) / 'disk'
    (content / 'files').mkdir(parents=True)
    source = random.Random(1)
    with (content / 'sums').open('w') as sums:
        for number, size in enumerate(FILE_SIZES):
            data = source.randbytes(size)
            (content / 'files' / f'{number}').write_bytes(data)
            sums.write(f'{hashlib.sha256(data).hexdigest()}  files/{number}\n')
    with image.open('wb') as file:
        file.truncate(DISK_SIZE)
    made = vm.run(['mkfs.ext4', '-q', '-d', content, image],
                  env={'PATH': '/usr/sbin:/sbin:/usr/bin:/bin'})
    vm.expect(made.status == 0, f'mkfs.ext4: {made.text()}')
    return image


def copy_of(image, name):
    """A copy that a guest may write."""
    copy = image.with_name(f'{name}.img')
    copy.write_bytes(image.read_bytes())
    return copy


def disk(bus, work):
    """A file system on a disk of this kind: command and options."""
    copy = copy_of(disk_image(work.folder), bus)
    return ['disk', vm.DISKS[bus]], ['--disk', f'{bus}:{copy}']


def qcow2_disk(_, work):
    """The same in an image of another format."""
    image = work.folder / 'disk.qcow2'
    made = vm.run([vm.BUILD / 'qemu' / 'qemu-img', 'convert', '-O', 'qcow2',
                   disk_image(work.folder), image])
    vm.expect(made.status == 0, f'qemu-img: {made.text()}')
    return ['disk', vm.DISKS['virtio']], ['--disk', image]


def user_pages(case, bus, work):
    """What only user space has written goes to a disk: in commands, or by a journal."""
    copy = copy_of(disk_image(work.folder), case)
    return [case, vm.DISKS[bus]], ['--disk', f'{bus}:{copy}']


def ata_pages(bus, work):
    """By commands of ATA."""
    return user_pages('ata_pages', bus, work)


def journaled_data(bus, work):
    """By a file system that has data in its journal, too."""
    return user_pages('journaled_data', bus, work)


def host_side(options, work):
    """The same with another way to read and write the image."""
    copy = copy_of(disk_image(work.folder), 'host')
    return ['disk', vm.DISKS['virtio']], vm.qemu_options(
        '-drive', f'if=virtio,format=raw,file={work.there(copy)},{options}')


# Sends back what it gets; the first line says how many bytes that is.
ECHO = "sh -c 'read -r n; head -c $n'"


# The host's side of a tap: an address, and the service for as long as there is the interface, which
# is there as long as anybody has what QEMU has opened.
TAP_UP = f"""#!/bin/busybox sh
for file in /proc/$$/fd/*; do
    case $(busybox readlink $file) in
    */net/tun) eval "exec ${{file##*/}}>&-" ;;
    esac
done
busybox ip addr add 10.67.82.1/24 dev $1
busybox ip link set $1 up
busybox nc -ll -p 7107 -e {ECHO} >/dev/null 2>&1 &
server=$!
{{ while [ -e /sys/class/net/$1 ]; do busybox sleep 1; done; kill $server; }} >/dev/null 2>&1 &
"""


def network(model, _work):
    """A network card of this model, and QEMU's user-mode network."""
    return ['network'], vm.qemu_options(
        '-netdev', f'user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:{ECHO}',
        '-device', f'{model},netdev=net,romfile=')


def network_pair(_, work):
    """Two network cards, connected by a socket of the host."""
    port = {'kvm': 7101, 'lab': 7102, 'tcg': 7103}[work.accel]
    return ['network_pair'], vm.qemu_options(
        '-netdev', f'socket,id=one,listen=127.0.0.1:{port}',
        '-netdev', f'socket,id=two,connect=127.0.0.1:{port}',
        '-device', 'virtio-net-pci,netdev=one,romfile=', '-device', 'e1000,netdev=two,romfile=')


def tap(_, work):
    """A network card whose other end is an interface of the host."""
    script = work.folder / 'tap-up'
    script.write_text(TAP_UP)
    script.chmod(0o755)
    return ['tap'], vm.qemu_options(
        '-netdev', f'tap,id=net,ifname=krrtap,script={work.there(script)},downscript=no',
        '-device', 'virtio-net-pci,netdev=net,romfile=')


def may_tap():
    """Can an interface be made here? The one that is made for that goes away at once."""
    try:
        with open('/dev/net/tun', 'rb+', buffering=0) as tun:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', b'krrtry', IFF_TAP))
    except OSError:
        return False
    return True


def serial_ports(_, work):
    """Two virtio serial ports, which are connected to each other."""
    name = f'path={work.folder.name},abstract=on'
    return ['serial_ports'], vm.qemu_options(
        '-chardev', f'socket,id=one,server=on,wait=off,{name}',
        '-chardev', f'socket,id=two,{name}', '-device', 'virtio-serial-pci',
        '-device', 'virtserialport,nr=1,chardev=one', '-device', 'virtserialport,nr=2,chardev=two')


def random_device(_, _work):
    """A device that makes random numbers."""
    return ['random_device'], vm.qemu_options('-device', 'virtio-rng-pci')


def clocks(_, _work):
    """The timers and the clock that PCs had first; newer ones are off."""
    # With several CPUs that have TSC deadlines, the kernel uses these in spite of nolapic_timer.
    return ['clocks'], ['--append', 'nolapic_timer clearcpuid=tsc_deadline_timer hpet=disable']


def shared_folder(_, work):
    """A folder of this machine."""
    disk_image(work.folder)
    return ['shared_folder'], ['--share', work.folder / 'disk']


TAP = 'network by a tap'
TESTS = {
    **{f'disk on {bus}': (disk, bus) for bus in vm.DISKS},
    'user pages in ATA commands': (ata_pages, 'ide'),
    'user pages in a journal': (journaled_data, 'virtio'),
    'disk in a qcow2 image': (qcow2_disk, None),
    'disk by native AIO': (host_side, 'aio=native,cache=none'),
    'disk by io_uring': (host_side, 'aio=io_uring'),
    **{f'network with {model}': (network, model) for model in ('virtio-net-pci', 'e1000', 'e1000e')},
    'network by a socket': (network_pair, None),
    TAP: (tap, None),
    'virtio serial ports': (serial_ports, None),
    'interval timer and real-time clock': (clocks, None),
    'virtio random numbers': (random_device, None),
    'virtio 9p folder': (shared_folder, None),
}


@dataclass
class Work:
    """Where and how the tests record."""
    folder: Path
    accel: str

    def there(self, path):
        """The name of a file of the folder where QEMU runs."""
        return f'/share/{path.name}' if self.accel == 'lab' else path


def check(name, work, options):
    """Records, replays, and removes the trace if all is well."""
    function, argument = TESTS[name]
    (case, *arguments), more = function(argument, work)
    trace = work.folder / f'{name.replace(" ", "-")}.krr'
    result = vm.record(trace, [f'/krr/cases/{case}', *arguments], work.accel,
                       [*options, *more, '--krr-option', 'final-ram=on'])
    vm.expect(result.status == 0, f'recording: {result.text()}\n'
              + result.out.decode(errors='replace')[-1500:])
    vm.check_content(trace)
    vm.check_replays(trace)
    vm.leave_coverage(trace)
    trace.unlink()


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--smp', type=int, default=1, metavar='N')
    parser.add_argument('--times', type=int, default=1, metavar='N')
    parser.add_argument('--only', action='append', choices=list(TESTS))
    arguments, accel = vm.parse_where(parser)
    report = Report()
    with vm.work_folder(f'devices-{accel}') as folder, \
            vm.session(accel, folder, noise=arguments.noise):
        options = ['--root', vm.guest_root(folder), '--smp', str(arguments.smp),
                   *vm.noise_options(arguments.noise, accel)]
        for turn in range(arguments.times):
            for name in arguments.only or TESTS:
                if name == TAP and accel != 'lab' and not may_tap():
                    report.skip(name, 'this user may not make an interface')
                    continue
                good = report.check(f'{name} at {arguments.smp} vCPUs under {accel}, {turn + 1}',
                                    check, name, Work(folder, accel), options)
                if not good:
                    (folder / 'device.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
