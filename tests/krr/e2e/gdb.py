#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb on a replay: what it stops at, what it finds there, and that it disturbs nothing.

A kernel panic is recorded with one vCPU and another one with two; every test replays one of them
anew. However gdb has stopped and stepped, the replay must end with the instruction count and the
memory of one that nobody looked at.
KRR_VMLINUX names the recorded kernel's symbols if they are not in the build folder.
"""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import vm
from tap import Report
from vm import expect

CRASH = ['sh', '-c', 'for i in 1 2 3 4 5; do read -r up </proc/uptime; echo $up; sleep 0.1; done; '
                     'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger']
# Both vCPUs have something to do, then the second one crashes.
CRASH_SMP = ['sh', '-c', 'for cpu in 1 2; do '
                         'taskset $cpu sh -c "for i in 1 2 3; do read -r up </proc/uptime; '
                         'echo \\$i; usleep 30000; done" & '
                         'done; wait; echo 1 >/proc/sys/kernel/sysrq; '
                         'exec taskset 2 sh -c "echo c >/proc/sysrq-trigger"']
PANIC_FRAMES = ['panic', 'sysrq_handle_crash', '__handle_sysrq', 'write_sysrq_trigger', 'vfs_write',
                'ksys_write', 'do_syscall_64', 'entry_SYSCALL_64']
END = 'No more reverse-execution history'
STANDS = 'the guest stands at the end'
REGISTERS = ('rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags cs ss '
             'gs_base cr2 cr3')
WHERE = [f'info registers {REGISTERS}', 'monitor info krr']
COUNTS = re.compile(r'(?:^vCPU \d+: safepoints \d+, kernel instructions \d+$\n?)+', re.M)
THREAD = re.compile(r'^thread (\d+)$', re.M)
# In gdb: Ctrl-C, a moment after the guest runs.
CTRL_C = '''
import os, signal, threading

def interrupt_soon(_event):
    gdb.events.cont.disconnect(interrupt_soon)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
'''
SHOW_THREAD = 'printf "thread %d\\n", $_thread'


def reserved_port():
    """A socket on a TCP port that nobody else is given; QEMU may listen there (SO_REUSEADDR)."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(('127.0.0.1', 0))
    return reserved


class Replay:
    """A replay that waits for gdb."""

    def __init__(self, trace):
        self.trace = trace
        self.reserved = reserved_port()
        self.port = self.reserved.getsockname()[1]
        self.log = Path(f'{trace}.log')
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                [vm.SCRIPTS / 'krr-vm', 'replay', trace, '--gdb', str(self.port)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                start_new_session=True)

    def gdb_arguments(self, commands):
        """A gdb that knows the kernel's symbols and is connected."""
        set_up = vm.tool('gdb', '--vmlinux', vm.VMLINUX, '--port', self.port, self.trace)
        expect(set_up.status == 0, f'krr gdb: {set_up.text()}')
        lines = ['set pagination off', 'set confirm off', 'set width 0',
                 'set tcp connect-timeout 150', *set_up.out.decode().splitlines(),
                 f'source {vm.SCRIPTS / "krr-gdb.py"}', *commands]
        # The monitor's answers come on stderr: one stream keeps the order.
        return ['sh', '-c', 'exec "$@" 2>&1', 'sh', 'gdb', '-nx', '-batch',
                *(word for line in lines for word in ('-ex', line))]

    def gdb(self, *commands):
        """Runs gdb with the commands to its end; returns what it printed."""
        result = vm.run(self.gdb_arguments(commands), timeout=180)
        text = result.out.decode(errors='replace').replace('\r', '')
        expect(result.status == 0, f'gdb failed: {result.text()}\n{text[-2000:]}\n{self.errors()}')
        for wrong in ('Remote connection closed', 'Error in sourced', 'Cannot access memory'):
            expect(wrong not in text, f'gdb: {wrong}:\n{text[-2000:]}\n{self.errors()}')
        return text

    def errors(self):
        """What the replay wrote to stderr."""
        return self.log.read_text(errors='replace')

    def summary(self):
        """Waits for the end of the trace; its instruction count and RAM digest."""
        def ended():
            expect(self.process.poll() is None, f'the replay died: {self.errors()}')
            return STANDS in self.errors()
        vm.wait_until(ended, 180, 'the end of the replay')
        expect('diverged' not in self.errors(), f'the replay diverged: {self.errors()}')
        return vm.replay_summary(vm.Result(0, b'', self.log.read_bytes()))

    def status(self):
        """Waits for the replay to end by itself; its exit status."""
        return self.process.wait(timeout=60)

    def close(self):
        """Ends it."""
        self.reserved.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=60)


