# SPDX-License-Identifier: GPL-2.0-or-later
"""First: which object had changed under its reader? Then: who freed it, with how many grace
periods gone by since the reader came to it?"""

import gdb
import kernel


def first_pass():
    """At the panic."""
    kernel.stop_at('rcu_uaf_fail')
    kernel.again(state=kernel.value('&config->state'))


def second_pass():
    """The last one to free the object before its reader failed."""
    writers = kernel.accesses_until('rcu_uaf_fail', kernel.given('state'), 'rcu_uaf_')
    freed = [writer for writer in writers if writer[0] == 'rcu_uaf_update']
    if not freed:
        raise gdb.GdbError(f'the object was never freed: {writers}')
    function, task, _ = freed[-1]
    reader = kernel.caller('rcu_uaf_read')
    kernel.culprit(f'{function} ({task}) freed the object without a grace period while {reader} '
                   f'({kernel.name_of(kernel.current())}) was reading it')


kernel.run_passes('state', first_pass, second_pass)
