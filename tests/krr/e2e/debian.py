# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian guest on a disk, with the programs that the tests record, and what they need."""

from pathlib import Path

import vm

PACKAGES = ('attr,btrfs-progs,dpdk-dev,fio,git,nginx-light,postgresql,procps,redis-server,redis-tools,rocksdb-tools,'
            'sqlite3,stress-ng,trinity,wget,wrk,xfsprogs')
IMAGE_SIZE = '2G'
DISK_SIZE = 1 << 30


def image():
    """The image's file; built if it is not there."""
    built = vm.run([vm.SCRIPTS / 'guest-image', '--include', PACKAGES, '--size', IMAGE_SIZE,
                    '--output', vm.BUILD / 'guest' / 'programs.img'], timeout=3600)
    vm.expect(built.status == 0, f'guest image: {built.text()}')
    return Path(built.out.decode().strip())


def free_disk(folder):
    """An image with an ext4 file system that has nothing in it."""
    disk = folder / 'free.img'
    disk.unlink(missing_ok=True)
    with disk.open('wb') as file:
        file.truncate(DISK_SIZE)
    made = vm.run(['mkfs.ext4', '-q', disk], env={'PATH': '/usr/sbin:/sbin:/usr/bin:/bin'})
    vm.expect(made.status == 0, f'mkfs.ext4: {made.text()}')
    return disk


def network():
    """Options of krr-vm for a network card with an address; port 8080 of the host, which the guest
    sees as 10.0.2.2, leads to the guest's port 80."""
    return ['--append', 'ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off',
            *vm.qemu_options('-netdev', 'user,id=net,hostfwd=tcp:127.0.0.1:8080-:80',
                             '-device', 'virtio-net-pci,netdev=net,romfile=')]


def bypassed_cards():
    """Options for two network cards that are connected outside, for a program that drives them."""
    return vm.qemu_options(
        '-netdev', 'socket,id=one,listen=127.0.0.1:8081',
        '-netdev', 'socket,id=two,connect=127.0.0.1:8081',
        '-device', 'e1000,netdev=one,romfile=,krr-bypass=on',
        '-device', 'e1000,netdev=two,romfile=,krr-bypass=on')
