#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What must not go wrong badly: bad traces, full disks, sudden deaths, wrong options.

Each must give a clear error; none may crash or hang anything, or lose what was on disk.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import gdb as gdb_tests
import vm
from tap import Report
from vm import expect

# docs/trace-format.md
FILE_HEADER = 32
CHUNK = struct.Struct('<IHHIIIIQIIQ8xII')
CHUNK_MAGIC = 0x4352524b
EVENTS = 5
TRAILER = 32

RANDOM_PLACES = 200

# Some chunks of events, in a trace that is small, since it is read more than a thousand times.
SMALL = ['--mem', '96']


def small_work(rounds):
    """A command for a guest of that size; one round is some thousand records."""
    return ['sh', '-c', f'for i in $(seq {rounds}); do ls -l /proc /bin >/dev/null; echo $i; done']
SNAPSHOT_CHUNK_TYPES = range(1, 5)


@dataclass
class Chunk:
    """A chunk of a trace as its header describes it."""
    offset: int
    end: int
    kind: int
    records: int


def chunks_of(data):
    """All chunks of an undamaged trace."""
    result, offset = [], FILE_HEADER
    while offset + CHUNK.size <= len(data) - TRAILER:
        header = CHUNK.unpack_from(data, offset)
        expect(header[0] == CHUNK_MAGIC, f'no chunk at byte {offset} of a fresh trace')
        end = offset + CHUNK.size + header[5]
        result.append(Chunk(offset, end, header[1], header[8] if header[1] == EVENTS else 0))
        offset = end
    expect(offset == len(data) - TRAILER, 'the chunks of a fresh trace do not fill it')
    return result


def json_number(result, name):
    """A number of krr info --json."""
    found = re.search(rb'"%s": (\d+)' % name.encode(), result.out)
    expect(found, f'krr info gives no {name}: {result.text()}')
    return int(found[1])


def replayed_records(result):
    """How many records a replay says it has replayed."""
    found = re.search(rb'^krr:   all +(\d+) records', result.err, re.M)
    expect(found, f'the replay does not say how much it has replayed: {result.text()}')
    return int(found[1])


def expect_error(result, what, pattern=None):
    """The program failed, by itself, and said something useful."""
    expect(result.status is not None and 0 < result.status < 126,
           f'{what}: expected an error, got {result.text()}')
    expect(result.err.strip(), f'{what}: failed with status {result.status} but said nothing')
    if pattern:
        expect(re.search(pattern, result.err.decode(errors='replace')),
               f'{what}: the message lacks "{pattern}": {result.text()}')


# ---- damaged files ----

