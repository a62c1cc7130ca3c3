# SPDX-License-Identifier: GPL-2.0-or-later
"""A compile of kernel sources as work for a guest: this machine's compiler and assembler, and files
of the guest kernel's own tree, preprocessed here."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import vm

FOLDER = 'compile'
# Options of the kernel's build that matter to who compiles what has been preprocessed.
OPTION = re.compile(r'-(m|f(?!macro-prefix-map)|O\d|std=)')
COMMAND = re.compile(r'^(?:saved)?cmd_(\S+)\.o := (?:ccache )?gcc (.*?) +-c -o \S+ (\S+\.c)\b', re.M)
PARTS = ('lib', 'kernel', 'mm', 'fs', 'block', 'net', 'ipc', 'security', 'drivers')


def compilations(tree):
    """(name, arguments, source) of all compilations of a kernel's build tree."""
    for part in PARTS:
        for path in sorted((tree / part).rglob('.*.o.cmd')):
            for name, arguments, source in COMMAND.findall(path.read_text()):
                # Such a one takes in another file when it is assembled.
                if '.incbin' not in (tree / source).read_text(errors='replace'):
                    yield name, shlex.split(arguments), source


def preprocess(tree, arguments, source, target):
    """What the compiler proper gets to see."""
    arguments = [word for word in arguments if not word.startswith('-Wp,')]
    result = subprocess.run(['gcc', *arguments, '-w', '-E', '-P', '-o', target, source], cwd=tree,
                            check=False, stderr=subprocess.PIPE, text=True)
    vm.expect(result.returncode == 0, f'cannot preprocess {source}: {result.stderr}')


def copy_program(program, root):
    """Copies a program into the guest's root folder, and the libraries it needs."""
    shutil.copy(program, root / FOLDER)
    libraries = subprocess.run(['ldd', program], check=True, stdout=subprocess.PIPE, text=True)
    for library in re.findall(r'(/\S+) \(0x', libraries.stdout):
        target = root / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def install(root, count):
    """Puts compiler, assembler and as many source files, of all sizes, into the guest's root."""
    (root / FOLDER).mkdir()
    for name in ('cc1', 'as'):
        found = subprocess.run(['gcc', f'-print-prog-name={name}'], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.strip()
        copy_program(shutil.which(found), root)
    tree = vm.BUILD / 'guest' / vm.KERNEL_VERSION / 'obj'
    everything = list(compilations(tree))
    vm.expect(len(everything) >= count, f'{tree} has only {len(everything)} compiled files')
    options = set()
    for index in range(count):
        name, arguments, source = everything[index * len(everything) // count]
        options |= {word for word in arguments if OPTION.match(word)}
        preprocess(tree, arguments, source, root / FOLDER / (name.replace('/', '-') + '.i'))
    return sorted(options)


def memory(count):
    """MiB of memory of a guest that compiles so many files, which it has in memory twice at its
    start: packed, and in the file system."""
    return 768 + 4 * count


def command(options, at_once):
    """Compiles all files, as many at once."""
    one = f'./cc1 -quiet -fpreprocessed -w {" ".join(options)} $f -o $f.s && ./as $f.s -o $f.o && rm $f.s'
    return ['sh', '-c', f'''cd /{FOLDER}; n=0
for f in *.i; do eval "w$((n % {at_once}))=\\"\\$w$((n % {at_once})) $f\\""; n=$((n + 1)); done
worker() {{ for f in $1; do {one} || echo FAILED $f; done; }}
i=0; while [ $i -lt {at_once} ]; do eval "worker \\"\\$w$i\\"" & i=$((i + 1)); done; wait
set -- *.o; [ $# = $n ] || exit 1''']
