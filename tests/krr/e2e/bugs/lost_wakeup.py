# SPDX-License-Identifier: GPL-2.0-or-later
"""First: does a task sleep though there is work for it? Then: what was that task doing when it was
woken for the last time?"""

import gdb
import kernel

TASK_RUNNING = 0


def first_pass():
    """At the end."""
    kernel.go_to_end()
    sleeper = gdb.parse_and_eval('lost_wakeup_sleeper')
    where = kernel.sleeps_in(sleeper, 'lost_wakeup_')
    ready, state = kernel.value('lost_wakeup_ready'), int(sleeper['__state'])
    if not ready or state == TASK_RUNNING or not where:
        raise gdb.GdbError(f'nobody sleeps in spite of work: ready {ready}, the sleeper is in '
                           f'state {state}, "{where}"')
    kernel.again(ready=kernel.value('&lost_wakeup_ready'), sleeper=int(sleeper))


def second_pass():
    """At each wake-up, in which state was the sleeper?"""
    watch = kernel.Watch(kernel.given('ready'), 4)
    state = None
    while watch.note('lost_wakeup_'):
        if watch.accesses[-1][2]:
            sleeper = gdb.parse_and_eval('lost_wakeup_sleeper')
            state = int(sleeper['__state'])
            last = watch.accesses[-1]
    if state != TASK_RUNNING:
        raise gdb.GdbError(f'at the last wake-up the sleeper slept: {state}')
    kernel.culprit('lost_wakeup_wait looks for work before it sets its state: at the last wake-up, '
                   f'by {last[0]} ({last[1]}), the sleeper was still running')


kernel.run_passes('ready', first_pass, second_pass)