class Damaged:
    """One good trace, and checks of its damaged copies."""

    def __init__(self, folder, trace):
        self.file = folder / 'damaged.krr'
        self.trace = trace
        self.data = trace.read_bytes()
        self.console = Path(f'{trace}.console').read_bytes()
        self.chunks = chunks_of(self.data)
        self.snapshot_end = max(c.end for c in self.chunks if c.kind in SNAPSHOT_CHUNK_TYPES)
        self.events_end = max(c.end for c in self.chunks if c.kind == EVENTS)

    def whole_records(self, position):
        """Records in chunks that lie before this byte."""
        return sum(c.records for c in self.chunks if c.end <= position)

    def check(self, data, position, status, what):
        """The file is as good as the original up to the position (a byte offset). A replay that
        gets as far as the damage ends with the status."""
        self.file.write_bytes(data)
        usable = position >= self.snapshot_end
        expect_error(vm.tool('verify', self.file), f'krr verify, {what}')
        info = vm.tool('info', '--json', self.file)
        if usable:
            expect(info.status == 0, f'krr info, {what}: {info.text()}')
            expect(json_number(info, 'records') >= self.whole_records(position),
                   f'{what}: {self.whole_records(position)} records were whole, krr info finds '
                   f'{json_number(info, "records")}')
        else:
            # Damage in the snapshot's memory is seen when that is read, not before.
            expect(info.status in (0, 1), f'krr info, {what}: {info.text()}')
        result = vm.replay(self.file, timeout=120)
        expect(self.console.startswith(result.out), f'replay, {what}: console was never recorded')
        if usable:
            self.check_replay(result, position, status, what)
        else:
            expect(result.status == 1, f'replay, {what}: {result.text()}')
            expect_error(result, f'replay, {what}')

    def check_replay(self, result, position, status, what):
        """Replays what is there, says what is missing, invents nothing."""
        cut = position < self.events_end
        expect(result.status == (status if cut else 0), f'replay, {what}: {result.text()}')
        expect(replayed_records(result) >= self.whole_records(position),
               f'replay, {what}: {self.whole_records(position)} records were whole, '
               f'{replayed_records(result)} were replayed')
        if cut:
            expect(re.search(rb'cut off|damaged|checksum|truncated', result.err),
                   f'replay, {what}: does not say that the trace is damaged: {result.text()}')
        else:
            expect(result.out == self.console, f'replay, {what}: console is not complete')

    def truncated(self, position):
        """The file ends at the position."""
        self.check(self.data[:position], position, 0, f'cut at byte {position} of {len(self.data)}')

    def flipped(self, position, bit):
        """One bit is wrong."""
        data = bytearray(self.data)
        data[position] ^= 1 << bit
        start = max([c.offset for c in self.chunks if c.offset <= position], default=0)
        if position >= self.chunks[-1].end:
            start = self.chunks[-1].end
        self.check(bytes(data), start, 1,
                   f'bit {bit} of byte {position} of {len(self.data)} flipped')

    def random_positions(self, source):
        """Half of them anywhere, half of them among the events, which are a small part."""
        for number in range(RANDOM_PLACES):
            low = self.snapshot_end if number % 2 else 0
            yield source.randrange(low, len(self.data))


def damaged_files(report, folder, trace, seed):
    """Truncated and bit-flipped copies of a trace."""
    damaged = Damaged(folder, trace)
    source = random.Random(seed)

    def at_boundaries():
        for chunk in damaged.chunks:
            damaged.truncated(chunk.offset)
        damaged.truncated(damaged.chunks[-1].end)

    def at_random():
        for position in damaged.random_positions(source):
            damaged.truncated(position)

    def flipped():
        for position in damaged.random_positions(source):
            damaged.flipped(position, source.randrange(8))

    def headers_flipped():
        for chunk in damaged.chunks:
            damaged.flipped(source.randrange(chunk.offset, chunk.offset + CHUNK.size),
                            source.randrange(8))

    report.check(f'truncated at {len(damaged.chunks) + 1} chunk boundaries', at_boundaries)
    report.check(f'truncated at {RANDOM_PLACES} random places (seed {seed})', at_random)
    report.check(f'bit flipped in each of {len(damaged.chunks)} chunk headers (seed {seed})',
                 headers_flipped)
    report.check(f'bit flipped at {RANDOM_PLACES} random places (seed {seed})', flipped)


def foreign_files(report, folder, trace):
    """Files that are no traces, or not of this version."""
    file = folder / 'foreign.krr'

    def refused(content, pattern):
        if content is not None:
            file.write_bytes(content)
        elif file.exists():
            file.unlink()
        for what, result in (('krr info', vm.tool('info', file)),
                             ('krr verify', vm.tool('verify', file)),
                             ('krr dump', vm.tool('dump', file)),
                             ('QEMU', vm.qemu('-accel', 'tcg', '-krr', f'replay={file},exit=on'))):
            expect_error(result, what, pattern)
            expect(str(file) in result.err.decode(errors='replace'),
                   f'{what} does not name the file: {result.text()}')

    header = bytearray(trace.read_bytes())
    struct.pack_into('<I', header, 8, 99)
    struct.pack_into('<I', header, FILE_HEADER - 4, zlib.crc32(header[:FILE_HEADER - 4]))
    report.check('missing file', refused, None, 'No such file')
    report.check('empty file', refused, b'', None)
    report.check('foreign file: text', refused, b'#!/bin/sh\necho hello\n' * 100, 'trace')
    report.check('foreign file: program', refused, Path('/bin/true').read_bytes(), 'trace')
    report.check('version from the future', refused, bytes(header), 'version')


# ---- forged traces ----

