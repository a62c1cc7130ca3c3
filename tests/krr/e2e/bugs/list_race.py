# SPDX-License-Identifier: GPL-2.0-or-later
"""First: which item was gone? Then: who marked it as freed, while the walker was where?"""

import kernel


def first_pass():
    """At the panic."""
    kernel.stop_at('list_race_fail')
    kernel.again(state=kernel.value('&item->state'))


def second_pass():
    """The last one to write the item's state before the walker failed."""
    function, task, _ = kernel.last_write_by('list_race_remove', 'list_race_fail',
                                             kernel.given('state'), 'list_race_')
    walker = kernel.caller('list_race_walk')
    kernel.culprit(f'{walker} does not lock: {function} ({task}) freed the item that '
                   f'{kernel.name_of(kernel.current())} was at')


kernel.run_passes('state', first_pass, second_pass)
