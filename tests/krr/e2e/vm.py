# SPDX-License-Identifier: GPL-2.0-or-later
"""krr-vm, krr and QEMU as the end-to-end tests use them.

Where they are can be told by the environment, for a development tree that is built by hand:
KRR_BUILD, KRR_QEMU, KRR_TOOL, KRR_KERNEL, KRR_VMLINUX (by default beside KRR_KERNEL),
KRR_TEST_PROGRAMS and KRR_TEST_MODULES (folders with the guest programs and modules, built).
KRR_KERNEL_VERSION names another Linux than 6.1, of those that scripts/guest-kernel builds.
KRR_TEST_TIMEOUT gives each command other seconds.
"""

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get('KRR_BUILD', REPO / 'build')).resolve()
QEMU = Path(os.environ.get('KRR_QEMU', BUILD / 'qemu-system-x86_64'))
TOOL = Path(os.environ.get('KRR_TOOL', BUILD / 'krr' / 'krr'))
KERNEL_VERSION = os.environ.get('KRR_KERNEL_VERSION', '6.1')
KERNEL = Path(os.environ.get('KRR_KERNEL', BUILD / 'guest' / KERNEL_VERSION / 'bzImage'))
VMLINUX = Path(os.environ.get('KRR_VMLINUX', KERNEL.with_name('vmlinux')))
PROGRAMS = Path(os.environ.get('KRR_TEST_PROGRAMS', BUILD / 'tests' / 'krr' / 'e2e'))
SCRIPTS = REPO / 'scripts'
CASES = REPO / 'tests' / 'krr' / 'guest' / 'cases'
COVERAGE = BUILD / 'tests' / 'coverage'

# Buses of krr-vm --disk and --root, and the first block device there that the guest sees.
DISKS = {'virtio': '/dev/vda', 'scsi': '/dev/sda', 'nvme': '/dev/nvme0n1', 'ide': '/dev/sda',
         'ahci': '/dev/sda'}

# Exit statuses of krr-vm.
GUEST_PANIC = 3
RECORDING_FAILED = 4
WRONG_USAGE = 64
DIVERGED = 2

# No command of these tests may take longer; a hang is a failure, not a wait. On a machine that is
# busy with other things, more may be wanted.
TIMEOUT = int(os.environ.get('KRR_TEST_TIMEOUT', '400'))

# What a kernel says when it finds itself held up, and when it finds itself broken. On a quiet
# console there are no warnings.
HELD_UP = re.compile(r'soft lockup|rcu.*(stall|starved)|blocked for more than|workqueue lockup',
                     re.I)
BROKEN = re.compile(r'\bBUG: .*|kernel BUG at .*|\bOops: .*|general protection fault.*')

# Ends of a recording that the guest writes itself; memory at the end is stored with no other.
GUEST_ENDS = ('stopped', 'panic', 'poweroff', 'reboot', 'halt')
SAME_RAM = re.compile(rb'^krr: final RAM: 0 words ', re.M)
SUMMARY = re.compile(rb'^krr: replay: instructions=(\d+) ram=([0-9a-f]{64})$', re.M)


class Failure(Exception):
    """A test found something wrong; the text says what."""


def expect(condition, text):
    """Fails with the text unless the condition holds."""
    if not condition:
        raise Failure(text)


@dataclass
class Result:
    """What a program left: exit status, or minus the signal, or None after a timeout."""
    status: int
    out: bytes
    err: bytes

    def text(self):
        """For messages: the status and the end of what was written to stderr."""
        lines = self.err.decode(errors='replace').strip().splitlines()
        # Without the table of a replay's summary.
        tail = [line for line in lines if not line.startswith('krr:   ')][-12:]
        what = 'a timeout' if self.status is None else f'status {self.status}'
        return '\n'.join([what] + ['    ' + line for line in tail])


def end(process):
    """Ends a program that takes too long."""
    out, err = b'', b''
    for stop in process.terminate, process.kill:
        stop()
        try:
            out, err = process.communicate(timeout=15)
            break
        except subprocess.TimeoutExpired as late:
            # What it has started may hold the pipes for ever.
            out, err = late.output or b'', late.stderr or b''
    return Result(None, out, err)


def run(arguments, timeout=TIMEOUT, env=None):
    """Runs a program to its end; kills it after the timeout (seconds)."""
    process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, **(env or {})})
    try:
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)
    except subprocess.TimeoutExpired:
        return end(process)