# Of forge.c: exit status of the replay, and what it says.
FORGED = {
    'self-fault': (vm.DIVERGED, 'guest has a halt without releasing the lock'),
    'endless-faults': (vm.DIVERGED, 'guest has an endless row of exceptions'),
    'endless-faults-last': (0, 'the guest runs on without anything to replay'),
    'no-task': (vm.DIVERGED, 'guest has a fault in the delivery of an entry'),
    'rom-tables': (vm.DIVERGED, 'guest has a page walk that changes 0x4038, where no memory is'),
    'triple-fault': (vm.DIVERGED, 'guest has a triple fault'),
    'many-areas': (vm.DIVERGED, 'memory at the end differs'),
}


def forged_trace(folder, good, kind):
    """The replay of a trace that no recorder has written ends, soon and in order."""
    trace = folder / 'forged.krr'
    status, text = FORGED[kind]
    forged = vm.run([vm.PROGRAMS / 'forge', kind, good, trace])
    expect(forged.status == 0, f'forge: {forged.text()}')
    # QEMU itself, of which nothing is left after a timeout.
    result = vm.qemu('-accel', 'tcg', '-krr', f'replay={trace},exit=on', timeout=60)
    expect(result.status == status and text in result.err.decode(errors='replace'),
           f'expected status {status} and "{text}", got {result.text()}')


# ---- recordings that cannot succeed ----

def recording_fails(accel, pattern, options=(), command=('true',), *, trace):
    """krr-vm record says that and why the recording failed."""
    result = vm.record(trace, command, accel, options)
    expect(result.status == vm.RECORDING_FAILED, f'expected status 4, got {result.text()}')
    expect(re.search(pattern, result.err.decode(errors='replace')),
           f'the message lacks "{pattern}": {result.text()}')


def without_recorder(folder, accel):
    """A kernel that knows nothing of KRR: Debian's own."""
    kernel = vm.run([vm.SCRIPTS / 'lab-host', 'kernel'])
    expect(kernel.status == 0, f'cannot fetch a kernel without recorder: {kernel.text()}')
    recording_fails(accel, 'CONFIG_KRR_GUEST', ['--kernel', kernel.out.decode().strip()],
                    trace=folder / 'plain.krr')


def recorder_off(folder, accel):
    """The recorder is there but was not switched on at boot."""
    recording_fails(accel, 'krr=on', ['--append', 'krr=off'], trace=folder / 'off.krr')


def unwritable(folder, accel):
    """Places where no file can be."""
    recording_fails(accel, 'no folder', trace=folder / 'none' / 'x.krr')
    recording_fails(accel, 'is a folder', trace=folder)
    for path in (folder / 'none' / 'x.krr', folder):
        expect_error(vm.qemu('-accel', 'tcg', '-krr', f'record={path}'), f'record={path}',
                     re.escape(str(path)))


def inside_small_filesystem(folder, size, trace, accel):
    """Records with the trace on a file system of that many bytes; returns krr-vm's result."""
    mounted = folder / 'small'
    mounted.mkdir(exist_ok=True)
    command = vm.record_arguments(mounted / trace, small_work(300), accel, SMALL)
    script = (f'mount -t tmpfs -o size={size} none "$0" && "$@"; status=$?; '
              f'cp "$0/{trace}" "$0/../{trace}.kept"; exit $status')
    return vm.run(['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script,
                   mounted, *command])


