# SPDX-License-Identifier: GPL-2.0-or-later
"""At the end two tasks wait: for which lock, and who holds that one?"""

import gdb
import kernel

LOCKS = ('abba_a', 'abba_b')


def owner(lock):
    """The task that holds a mutex; its low bits are flags."""
    return kernel.value(f'{lock}.owner.counter') & ~7


def waiters(lock):
    """The tasks that wait for a mutex."""
    kind = gdb.lookup_type('struct mutex_waiter')
    return [waiter['task'] for waiter in kernel.entries(gdb.parse_and_eval(f'{lock}.wait_list'),
                                                        kind, 'list')]


def waits_for(lock):
    """Task -> where it waits, for those that wait for a mutex."""
    return {int(task) & 0xffffffffffffffff: kernel.sleeps_in(task, 'abba_')
            for task in waiters(lock)}


def main():
    """See above."""
    kernel.go_to_module(gdb.convenience_variable('modules').string())
    kernel.go_to_end()
    first, second = LOCKS
    waiting = {lock: waits_for(lock) for lock in LOCKS}
    if owner(first) not in waiting[second] or owner(second) not in waiting[first]:
        raise gdb.GdbError(f'no cycle: {waiting}')
    kernel.culprit(f'{waiting[second][owner(first)]} holds {first} and waits for {second}, '
                   f'{waiting[first][owner(second)]} holds {second} and waits for {first}')


main()
