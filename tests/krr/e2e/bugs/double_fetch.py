# SPDX-License-Identifier: GPL-2.0-or-later
"""First: which request has overflown? Then: who wrote its length, and what?"""

import gdb
import kernel


def first_pass():
    """At the panic."""
    kernel.stop_at('double_fetch_fail')
    kernel.again(length=kernel.value('&request->length'), limit=kernel.value(
        'sizeof(request->data)'))


def second_pass():
    """The last two values of the length come from two reads of user memory in one function."""
    writes = kernel.accesses_until('double_fetch_fail', kernel.given('length'), 'double_fetch_', 4)
    writes = [write for write in writes if write[0] == 'double_fetch_copy'][-2:]
    limit = kernel.given('limit')
    if len(writes) < 2 or not writes[0][2] <= limit < writes[1][2]:
        raise gdb.GdbError(f'the length was read once: {writes}')
    kernel.culprit(f'{writes[0][0]} reads the length twice: it checked {writes[0][2]} and used '
                   f'{writes[1][2]}')


kernel.run_passes('length', first_pass, second_pass)
