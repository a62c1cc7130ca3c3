# SPDX-License-Identifier: GPL-2.0-or-later
"""First: which object had changed under its reader? Then: who freed it, with how many grace
periods gone by since the reader came to it?"""

import kernel


def first_pass():
    """At the panic."""
    kernel.stop_at('rcu_uaf_fail')
    kernel.again(state=kernel.value('&config->state'))


def second_pass():
    """The last one to free the object before its reader failed."""
    function, task, _ = kernel.last_write_by('rcu_uaf_update', 'rcu_uaf_fail',
                                             kernel.given('state'), 'rcu_uaf_')
    reader = kernel.caller('rcu_uaf_read')
    kernel.culprit(f'{function} ({task}) freed the object without a grace period while {reader} '
                   f'({kernel.name_of(kernel.current())}) was reading it')


kernel.run_passes('state', first_pass, second_pass)