def check_content(trace, panics=False):
    """The recorded kernel has found nothing wrong with itself, but for a panic that is wanted."""
    said = Path(f'{trace}.console').read_text(errors='replace')
    complaint = HELD_UP.search(said) or (not panics and BROKEN.search(said))
    expect(not complaint, f'the recorded kernel complains: {complaint and complaint[0]}')


def guest_arguments(action, command, accel, options):
    """The command line of krr-vm that runs or records the command in a guest."""
    return [SCRIPTS / 'krr-vm', action, '--accel', accel, '--timeout', str(TIMEOUT - 60),
            *options, '--', *command]


def record_arguments(trace, command, accel, options=()):
    """The command line that records the command into the trace."""
    return guest_arguments('record', command, accel, ['--trace', trace, *options])


def run_guest(command, accel, options=()):
    """Runs a command in a guest, without recording."""
    return run(guest_arguments('run', command, accel, options))


def record(trace, command, accel, options=()):
    """Records a command in a guest. With accel 'lab', inside a Session."""
    return run(record_arguments(trace, command, accel, options))


def qemu_options(*options):
    """Options of QEMU as options of krr-vm."""
    return [word for option in options for word in ('--qemu-option', option)]


def replay(trace, options=(), timeout=TIMEOUT):
    """Replays a trace to its end."""
    return run([SCRIPTS / 'krr-vm', 'replay', trace, *options], timeout)


def tool(*arguments):
    """Runs the krr tool."""
    return run([TOOL, *arguments], timeout=120)


def qemu(*arguments, timeout=60):
    """Runs our QEMU."""
    firmware = os.environ.get('KRR_FIRMWARE', '').split(':')
    search = [word for folder in firmware if folder for word in ('-L', folder)]
    return run([QEMU, *search, '-display', 'none', *arguments], timeout)


def replay_summary(result):
    """Instruction count and RAM digest at the end of a replay."""
    found = SUMMARY.findall(result.err)
    expect(len(found) == 1, f'replay printed no summary: {result.text()}')
    return found[0]


def has_final_ram(trace):
    """Whether the trace has the guest's memory at the end, for a replay to compare."""
    info = tool('info', '--json', trace)
    expect(info.status == 0, f'krr info: {info.text()}')
    said = json.loads(info.out)
    return said['machine']['final_ram'] and said['end_reason'] in GUEST_ENDS


def check_replays(trace, timeout=TIMEOUT):
    """Replays twice, strictly for the second time: no divergence, the console as recorded, both replays
    equal, and memory at the end as recorded if it was."""
    console = Path(f'{trace}.console').read_bytes()
    final_ram = has_final_ram(trace)
    summaries = []
    for number, strict in (1, 'off'), (2, 'on'):
        result = replay(trace, ['--krr-option', f'strict={strict}'], timeout)
        expect(result.status == 0, f'replay {number} of {trace} ended with {result.text()}')
        expect(result.out == console,
               f'replay {number} of {trace}: console differs from the recorded one '
               f'({len(result.out)} and {len(console)} bytes, '
               f'equal up to {len(os.path.commonprefix([result.out, console]))})')
        expect(not final_ram or SAME_RAM.search(result.err),
               f'replay {number} of {trace} has not compared memory at the end: {result.text()}')
        summaries.append(replay_summary(result))
    expect(summaries[0] == summaries[1], f'two replays of {trace} differ: {summaries}')


def leave_coverage(trace):
    """Writes down which hooks of the kernel a trace exercises, for coverage.py to sum up."""
    COVERAGE.mkdir(parents=True, exist_ok=True)
    # It is enough to have source lines once for each kernel.
    lines = ['--no-lines'] if any(COVERAGE.glob(f'{KERNEL_VERSION}-*')) else []
    report = tool('stats', '--coverage', *lines, '--json', '--vmlinux', VMLINUX, trace)
    expect(report.status == 0, f'no coverage of {trace}: {report.text()}')
    # The folder has a name of its own in each run of a test.
    name = f'{KERNEL_VERSION}-{trace.parent.name}-{trace.stem}.json.gz'
    with gzip.open(COVERAGE / name, 'wb') as file:
        file.write(report.out)


def expected_status(case):
    """What a guest case says about its own exit status."""
    found = re.search(r'^# expect: (\d+)$', (CASES / case).read_text(), re.M)
    expect(found, f'{CASES / case} does not say what to expect')
    return int(found[1])