def disk_full(folder, accel, good):
    """The disk fills up during the snapshot, and during the recording."""
    snapshot = max(c.end for c in chunks_of(good.read_bytes()) if c.kind in SNAPSHOT_CHUNK_TYPES)
    for size, name in ((snapshot // 2, 'full-snapshot.krr'), (snapshot + (1 << 20), 'full-events.krr')):
        result = inside_small_filesystem(folder, size // 4096 * 4096, name, accel)
        expect(result.status == vm.RECORDING_FAILED, f'{name}: expected status 4, got {result.text()}')
        expect(b'No space left' in result.err, f'{name}: does not name the cause: {result.text()}')
    kept = folder / 'full-events.krr.kept'
    info = vm.tool('info', '--json', kept)
    expect(info.status == 0, f'the part that was written cannot be read: {info.text()}')
    result = vm.replay(kept)
    expect(result.status == 0, f'the part that was written does not replay: {result.text()}')
    expect(0 < json_number(info, 'records') == replayed_records(result),
           f'{json_number(info, "records")} records were kept, {replayed_records(result)} replayed')


def smallest_ring(folder, accel):
    """The recorder waits for room all the time."""
    trace = folder / 'ring.krr'
    result = vm.record(trace, ['/krr/fork_exec'], accel,
                       ['--root', folder / 'root', '--krr-option', 'ring=64K'])
    expect(result.status == 0, f'recording with ring=64K: {result.text()}')
    vm.check_replays(trace)
    for size in ('4K', '100K', '2T', 'nonsense', '-1'):
        recording_fails(accel, 'ring', ['--krr-option', f'ring={size}'], trace=folder / 'ring2.krr')


def timeout_closes_trace(folder, accel):
    """A guest that does not end: the recording is closed and good."""
    trace = folder / 'timeout.krr'
    arguments = vm.record_arguments(trace, ['sleep', '10000'], accel)
    # From power-on; several times as long as the recording takes to begin.
    arguments[arguments.index('--timeout') + 1] = '40'
    result = vm.run(arguments)
    expect(result.status == vm.RECORDING_FAILED, f'expected status 4, got {result.text()}')
    expect(b'timeout' in result.err, f'does not name the timeout: {result.text()}')
    verified = vm.tool('verify', trace)
    expect(verified.status == 0, f'the trace was not closed: {verified.text()}')
    replayed = vm.replay(trace)
    expect(replayed.status == 0, f'the trace does not replay: {replayed.text()}')


def kept_kernel(folder, accel):
    """A vCPU that never leaves the kernel while another one wants to enter it."""
    trace = folder / 'kept.krr'
    recording_fails(accel, r'vCPU \d+ kept the kernel for \d+ s at RIP 0x[0-9a-f]{16}',
                    ['--smp', '2', '--root', folder / 'root'],
                    ['sh', '-c', 'while :; do :; done & insmod /krr/keep_kernel.ko'], trace=trace)
    verified = vm.tool('verify', trace)
    expect(verified.status == 0, f'the trace was not closed: {verified.text()}')
    result = vm.replay(trace)
    expect(result.status == 0, f'the trace does not replay: {result.text()}')
    expect(b'here I stay' in result.out, f'the replay did not get there: {result.text()}')


# What the guest's kernel says of what it does not let a recording start beside.
IN_USE = ('a performance counter is mapped', '/dev/mem or /dev/port is open',
          '/proc/kcore is open')


def unrecorded(folder, accel):
    """What cannot be recorded: no recording starts beside it, and it is refused while one runs."""
    trace = folder / 'unrecorded.krr'
    there = f'/share/{trace.name}' if accel == 'lab' else trace
    refused = 'while the kernel is recorded'
    result = vm.run([vm.SCRIPTS / 'krr-vm', 'run', '--accel', accel, '--smp', '2',
                     '--root', folder / 'root', '--qemu-option', '-krr',
                     '--qemu-option', f'record={there},start=manual', '--',
                     'sh', '-c', f'/krr/unrecorded && dmesg | grep "{refused}"'])
    said = result.out.decode(errors='replace')
    expect(result.status == 0, f'{result.text()}\n{said}')
    for text in IN_USE:
        expect(f'not recording: {text}' in said, f'the kernel did not say that {text}: {said}')
    expect(said.count(refused) == len(IN_USE), f'not once for each: {said}')
    replayed = vm.replay(trace)
    expect(replayed.status == 0, f'the trace does not replay: {replayed.text()}')


def unhooked_read(folder, accel):
    """A read of user memory that no hook tells of: a strict replay stops there, and says where.
    Another one finds at the end that the kernel has kept something else."""
    trace = folder / 'unhooked.krr'
    result = vm.record(trace, ['sh', '-c', 'insmod /krr/unhooked.ko && mount -t debugfs none /mnt && '
                               f'echo {"x" * 100} >/mnt/unhooked'], accel,
                       ['--root', folder / 'root', '--krr-option', 'final-ram=on'])
    expect(result.status == 0, f'recording: {result.text()}')
    kept = vm.replay(trace)
    expect(kept.status == vm.DIVERGED and b'every record matched, but memory at the end differs' in
           kept.err, f'a replay with another byte of user memory ended with {kept.text()}')
    strict = vm.replay(trace, ['--krr-option', 'strict=on'])
    expect(strict.status == vm.DIVERGED, f'a strict replay ended with {strict.text()}')
    expect('a read of user memory that no hook tells of' in strict.text(), strict.text())


def writes_past_qemu(folder, accel):
    """A device whose registers KVM itself looks after."""
    recording_fails(accel, 'leave out ioeventfd=on',
                    vm.qemu_options('-device', 'virtio-rng-pci,ioeventfd=on'),
                    trace=folder / 'ioeventfd.krr')


def hostile_act(folder, accel, act, after, options=()):
    """Records a guest that does that; QEMU survives it. Returns what krr-vm said and the trace."""
    trace = folder / f'hostile-{act.split()[0]}.krr'
    result = vm.record(trace, ['sh', '-c', f'insmod /krr/hostile.ko act={act} && {after}'],
                       accel, ['--root', folder / 'root', *options])
    expect(b'hostile: ' in vm.tool('console', trace).out, f'no act {act}: {result.text()}')
    return result, trace


def message_at_the_end_of_memory(folder, accel):
    """A device's interrupt message goes half behind the guest's memory: to nowhere."""
    result, trace = hostile_act(
        folder, accel, f'msi address={(256 << 20) - 2}',
        '{ timeout 2 cat /dev/hwrng >/dev/null; echo went on; }',
        ['--mem', '256', *vm.qemu_options('-device', 'virtio-rng-pci')])
    expect(result.status == 0, f'recording: {result.text()}')
    vm.check_replays(trace)


def end_in_silence(folder, accel):
    """An END in the ring without its doorbell ends the recording nevertheless, and the text in it
    does not get at the terminal."""
    result, trace = hostile_act(folder, accel, 'end', 'sleep 200')
    expect(result.status == vm.RECORDING_FAILED, f'recording: {result.text()}')
    seconds = json_number(vm.tool('info', '--json', trace), 'duration_us') / 1e6
    # After 10 s without the doorbell, and before the guest ends it.
    expect(9 < seconds < 200, f'the recording took {seconds} s')
    expect('hostile: ' in result.text() and '\x1b' not in result.text(), result.text())
    verified = vm.tool('verify', trace)
    expect(verified.status == 0, f'the trace was not closed: {verified.text()}')


def triple_fault(folder, accel):
    """A guest that ends by a triple fault: so does its replay, and that is no divergence."""
    result, trace = hostile_act(folder, accel, 'reset', 'true')
    expect(result.status == vm.RECORDING_FAILED, f'recording: {result.text()}')
    replayed = vm.replay(trace)
    expect(replayed.status == 0, f'replay: {replayed.text()}')
    expect(replayed.out == vm.tool('console', trace).out, 'the replay shows another console')


@contextlib.contextmanager
def started(arguments):
    """A program that is ended whatever happens: of Popen's own, the end is waited for."""
    process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            vm.end(process)


class Monitor:
    """QMP of a recording QEMU."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(vm.TIMEOUT)
        # It is there a moment before anybody listens.
        vm.wait_until(lambda: self.socket.connect_ex(str(path)) == 0, 60, 'the monitor')
        self.lines = self.socket.makefile('rw')
        self.lines.readline()
        self.execute('qmp_capabilities')

    def execute(self, command):
        """Runs a command; returns what it returns."""
        self.lines.write(json.dumps({'execute': command}) + '\n')
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            expect('error' not in answer, f'{command}: {answer}')
            if 'return' in answer:
                return answer['return']


def many_refusals(folder):
    """A guest that reports failures at any rate is reported once a second."""
    path = folder / 'refusals-qmp'
    arguments = [vm.SCRIPTS / 'krr-vm', 'run', '--accel', 'tcg', '--root', folder / 'root',
                 *vm.qemu_options('-krr', f'record={folder / "refusals.krr"},start=manual',
                                  '-qmp', f'unix:{path},server=on,wait=off'),
                 '--', 'insmod', '/krr/hostile.ko', 'act=refusals']
    with started(arguments) as process:
        times = Monitor(path).lines.read().count('the guest refuses')
        err = process.communicate(timeout=vm.TIMEOUT)[1]
    expect(process.returncode == 0, err.decode(errors='replace'))
    expect(1 <= times < 20, f'it was reported {times} times')


# Processes on all vCPUs, and a disk that is read all the time.
STORM = '''
while dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; do echo 3 >/proc/sys/vm/drop_caches; done &
for i in 1 2 3; do /krr/smp_storm; done
kill $!
'''


def stopped_and_continued(folder):
    """A virtual machine that is stopped while its vCPUs wait for each other's locks, and for a
    disk."""
    trace, path, image = folder / 'stopped.krr', folder / 'qmp', folder / 'disk.img'
    image.write_bytes(random.randbytes(8 << 20))
    arguments = vm.record_arguments(
        trace, ['sh', '-c', STORM], 'tcg',
        ['--root', folder / 'root', '--smp', '4', '--disk', image, '--qemu-option', '-qmp',
         '--qemu-option', f'unix:{path},server=on,wait=off'])
    with started(arguments) as process:
        monitor = Monitor(path)
        vm.wait_until(lambda: monitor.execute('query-krr')['status'] == 'recording', 60,
                      'the recording')
        stops = 0
        while stops < 20 and monitor.execute('query-krr')['status'] == 'recording':
            monitor.execute('stop')
            before = monitor.execute('query-krr')['ordinals']
            time.sleep(0.05)
            expect(monitor.execute('query-krr')['ordinals'] == before, 'a stopped guest runs')
            monitor.execute('cont')
            time.sleep(0.05)
            stops += 1
        expect(stops > 2, f'the recording was over after {stops} stops')
        err = process.communicate(timeout=vm.TIMEOUT)[1]
    expect(process.returncode == 0,
           f'krr-vm ended with {process.returncode}: {err.decode(errors="replace")}')
    vm.check_replays(trace)


def stopped_in_kernel(folder):
    """A debugger that stops the recorded guest in its kernel: there is no way to go on."""
    trace = folder / 'breakpoint.krr'
    reserved = gdb_tests.reserved_port()
    port = reserved.getsockname()[1]
    arguments = vm.record_arguments(
        trace, ['sh', '-c', 'while :; do sleep 1; hostname other; done'], 'tcg',
        ['--root', folder / 'root', '--append', 'nokaslr', '--qemu-option', '-gdb',
         '--qemu-option', f'tcp:127.0.0.1:{port}'])
    with reserved, started(arguments) as process:
        # In the kernel's own mode: gdb cannot follow a change of mode. The guest goes on meanwhile:
        # gdb may need long for the kernel's symbols.
        vm.wait_until(lambda: trace.exists() and trace.stat().st_size, 60, 'the recording')
        debugger = vm.run(['gdb', '-nx', '-batch', '-ex', f'target remote 127.0.0.1:{port}',
                           '-ex', 'hbreak __x64_sys_sethostname', '-ex', 'continue',
                           vm.VMLINUX])
        err = process.communicate(timeout=vm.TIMEOUT)[1].decode(errors='replace')
    expect(b'Breakpoint 1, __x64_sys_sethostname' in debugger.out, f'gdb: {debugger.text()}')
    expect(process.returncode == vm.RECORDING_FAILED and 'stopped in the kernel' in err,
           f'krr-vm ended with {process.returncode}: {err}')
    replayed = vm.replay(trace)
    expect(replayed.status == 0, f'the replay ended with {replayed.text()}')


def refused_options(folder, good):
    """Conflicting and unknown options of QEMU and krr-vm."""
    trace = folder / 'options.krr'
    bare = ['-nic', 'none', '-vga', 'none', '-accel', 'tcg']
    for options, pattern in (
            ([*bare, '-krr', f'record={trace},replay={good}'], 'replay|record'),
            (['-accel', 'tcg', '-krr', f'replay={good},ring=64K'], 'ring'),
            (['-accel', 'tcg', '-krr', f'replay={good},start=boot'], 'start'),
            ([*bare, '-krr', f'record={trace},exit=on'], 'exit'),
            ([*bare, '-krr', f'record={trace},start=never'], 'start'),
            ([*bare, '-krr', f'record={trace},bogus=1'], 'bogus'),
            ([*bare, '-krr', f'record={trace},ring=64K,ring=128K'], 'ring'),
            ([*bare, '-smp', '65', '-krr', f'record={trace}'], 'at most 64 vCPUs'),
            (['-accel', 'tcg', '-krr', 'ring=64K'], 'record'),
            (['-accel', 'tcg', '-krr', ''], 'record'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-krr', f'record={trace}'], '-krr'),
            (['-accel', 'kvm', '-krr', f'replay={good}'], 'tcg'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-cpu', 'max'], '-cpu'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-m', '64'], '-m|memory'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-M', 'q35'], '-M|machine'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-smp', '2'], '-smp'),
            (['-accel', 'tcg', '-krr', f'replay={good}', '-device', 'e1000'], 'device'),
            (['-accel', 'tcg', '-icount', 'shift=auto', '-krr', f'replay={good}'], 'icount')):
        expect_error(vm.qemu(*options, timeout=30), ' '.join(options), pattern)
    expect(not trace.exists() or trace.stat().st_size == 0 or
           vm.tool('verify', trace).status != 0, 'a refused recording left a valid trace')
    recording_fails('tcg', 'cannot read disk image', ['--disk', 'nvme:/missing'], trace=trace)
    recording_fails('tcg', 'VGA.*cannot be recorded', vm.qemu_options('-device', 'VGA'), trace=trace)
    shared = 'memory-backend-ram,id=ram,size=512M,share=on'
    for use in (['-machine', 'memory-backend=ram'], ['-numa', 'node,memdev=ram']):
        recording_fails('tcg', 'is shared with other processes',
                        vm.qemu_options('-object', shared, *use), trace=trace)
    recording_fails('tcg', 'krr-bypass=on of ich9-ahci',
                    vm.qemu_options('-device', 'ich9-ahci,krr-bypass=on'), trace=trace)
    recording_fails('tcg', 'needs iommu_platform=on',
                    vm.qemu_options('-device', 'virtio-rng-pci,krr-bypass=on'), trace=trace)
    recording_fails('tcg', 'iothread', vm.qemu_options('-object', 'iothread,id=other'), trace=trace)
    result = vm.record(trace, ['true'], 'tcg', ['--smp', 'many'])
    expect(result.status == 64, f'--smp many: expected status 64, got {result.text()}')


# ---- sudden death ----

@contextlib.contextmanager
def endless(folder, accel, trace):
    """A recording that never ends by itself, once there is something in it; it is ended whatever
    happens."""
    arguments = vm.record_arguments(trace, ['sh', '-c', 'while :; do /krr/fork_exec; done'], accel,
                                    ['--root', folder / 'root'])

    def recorded():
        expect(process.poll() is None, 'the recording ended early')
        info = vm.tool('info', '--json', trace)
        return info.status == 0 and json_number(info, 'records') > 20000
    with started(arguments) as process:
        vm.wait_until(recorded, 120, f'records in {trace}')
        yield process


def working_folder(trace):
    """Where krr-vm keeps the files of this recording."""
    for parent in (trace.parent, Path(os.environ.get('TMPDIR', '/tmp'))):
        for job in parent.glob('.krr-vm.*'):
            if (job / 'job').exists() and str(trace.name) in (job / 'job').read_text():
                return job
    raise vm.Failure(f'no working folder of krr-vm for {trace}')


def check_torso(process, trace, before):
    """After a sudden death: krr-vm says so, and what was on disk replays."""
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired as late:
        process.kill()
        raise vm.Failure('krr-vm hangs after the death of QEMU') from late
    expect(process.returncode == vm.RECORDING_FAILED and err.strip(),
           f'krr-vm ended with {process.returncode}: {err.decode(errors="replace")}')
    info = vm.tool('info', '--json', trace)
    expect(info.status == 0 and b'"complete": false' in info.out, f'krr info: {info.text()}')
    expect(json_number(info, 'records') >= before,
           f'{before} records were on disk, {json_number(info, "records")} are left')
    expect_error(vm.tool('verify', trace), 'krr verify')
    result = vm.replay(trace)
    expect(result.status == 0, f'what was on disk does not replay: {result.text()}')
    expect(b'cut off' in result.err, f'the replay does not say what is missing: {result.text()}')
    expect(result.out == vm.tool('console', trace).out, 'the replay shows another console')


def killed_qemu(folder, accel):
    """kill -9 of the recording QEMU."""
    trace = folder / 'killed.krr'
    with endless(folder, accel, trace) as process:
        job = working_folder(trace)
        before = json_number(vm.tool('info', '--json', trace), 'records')
        if accel == 'lab':
            vm.run([vm.SCRIPTS / 'lab-host', 'kill', os.environ['KRR_LAB_SESSION'], job.name,
                    'KILL'])
        else:
            os.kill(int((job / 'pid').read_text()), signal.SIGKILL)
        check_torso(process, trace, before)


def killed_lab(folder):
    """kill -9 of the emulated host with the recording QEMU in it."""
    trace = folder / 'killed-lab.krr'
    state = Path(os.environ['KRR_LAB_SESSION'])
    with endless(folder, 'lab', trace) as process:
        before = json_number(vm.tool('info', '--json', trace), 'records')
        os.kill(int((state / 'pid').read_text()), signal.SIGKILL)
        check_torso(process, trace, before)


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='tcg')
    parser.add_argument('--only', choices=['files', 'recordings'],
                        help='damaged and forged files, or recordings that go wrong')
    parser.add_argument('--seed', type=int, default=1, help='of random places (default 1)')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    report = Report()
    with vm.work_folder(f'hostile-{accel}') as folder, vm.session(accel, folder):
        vm.guest_root(folder)
        good = folder / 'good.krr'
        recorded = vm.record(good, small_work(15), accel, SMALL)
        expect(recorded.status == 0, f'cannot record a trace to damage: {recorded.text()}')
        vm.check_replays(good)
        vm.leave_coverage(good)
        if arguments.only != 'recordings':
            foreign_files(report, folder, good)
            for kind in FORGED:
                report.check(f'forged trace: {kind}', forged_trace, folder, good, kind)
            damaged_files(report, folder, good, arguments.seed)
        if arguments.only != 'files':
            report.check('guest without the recorder', without_recorder, folder, accel)
            report.check('recorder off', recorder_off, folder, accel)
            report.check('unwritable place', unwritable, folder, accel)
            report.check('smallest and impossible rings', smallest_ring, folder, accel)
            report.check('timeout', timeout_closes_trace, folder, accel)
            report.check('vCPU that keeps the kernel', kept_kernel, folder, accel)
            report.check('what cannot be recorded', unrecorded, folder, accel)
            report.check('read without a hook', unhooked_read, folder, accel)
            report.check('message at the end of memory', message_at_the_end_of_memory, folder, accel)
            report.check('END without its doorbell', end_in_silence, folder, accel)
            if accel == 'tcg':
                report.skip('ioeventfd=on', 'only KVM writes to devices past QEMU')
            else:
                report.check('ioeventfd=on', writes_past_qemu, folder, accel)
            report.check('triple fault', triple_fault, folder, accel)
            report.check('conflicting options', refused_options, folder, good)
            if accel == 'lab':
                report.skip('disk full', 'the writer is the same under tcg, which is tested')
                for name in 'stopped and continued', 'stopped in the kernel', 'many refusals':
                    report.skip(name, "needs QEMU's monitor, which is inside the emulated host")
            else:
                report.check('stopped and continued', stopped_and_continued, folder)
                report.check('stopped in the kernel', stopped_in_kernel, folder)
                report.check('many refusals', many_refusals, folder)
                report.check('disk full', disk_full, folder, accel, good)
            report.check('kill -9 of QEMU', killed_qemu, folder, accel)
            if accel == 'lab':
                report.check('kill -9 of the emulated host', killed_lab, folder)
        if report.failures:
            (folder / 'tests.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