@contextlib.contextmanager
def replaying(trace):
    """A replay that is ended whatever happens."""
    replay = Replay(trace)
    try:
        yield replay
    finally:
        replay.close()


def section(text, name):
    """What gdb printed behind "echo name"."""
    found = re.search(rf'^=== {name}\n(.*?)(?=^=== |\Z)', text, re.M | re.S)
    expect(found, f'gdb did not get as far as "{name}":\n{text[-2000:]}')
    return found[1]


def mark(name):
    """The command that begins a section."""
    return f'echo === {name}\\n'


def counts_of_vcpus(text):
    """The instruction counts that "monitor info krr" has printed, the first in the text."""
    found = COUNTS.search(text)
    expect(found, f'no instruction count in:\n{text[-2000:]}')
    return [int(line.split()[-1]) for line in found[0].splitlines()]


def instructions(text):
    """The same of all vCPUs together."""
    return sum(counts_of_vcpus(text))


def threads(text):
    """The threads that SHOW_THREAD has named."""
    return [int(number) for number in THREAD.findall(text)]


class Tests:
    """All tests of one trace; reference is the summary of a replay without gdb."""

    def __init__(self, trace):
        self.trace = trace
        result = vm.replay(trace)
        expect(result.status == 0, f'the replay without gdb ended with {result.text()}')
        self.reference = vm.replay_summary(result)

    def same_end(self, replay):
        """The replay has reached its end undisturbed."""
        expect(replay.summary() == self.reference,
               f'the replay ended differently under gdb: {replay.summary()}, {self.reference}')

    def stops(self, commands, names):
        """Replays twice with gdb; what it shows in the sections must be equal, and the
        instruction count must ascend."""
        texts = []
        for _ in range(2):
            with replaying(self.trace) as replay:
                texts.append(replay.gdb(*commands, mark('end'), 'delete', 'continue'))
                self.same_end(replay)
        counts = [0]
        for name in names:
            first, second = (section(text, name) for text in texts)
            expect(first == second, f'two replays differ at "{name}":\n{first}\n{second}')
            counts.append(instructions(first))
            expect(counts[-1] > counts[-2], f'instruction counts do not ascend: {counts}')
        return texts[0]

    def breakpoints(self):
        """The n-th hit is the same place in each replay."""
        text = self.stops(
            ['break vfs_write', 'ignore 1 2', mark('third'), 'continue', *WHERE,
             mark('fourth'), 'continue', *WHERE, 'delete',
             'hbreak do_sys_openat2', mark('hardware'), 'continue', *WHERE],
            ['third', 'fourth', 'hardware'])
        for name, function in (('third', 'vfs_write'), ('fourth', 'vfs_write'),
                               ('hardware', 'do_sys_openat2')):
            expect(re.search(rf'Breakpoint \d+, .*{function} ', section(text, name)),
                   f'no stop in {function}: {section(text, name)}')

    def watchpoint(self):
        """A timer tick changes jiffies."""
        text = self.stops(
            ['watch jiffies_64', mark('first'), 'continue', *WHERE, mark('second'), 'continue',
             *WHERE], ['first', 'second'])
        values = [int(re.search(rf'^{which} value = (\d+)', section(text, name), re.M)[1])
                  for name in ('first', 'second') for which in ('Old', 'New')]
        expect(values[0] < values[1] == values[2] < values[3], f'jiffies: {values}')

    def stepping(self):
        """Over a hook of the recorder, line by line, and out of a function."""
        text = self.stops(
            ['break krr_in_user_bytes', 'continue', 'set $back = *(unsigned long *)$rsp',
             'set $stack = $rsp', mark('hook'), 'stepi',
             'printf "stepped %d %d\\n", $rip == $back, $rsp == $stack + 8', *WHERE, 'delete',
             'tbreak vfs_read', 'continue', mark('stepi'), 'stepi 20', *WHERE,
             mark('next'), 'next 4', *WHERE,
             'tbreak vfs_write', 'continue', mark('finish'), 'finish', *WHERE],
            ['hook', 'stepi', 'next', 'finish'])
        expect('stepped 1 1' in section(text, 'hook'),
               f'a step at a hook does not lead to its caller: {section(text, "hook")}')
        expect('ksys_write (' in section(text, 'finish'),
               f'vfs_write does not return to ksys_write: {section(text, "finish")}')

    def single_steps(self):
        """Ten thousand instructions one by one: across entries, exits and interrupts."""
        with replaying(self.trace) as replay:
            text = replay.gdb('break vfs_read', 'continue', 'delete', mark('before'),
                              'monitor info krr', 'stepi 10000', mark('after'), 'monitor info krr',
                              'continue')
            executed = instructions(section(text, 'after')) - instructions(section(text, 'before'))
            expect(executed == 10000, f'10000 steps were {executed} instructions')
            self.same_end(replay)

    def panic(self):
        """Who called panic()."""
        with replaying(self.trace) as replay:
            text = replay.gdb('break panic', 'continue', mark('panic'), 'backtrace', mark('end'),
                              'continue')
            frames = re.findall(r'^#\d+\s+(?:0x[0-9a-f]+ in )?(\w+) ', section(text, 'panic'), re.M)
            rest = iter(frames)
            expect(all(any(name.startswith(wanted) for name in rest) for wanted in PANIC_FRAMES),
                   f'not the backtrace of the panic: {frames}')
            self.same_end(replay)

    def end(self):
        """The end of the trace is a stop, again and again, and the guest can be looked at."""
        with replaying(self.trace) as replay:
            text = replay.gdb(mark('end'), 'continue', *WHERE, mark('again'), 'continue', *WHERE,
                              mark('state'), 'print init_task.comm', 'backtrace')
            for name in ('end', 'again'):
                expect(END in section(text, name), f'no stop at the end: {section(text, name)}')
                expect('status: replayed' in section(text, name), section(text, name))
                records = re.search(r'^records: (\d+) of (\d+)$', section(text, name), re.M)
                expect(records and records[1] == records[2], section(text, name))
            # Without what gdb prints at a stop: warnings come once.
            first, second = (section(text, name).partition('rax ')[2] for name in ('end', 'again'))
            expect(first == second, f'the guest has run on after its end:\n{first}\n{second}')
            for wanted in ('"swapper', ' panic '):
                expect(wanted in section(text, 'state'), f'no {wanted}: {section(text, "state")}')
            expect(instructions(section(text, 'end')) == int(self.reference[0]),
                   f'{self.reference}: {section(text, "end")}')
            self.same_end(replay)

    def detach(self):
        """Without gdb the replay goes on."""
        with replaying(self.trace) as replay:
            replay.gdb('break vfs_write', 'continue', 'detach')
            self.same_end(replay)

    def kill(self):
        """gdb's kill ends QEMU."""
        with replaying(self.trace) as replay:
            replay.gdb('break vfs_write', 'continue', 'kill')
            expect(replay.status() == 0, f'QEMU ended with {replay.status()}: {replay.errors()}')

    def sudden_death(self):
        """gdb dies while the guest runs; another one finds everything in order."""
        with replaying(self.trace) as replay:
            # A condition that is never true keeps it busy.
            arguments = replay.gdb_arguments(['break __cond_resched if $rip == 0', mark('running'),
                                              'continue'])
            with subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE) as gdb:
                for line in gdb.stdout:
                    if line.startswith(b'=== running'):
                        break
                time.sleep(0.5)
                # A gdb that is not connected, or has seen the end, has left by now.
                busy = gdb.poll() is None and STANDS not in replay.errors()
                gdb.kill()
            expect(busy, f'the guest did not run when gdb died: {replay.errors()}')
            expect(replay.process.poll() is None, f'the replay died: {replay.errors()}')
            replay.gdb('delete', 'monitor info krr', 'continue')
            self.same_end(replay)


    # ---- several vCPUs ----

    def smp_threads(self):
        """Each vCPU is a thread with registers and a stack of its own."""
        with replaying(self.trace) as replay:
            text = replay.gdb(
                'break panic', mark('panic'), 'continue', SHOW_THREAD, mark('threads'),
                'info threads', mark('other'), 'thread 1', SHOW_THREAD,
                'printf "stack %#lx\\n", $rsp', mark('back'), 'thread 2', SHOW_THREAD,
                'printf "stack %#lx\\n", $rsp', 'backtrace', mark('end'), 'continue')
            expect(threads(section(text, 'panic')) == [2], 'the panic was not on the second vCPU: '
                   + section(text, 'panic'))
            listed = re.findall(r'^(\*?) +(\d+) +Thread', section(text, 'threads'), re.M)
            expect(listed == [('', '1'), ('*', '2')], f'threads: {section(text, "threads")}')
            expect(threads(section(text, 'other')) == [1], section(text, 'other'))
            stacks = [re.search(r'^stack (0x[0-9a-f]+)$', section(text, name), re.M)[1]
                      for name in ('other', 'back')]
            expect(stacks[0] != stacks[1], f'both vCPUs have the stack {stacks}')
            expect(' sysrq_handle_crash' in section(text, 'back'), section(text, 'back'))
            self.same_end(replay)

    def smp_breakpoints(self):
        """A breakpoint stops whichever vCPU hits it, the same in each replay."""
        commands, names = ['break vfs_write'], []
        for number in range(6):
            names.append(f'hit{number}')
            commands += [mark(names[-1]), 'continue', SHOW_THREAD, *WHERE]
        text = self.stops(commands, names)
        hits = [threads(section(text, name)) for name in names]
        expect(all(len(hit) == 1 for hit in hits) and {hit[0] for hit in hits} == {1, 2},
               f'breakpoints were hit by {hits}')
        text = self.stops(['break vfs_write thread 2', mark('own'), 'continue', SHOW_THREAD, *WHERE,
                           mark('next'), 'continue', SHOW_THREAD, *WHERE], ['own', 'next'])
        hits = [threads(section(text, name)) for name in ('own', 'next')]
        expect(hits == [[2], [2]], f'a breakpoint of the second vCPU only was hit by {hits}')

    def smp_watchpoint(self):
        """A word that both vCPUs write."""
        commands, names = ['watch jiffies_64'], []
        for number in range(6):
            names.append(f'hit{number}')
            commands += [mark(names[-1]), 'continue', SHOW_THREAD, *WHERE]
        text = self.stops(commands, names)
        values = [int(value) for name in names
                  for value in re.findall(r'^(?:Old|New) value = (\d+)', section(text, name), re.M)]
        expect(len(values) == 12 and values == sorted(values) and values[1::2][:-1] == values[2::2],
               f'jiffies: {values}')

    def smp_steps(self):
        """A step of the vCPU that does not own the lock, and steps across hand-overs."""
        names, commands = [], ['break vfs_write', 'continue', 'delete', mark('before'), SHOW_THREAD,
                               'monitor info krr']
        for thread in (1, 2, 1, 2):
            commands.append(f'thread {thread}')
            for _ in range(3):
                names.append(f'step{len(names)}')
                commands += [mark(names[-1]), 'stepi', SHOW_THREAD, *WHERE]
        names.append('many')
        commands += [mark('many'), 'stepi 3000', SHOW_THREAD, *WHERE]
        text = self.stops(commands, names)
        for number, name in enumerate(names):
            wanted = (1, 2, 1, 2, 2)[number // 3]
            expect(threads(section(text, name)) == [wanted],
                   f'{name} of thread {wanted}: {section(text, name)}')

    def smp_interrupt(self):
        """Each Ctrl-C finds the vCPU that runs, or a stop that gdb does not show; none disturbs."""
        names = [f'stop{number}' for number in range(6)]
        # The breakpoint keeps it busy.
        commands = ['break __cond_resched if $rip == 0', f'python exec({CTRL_C!r})']
        for name in names:
            commands += ['python gdb.events.cont.connect(interrupt_soon)',
                         mark(name), 'continue', SHOW_THREAD, *WHERE]
        with replaying(self.trace) as replay:
            text = replay.gdb(*commands, 'delete', mark('end'), 'continue')
            for stop in (section(text, name) for name in names):
                expect('SIGINT' in stop and END not in stop and len(threads(stop)) == 1,
                       f'Ctrl-C has not stopped the guest: {stop}')
            expect(END in section(text, 'end'), text)
            self.same_end(replay)


ONE_VCPU = ['breakpoints', 'watchpoint', 'stepping', 'single_steps', 'panic', 'end', 'detach',
            'kill', 'sudden_death']
TWO_VCPUS = ['smp_threads', 'smp_breakpoints', 'smp_watchpoint', 'smp_steps', 'smp_interrupt',
             'stepping', 'end', 'sudden_death']


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='tcg',
                        help='what records')
    parser.add_argument('--only', action='append', help='only this test; may be repeated')
    arguments = parser.parse_args()
    accel = vm.best_accel() if arguments.accel == 'best' else arguments.accel
    report = Report()
    with vm.work_folder(f'gdb-{accel}') as folder, vm.session(accel, folder):
        for vcpus, command, names in ((1, CRASH, ONE_VCPU), (2, CRASH_SMP, TWO_VCPUS)):
            names = [name for name in names if not arguments.only or name in arguments.only]
            if not names:
                continue
            trace = folder / f'crash{vcpus}.krr'
            recorded = vm.record(trace, command, accel, ['--smp', vcpus])
            expect(recorded.status == vm.GUEST_PANIC, f'recording ended with {recorded.text()}')
            vm.leave_coverage(trace)
            tests = Tests(trace)
            for name in names:
                test = getattr(tests, name)
                what = f'{name} ({vcpus} vCPU): {" ".join(test.__doc__.split())}'
                if not report.check(what, test):
                    trace.with_suffix('.failed').touch()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
