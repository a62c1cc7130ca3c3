# SPDX-License-Identifier: GPL-2.0-or-later
"""What the analyses of replayed kernel bugs have in common; runs inside gdb.

An analysis is one file. It goes through the replay once or, where what happened at the end says
what to watch from the start, twice: again() prints what the second pass is to know, and values of
the first pass are convenience variables in the second.
"""

import gdb

TASK_UNINTERRUPTIBLE = 2
STACK_SIZE = 4 * 4096
WORD = 8


def value(expression):
    """A C expression as a number."""
    return int(gdb.parse_and_eval(expression)) & 0xffffffffffffffff


def given(name):
    """A value from the first pass, or None in the first pass."""
    found = gdb.convenience_variable(name)
    return None if found is None else int(found) & 0xffffffffffffffff


def again(**values):
    """Asks for a second pass that knows these values."""
    print('again: ' + ' '.join(f'{name}={number:#x}' for name, number in values.items()))


def culprit(text):
    """The verdict."""
    print(f'culprit: {text}')


def go_to_module(folder):
    """Goes to where the module under test makes its device; it is loaded then."""
    stop_at('misc_register')
    gdb.execute(f'krr-modules {folder}')


def run_passes(name, first, second):
    """Runs the first pass, or the second if the value of that name is known."""
    go_to_module(gdb.convenience_variable('modules').string())
    (first if given(name) is None else second)()


def stop_at(function):
    """Continues to the next call of a function."""
    point = gdb.Breakpoint(function, internal=True)
    hits = point.hit_count
    gdb.execute('continue', to_string=True)
    reached = point.hit_count > hits
    point.delete()
    if not reached:
        raise gdb.GdbError(f'{function} is never called')


def go_to_end():
    """Continues to the end of the trace."""
    gdb.execute('continue', to_string=True)
    state = gdb.execute('monitor info krr', to_string=True)
    if 'status: replayed' not in state:
        raise gdb.GdbError(f'no stop at the end of the trace: {state}')


def current():
    """The task of the selected thread."""
    pointer = gdb.lookup_type('struct task_struct').pointer().pointer()
    # Symbols of per-CPU variables are offsets, and gdb has moved them with all others.
    offset = value('(unsigned long)&current_task - (unsigned long)&__per_cpu_start')
    address = (value('$gs_base') + offset) & 0xffffffffffffffff
    return gdb.Value(address).cast(pointer).dereference()


def name_of(task):
    """Task as text."""
    return f'{task["comm"].string()} {int(task["pid"])} on vCPU {int(task_cpu(task))}'


def task_cpu(task):
    """Where the task is or was last."""
    return task['thread_info']['cpu']


def frames():
    """All frames of the selected thread, innermost first; inlined functions too."""
    frame = gdb.newest_frame()
    while frame is not None:
        yield frame
        try:
            frame = frame.older()
        except gdb.error:
            return


def caller(prefix):
    """The innermost function whose name begins so; '' if there is none."""
    for frame in frames():
        if (frame.name() or '').startswith(prefix):
            return frame.name()
    return ''


def frame_of(function):
    """Selects the frame of a function."""
    for frame in frames():
        if frame.name() == function:
            frame.select()
            return frame
    raise gdb.GdbError(f'{function} is not on the stack')


def tasks():
    """All tasks, threads included."""
    task_type = gdb.lookup_type('struct task_struct')
    signal_type = gdb.lookup_type('struct signal_struct')
    for leader in entries(gdb.parse_and_eval('init_task')['tasks'], task_type, 'tasks'):
        yield from entries(leader['signal'].cast(signal_type.pointer())['thread_head'], task_type,
                           'thread_node')


def entries(head, kind, member):
    """The structures on a list."""
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    node = head['next']
    while int(node) != int(head.address):
        yield gdb.Value(int(node) - offset).cast(kind.pointer()).dereference()
        node = node['next']


def sleeps_in(task, prefix):
    """The innermost function with such a name that a sleeping task will return to, or ''."""
    bottom = int(task['thread']['sp'])
    top = (int(task['stack']) & 0xffffffffffffffff) + STACK_SIZE
    memory = gdb.selected_inferior().read_memory(bottom & 0xffffffffffffffff,
                                                 top - (bottom & 0xffffffffffffffff))
    for at in range(0, len(memory), WORD):
        address = int.from_bytes(bytes(memory[at:at + WORD]), 'little')
        # The call is in front of the address to return to.
        for function in functions_at(address - 1) if address >> 63 else []:
            if function.startswith(prefix):
                return function
    return ''


def functions_at(address):
    """Names of the functions that an address lies in, inlined ones first."""
    block = gdb.block_for_pc(address)
    while block:
        if block.function:
            yield block.function.name
        block = block.superblock


class Watch(gdb.Breakpoint):
    """A watchpoint on memory that notes all who touched it."""

    def __init__(self, address, length=8, kind=gdb.WP_WRITE):
        self.accesses = []
        self.address = address
        unsigned = {4: 'unsigned int', 8: 'unsigned long'}[length]
        self.place = f'*({unsigned} *){address:#x}'
        super().__init__(self.place, gdb.BP_WATCHPOINT, kind, internal=True)
        self.silent = True

    def note(self, prefix):
        """Continues to the next access and notes (function, task, value); False at the end or
        at a breakpoint."""
        hits = self.hit_count
        gdb.execute('continue', to_string=True)
        if self.hit_count == hits:
            return False
        self.accesses.append((caller(prefix), name_of(current()), value(self.place)))
        return True


def accesses_until(function, address, prefix, length=8, kind=gdb.WP_WRITE):
    """Who accessed memory until a function was called: (function, task, value of then)."""
    stop = gdb.Breakpoint(function, internal=True)
    watch = Watch(address, length, kind)
    while watch.note(prefix):
        pass
    if not stop.hit_count:
        raise gdb.GdbError(f'{function} is not called any more')
    watch.delete()
    stop.delete()
    return watch.accesses


def last_write_by(function, stop, address, prefix):
    """The last access before a stop, as above; it must be one of the function."""
    accesses = accesses_until(stop, address, prefix)
    found = [access for access in accesses if access[0] == function]
    if not found:
        raise gdb.GdbError(f'{function} did not write there: {accesses}')
    return found[-1]
