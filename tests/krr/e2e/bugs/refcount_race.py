# SPDX-License-Identifier: GPL-2.0-or-later
"""First: where is the count? Then: who wrote it without having seen what
another had written?"""

import gdb
import kernel


def first_pass():
    """At the panic."""
    kernel.stop_at('refcount_race_fail')
    kernel.again(count=kernel.value('&object->count'))


def lost_reference(accesses):
    """The last time that somebody took a reference from a count which was no longer true, and too
    small: (task, count it wrote, who had written meanwhile, count before)."""
    lost = None
    last = 1
    reading = {}  # task that takes a reference -> who has written since it read
    for function, task, count in accesses:
        if function == 'refcount_race_get' and task not in reading:
            reading[task] = []
            continue
        if function == 'refcount_race_get':
            others = reading.pop(task)
            if count < last + 1:
                lost = task, count, others[-1], last
        if function == 'refcount_race_get' or count != last:
            for writers in reading.values():
                writers.append(task)
        last = count
    if not lost:
        raise gdb.GdbError(f'no reference was lost: {accesses[-50:]}')
    return lost


def second_pass():
    """All accesses to the count."""
    accesses = kernel.accesses_until('refcount_race_fail', kernel.given('count'), 'refcount_race_',
                                     kind=gdb.WP_ACCESS)
    task, count, other, before = lost_reference(accesses)
    kernel.culprit(f'refcount_race_get is not atomic: {task} set the count to {count} when {other} '
                   f'had already set it to {before}')


kernel.run_passes('count', first_pass, second_pass)
