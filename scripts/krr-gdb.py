# SPDX-License-Identifier: GPL-2.0-or-later
"""
What gdb needs to know about a Linux kernel to be of use in a replay: how to get
past interrupts and exceptions in a backtrace, and where modules are loaded.

    (gdb) source scripts/krr-gdb.py
    (gdb) krr-modules DIR...
"""

import os
import struct

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

# struct pt_regs, in memory order; '' is what no register of gdb stands for.
PT_REGS = ['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8',
           'rax', 'rcx', 'rdx', 'rsi', 'rdi', '', 'rip', 'cs', 'eflags', 'rsp', 'ss']
CALL_RELATIVE = 0xe8
ENTRY_PREFIXES = ('asm_exc_', 'asm_sysvec_', 'asm_common_interrupt',
                  'asm_spurious_interrupt', 'entry_SYSCALL_64', 'entry_INT80')


class FrameId:
    """What tells one frame from another."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


def is_kernel(pc):
    return pc >> 63 == 1


def symbol_at(pc):
    return gdb.execute('info symbol 0x%x' % pc, to_string=True).split(' ')[0]


class EntryUnwinder(gdb.unwinder.Unwinder):
    """
    The kernel's entry code has no unwind tables for gdb. Where it has called C
    code, its stack pointer is the address of the interrupted context (struct pt_regs).
    """

    def __init__(self):
        super().__init__('linux-entry')

    def __call__(self, frame):
        pc = int(frame.read_register('rip')) & 0xffffffffffffffff
        sp = int(frame.read_register('rsp')) & 0xffffffffffffffff
        if not is_kernel(pc) or not symbol_at(pc).startswith(ENTRY_PREFIXES):
            return None
        memory = gdb.selected_inferior()
        try:
            after_call = memory.read_memory(pc - 5, 1)[0][0] == CALL_RELATIVE
            words = struct.unpack('<%dQ' % len(PT_REGS),
                                  memory.read_memory(sp, 8 * len(PT_REGS)))
        except gdb.MemoryError:
            return None
        if not after_call:
            return None
        registers = dict(zip(PT_REGS, words))
        unwind = frame.create_unwind_info(FrameId(gdb.Value(sp), gdb.Value(pc)))
        for name in filter(None, PT_REGS):
            kind = frame.read_register(name).type
            value = struct.pack('<Q', registers[name])[:kind.sizeof]
            unwind.add_saved_register(name, gdb.Value(value, kind))
        return unwind


class InterruptedFrame(FrameDecorator):
    """
    A frame that did not call, but was interrupted. Of a caller gdb shows the line
    before its address, which is the call; here it is the address itself.
    """

    def pc(self):
        return self.inferior_frame().pc()

    def function(self):
        if not is_kernel(self.pc()):
            return '(user mode)'
        block = gdb.block_for_pc(self.pc())
        while block and not block.function:
            block = block.superblock
        if block:
            return block.function.name
        return super().function()

    def line(self):
        return gdb.find_pc_line(self.pc()).line or None

    def filename(self):
        table = gdb.find_pc_line(self.pc()).symtab
        return table.filename if table else super().filename()


class InterruptedFrames:
    """Finds them for the backtrace: what is right behind the kernel's entry code."""

    def __init__(self):
        self.name = 'linux-interrupted'
        self.priority = 100
        self.enabled = True
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        for decorator in frames:
            newer = decorator.inferior_frame().newer()
            if newer and (newer.name() or '').startswith(ENTRY_PREFIXES):
                decorator = InterruptedFrame(decorator)
            yield decorator


def list_entries(head, kind, member):
    """The structures of type kind on a struct list_head, which may be damaged."""
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    seen = set()
    node = head['next']
    while int(node) != int(head.address) and int(node) not in seen:
        seen.add(int(node))
        yield gdb.Value(int(node) - offset).cast(kind.pointer()).dereference()
        node = node['next']


def module_sections(module):
    """Section name -> address, of what was loaded."""
    attributes = module['sect_attrs']
    for i in range(int(attributes['nsections'])):
        section = attributes['attrs'][i]
        yield section['battr']['attr']['name'].string(), int(section['address'])


class Modules(gdb.Command):
    """Load the symbols of the kernel's modules: krr-modules DIR...
Looks for NAME.ko of every module that the kernel has at this point, in DIR and below."""

    def __init__(self):
        super().__init__('krr-modules', gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        folders = gdb.string_to_argv(argument)
        if not folders:
            raise gdb.GdbError('krr-modules: name a folder that has the .ko files')
        files = {}
        for folder in folders:
            for path, _, names in os.walk(os.path.expanduser(folder)):
                for name in names:
                    if name.endswith('.ko'):
                        files[name[:-3].replace('-', '_')] = os.path.join(path, name)
        modules = gdb.parse_and_eval('modules')
        for module in list_entries(modules, gdb.lookup_type('struct module'), 'list'):
            self.load(module, files)

    def load(self, module, files):
        name = module['name'].string()
        if name not in files:
            print('%s: no %s.ko found' % (name, name))
            return
        sections = ' '.join('-s %s 0x%x' % section for section in module_sections(module))
        gdb.execute('add-symbol-file "%s" %s' % (files[name], sections), to_string=True)
        print('%s: symbols of %s' % (name, files[name]))


gdb.unwinder.register_unwinder(None, EntryUnwinder(), replace=True)
InterruptedFrames()
Modules()