def case_append(case):
    """What a guest case says that it needs on the kernel's command line. Programs need nothing."""
    file = CASES / case
    found = re.search(r'^# append: (.+)$', file.read_text(), re.M) if file.exists() else None
    return found[1] if found else ''


def guest_root(folder):
    """Puts the guest's test programs, cases and module into a folder for krr-vm --root."""
    target = Path(folder) / 'root' / 'krr'
    target.mkdir(parents=True)
    for source in (REPO / 'tests' / 'krr' / 'guest').glob('*.c'):
        shutil.copy(PROGRAMS / source.stem, target)
    shutil.copytree(CASES, target / 'cases')
    if 'KRR_TEST_MODULES' in os.environ:
        modules = Path(os.environ['KRR_TEST_MODULES'])
    else:
        modules = Path(folder) / 'modules'
        result = run([SCRIPTS / 'guest-kernel', 'module', '--version', KERNEL_VERSION,
                      REPO / 'tests' / 'krr' / 'modules', modules])
        expect(result.status == 0, f'cannot build the test modules: {result.text()}')
    for module in modules.glob('*.ko'):
        shutil.copy(module, target)
    return target.parent


def kernel_is_missing(report):
    """Whether the kernel to test is not built, which the report then says."""
    missing = not KERNEL.exists()
    if missing:
        report.skip(f'Linux {KERNEL_VERSION}', 'not built, but would be tested: '
                    f'scripts/guest-kernel build --version {KERNEL_VERSION}')
    return missing


def host_has_kvm():
    """As krr-vm decides it."""
    flags = re.search(r'^flags\s*:.*\b(vmx|svm)\b', Path('/proc/cpuinfo').read_text(), re.M)
    return bool(flags) and os.access('/dev/kvm', os.R_OK | os.W_OK)


def best_accel():
    """KVM, real or in the lab."""
    return 'kvm' if host_has_kvm() else 'lab'


@contextlib.contextmanager
def work_folder(name):
    """A folder below the build folder; kept, for whoever looks into it, if tests that failed leave a
    file *.failed in it."""
    (BUILD / 'tests').mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f'{name}-', dir=BUILD / 'tests'))
    try:
        yield folder
    finally:
        if not any(folder.glob('*.failed')):
            shutil.rmtree(folder)


def parse_where(parser):
    """The command line, with options that say where guests are recorded, and the accel that comes of
    them."""
    parser.add_argument('--accel', choices=['best', 'kvm', 'lab', 'tcg'], default='best')
    parser.add_argument('--noise', metavar='KINDS',
                        help='what the emulated CPUs do for noise (QEMU: -krr noise=), e.g. all')
    arguments = parser.parse_args()
    accel = best_accel() if arguments.accel == 'best' else arguments.accel
    if arguments.noise and accel == 'kvm':
        parser.error('--noise: only emulated CPUs make it')
    return arguments, accel


def noise_options(noise, accel):
    """Options of krr-vm for a guest on noisy CPUs; in the lab, the emulated host has them already. Pages
    are cleared: undefined flags lie about wherever a stack once was."""
    if not noise:
        return []
    return ['--append', 'init_on_free=1',
            *(['--krr-option', f'noise={noise}'] if accel == 'tcg' else [])]


@contextlib.contextmanager
def session(accel, folder, cpus=2, noise=None, guest_memory=768):
    """With accel 'lab', one emulated host for all recordings into the folder, of guests with so many
    MiB at most; with noise of these kinds."""
    if accel != 'lab':
        yield
        return
    state = Path(tempfile.mkdtemp(prefix='krr-lab-'))
    started = run([SCRIPTS / 'lab-host', 'start', '--mem', 768 + guest_memory, '--owner', os.getpid(),
                   '--cpus', cpus, *(['--noise', noise] if noise else []), state, folder])
    expect(started.status == 0, f'the emulated host does not start: {started.text()}')
    os.environ['KRR_LAB_SESSION'] = str(state)
    try:
        yield
    finally:
        del os.environ['KRR_LAB_SESSION']
        run([SCRIPTS / 'lab-host', 'stop', state])
        shutil.rmtree(state)


def wait_until(condition, seconds, what):
    """Polls until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, f'waited {seconds} s for {what}')
        time.sleep(0.05)
