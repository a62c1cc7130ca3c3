#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds inputs of the guest kernel that no hook records, in the kernel's machine code.

A function with an instruction that brings something in from outside has to call the thunk that
records it, and so has one that reads user memory. tests/krr/unhooked-reasons names those that
need not. What the kernel reads by addresses of its own is not found in this way.

Saved flags have to be masked by the instruction that follows.
"""

import argparse
import bisect
import fnmatch
import os
import re
import struct
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path

import vm
from coverage import read_reasons
from tap import Report
from vm import expect

REASONS = Path(__file__).resolve().parents[1] / 'unhooked-reasons'

# Instructions, by the kind of the record that has to be behind them.
INSTRUCTIONS = {
    'tsc': r'rdtscp?',
    'msr': r'rdmsr|rdpmc',
    'cpuid': r'cpuid',
    'xcr': r'xgetbv',
    'random': r'rdrand|rdseed',
    'segment': r'rd[fg]sbase[lq]?|mov[lwq]? +%[defg]s(?=,)',
    'user': r'stac',
}
# Thunks that record them, and routines that read user memory for their callers.
THUNKS = {kind: {f'krr_in_{kind}'} for kind in INSTRUCTIONS if kind != 'user'}
THUNKS['user'] = {'krr_in_user_value', 'krr_in_user_bytes'}
THUNKS['flags'] = set()             # only those without a mask are inputs
# Not those that copy whole pages, by the kernel's own addresses: from user pages to user pages.
USER_COPIES = r'(?:__)?copy_user_(?!huge_page|large_folio)\w+|rep_movs_alternative'

# Flags that are saved in a register or a variable, and the mask without which CPUs differ in them:
# ~KRR_FLAGS_MASK of linux-headers/linux/krr.h.
SAVED_FLAGS = re.compile(r' *([0-9a-f]+):\tpushfq? *\n.*:\tpopq? +(.*)\n(.*)')
MASK = re.compile(r'.*:\tandq? +\$0xfffffffffffef72a,(.*)')

# A line of objdump: address, then one of INSTRUCTIONS, or a call or jump to a symbol.
LINE = re.compile(r' *([0-9a-f]+):\t(?:rep |lock |data16 )*(?:'
                  + '|'.join(f'(?P<{kind}>{text})' for kind, text in INSTRUCTIONS.items())
                  + r'|(?:call|jmp)q? +[0-9a-f]+ <(?P<target>[\w.]+)>)(?:\s|,|$)')

# Entries of .altinstructions in Linux 6.1 and in later ones.
ALTERNATIVE_SIZES = (12, 14)
JUMP_ENTRY = 16
SHT_PROGBITS, SHF_ALLOC = 1, 2
STT_NOTYPE, STT_FUNC, STT_FILE = 0, 2, 4


class Function:
    """A function and its parts that the compiler has put elsewhere."""

    def __init__(self, name):
        self.name = name
        self.inputs = defaultdict(list)     # kind -> addresses of instructions
        self.thunks = set()

    def plain_name(self):
        """Without what the compiler appends: .isra.0, .constprop.0"""
        return self.name.split('.')[0]


class Kernel:
    """A vmlinux: its functions, with what they read and the thunks that they call."""

    def __init__(self, path):
        self.path = path
        self.sections = {}                  # name -> (address, content), of those with content
        self.jump_table = {}                # its start and stop
        self.starts, self.parts = [], []    # of each part of a function: address, (end, Function)
        with open(path, 'rb') as file:
            self.read_elf(file)
        self.replaced = self.read_alternatives()
        self.jumps = self.read_jumps()
        self.read_code()

    # ---- the file ----

    def read_elf(self, file):
        """Sections and symbols of a little-endian ELF64 file."""
        header = struct.unpack('<16xHHIQQQIHHHHHH', file.read(64))
        file.seek(header[5])
        table = [struct.unpack('<IIQQQQIIQQ', file.read(64)) for _ in range(header[11])]

        def content(section):
            file.seek(section[4])
            return file.read(section[5])
        names = content(table[header[12]])
        for section in table:
            name = text_at(names, section[0])
            if section[1] == SHT_PROGBITS and section[2] & SHF_ALLOC:
                self.sections[name] = (section[3], content(section))
            elif name == '.symtab':
                self.read_symbols(content(section), content(table[section[6]]))

    def read_symbols(self, symbols, names):
        """Functions and labels by address; parts with a name.cold belong to name."""
        scope, found, functions = None, {}, {}
        for name, info, section, address, size in struct.iter_unpack('<IBxHQQ', symbols):
            text, kind = text_at(names, name), info & 15
            if kind == STT_FILE:
                scope = text
            elif text in ('__start___jump_table', '__stop___jump_table'):
                self.jump_table[text] = address
            elif kind in (STT_NOTYPE, STT_FUNC) and section and text:
                local = scope if info >> 4 == 0 else None
                # Of several names for one address a function's counts.
                rank = (kind == STT_FUNC, size)
                if address not in found or rank > found[address][0]:
                    found[address] = (rank, local, text)
        for (_, local, text) in found.values():
            functions.setdefault((local, text), Function(text))
        for address, ((_, size), local, text) in sorted(found.items()):
            self.starts.append(address)
            self.parts.append((address + size, whole_of(functions, local, text)))

    def function_at(self, address):
        """The function with this instruction; in assembly, the label before it."""
        number = bisect.bisect_right(self.starts, address) - 1
        for at in range(number, max(number - 20, -1), -1):
            if address < self.parts[at][0]:
                return self.parts[at][1]
        return self.parts[number][1] if number >= 0 else Function('?')

    # ---- code that is patched when the kernel runs ----

    def read_alternatives(self):
        """(start of a replacement, its end, what it replaces), sorted."""
        address, data = self.sections.get('.altinstructions', (0, b''))
        low, replacements = self.sections.get('.altinstr_replacement', (0, b''))
        for size in ALTERNATIVE_SIZES:
            entries = []
            for at in range(0, len(data) - size + 1, size):
                site, replacement = struct.unpack_from('<ii', data, at)
                start, length = address + at + 4 + replacement, data[at + size - 1]
                entries.append((start, start + length, address + at + site))
            if len(data) % size == 0 and all(
                    low <= start and (end <= low + len(replacements) or start == end)
                    for start, end, _ in entries):
                return sorted(entries)
        raise vm.Failure(f'{self.path}: .altinstructions has entries of unknown size')

    def read_jumps(self):
        """(place, target) of the jumps of static keys."""
        start, stop = (self.jump_table[f'__{end}___jump_table'] for end in ('start', 'stop'))
        low, data = next(section for section in self.sections.values()
                         if section[0] <= start < section[0] + len(section[1]))
        for at in range(start, stop, JUMP_ENTRY):
            code, target = struct.unpack_from('<ii', data, at - low)
            yield at + code, at + 4 + target

    def place_of(self, address):
        """Where an instruction is executed."""
        number = bisect.bisect_right(self.replaced, (address, float('inf'))) - 1
        if number >= 0 and self.replaced[number][0] <= address < self.replaced[number][1]:
            return self.replaced[number][2]
        return address

    # ---- the code ----

    def read_code(self):
        """Disassembles all of it."""
        thunks = set().union(*THUNKS.values())
        copies = re.compile(USER_COPIES)
        with subprocess.Popen(['objdump', '-d', '--no-show-raw-insn', str(self.path)],
                              stdout=subprocess.PIPE, text=True) as objdump:
            lines = deque(maxlen=3)
            for line in objdump.stdout:
                lines.append(line)
                self.read_flags(lines)
                match = LINE.match(line)
                if not match:
                    continue
                address = self.place_of(int(match[1], 16))
                function, target = self.function_at(address), match['target']
                if target in thunks:
                    function.thunks.add(target)
                elif not target:
                    function.inputs[match.lastgroup].append(address)
                elif copies.fullmatch(target):
                    function.inputs['user'].append(address)
        expect(objdump.returncode == 0, f'objdump {self.path}: status {objdump.returncode}')
        for place, target in self.jumps:
            self.function_at(place).thunks |= self.function_at(target).thunks

    def read_flags(self, lines):
        """Do these three lines save flags, and not mask them?"""
        saved = 'pushf' in lines[0] and SAVED_FLAGS.match(''.join(lines))
        if saved:
            mask = MASK.fullmatch(saved[3])
            if not mask or mask[1] != saved[2]:
                address = self.place_of(int(saved[1], 16))
                self.function_at(address).inputs['flags'].append(address)

    def functions(self):
        """Each of them once."""
        return {id(function): function for _, function in self.parts}.values()


def text_at(strings, offset):
    """A string of an ELF string table."""
    return strings[offset:strings.index(b'\0', offset)].decode()


def whole_of(functions, local, name):
    """The function that a part with this name is of."""
    whole = re.sub(r'\.cold(\.\d+)?$', '', name)
    return (functions.get((local, whole)) or functions.get((None, whole))
            or functions[(local, name)])


def unhooked(kernel, without=None):
    """(kind, function) where a hook is missing; as if there were none of the kind `without`."""
    for function in kernel.functions():
        for kind in function.inputs:
            if kind == without or not function.thunks & THUNKS[kind]:
                yield kind, function


def is_explained(kind, function, reasons):
    """Does the list of reasons name it?"""
    return any(hook in ('*', kind) and fnmatch.fnmatchcase(function.plain_name(), pattern)
               for _, hook, pattern in reasons)


# ---- tests ----

def nothing_missing(kernel, reasons):
    """All inputs are hooked, or there is a reason."""
    missing = [f'{kind}: {function.name} at {function.inputs[kind][0]:#x}'
               for kind, function in unhooked(kernel) if not is_explained(kind, function, reasons)]
    expect(not missing, f'{len(missing)} inputs without a hook, nor a reason in {REASONS.name}:\n'
           + '\n'.join(sorted(missing)))


def without_hooks(kernel, reasons, kind):
    """The check of the check: if no hook of a kind were there, it would say so."""
    found = [function for what, function in unhooked(kernel, kind)
             if what == kind and not is_explained(kind, function, reasons)]
    expect(found, f'no function needs a hook for {kind}: is {kernel.path} what it should be?')


# What the assembled functions lack.
DOCTORED = {('tsc', 'no_hook'), ('tsc', 'replaced'), ('cpuid', 'wrong_hook'), ('user', 'reader'),
            ('user', 'copier'), ('segment', 'selector'), ('msr', 'outside'),
            ('flags', 'saved_flags'), ('flags', 'wrong_mask')}


def doctored(folder):
    """The check of the check: code that lacks hooks."""
    program = folder / 'doctored'
    result = vm.run(['gcc', '-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none,-e,good',
                     '-o', program, Path(__file__).with_suffix('.S')])
    expect(result.status == 0, f'cannot assemble: {result.text()}')
    found = {(kind, function.name) for kind, function in unhooked(Kernel(program))}
    expect(found == DOCTORED, f'found {sorted(found)}, expected {sorted(DOCTORED)}')


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('vmlinux', type=Path, nargs='?', default=vm.VMLINUX)
    parser.add_argument('--if-built', action='store_true', help='skip all if the kernel is not built')
    arguments = parser.parse_args()
    report = Report()
    if arguments.if_built and vm.kernel_is_missing(report):
        return report.finish()
    if not arguments.vmlinux.exists():
        sys.exit(f'no kernel at {arguments.vmlinux}: run scripts/guest-kernel build')
    reasons = read_reasons(REASONS)
    with vm.work_folder('unhooked') as folder:
        report.check('code without hooks is found', doctored, folder)
    kernel = Kernel(os.path.realpath(arguments.vmlinux))
    for kind in INSTRUCTIONS:
        report.check(f'hooks for {kind} are looked for', without_hooks, kernel, reasons, kind)
    report.check('no input is without a hook', nothing_missing, kernel, reasons)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
