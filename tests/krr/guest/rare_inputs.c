/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inputs that few programs give to the kernel: operations on futexes, lists of buffers, masks,
 * structures from the future, asynchronous reads, datagrams from files, the devices that show
 * MSRs and CPUID, and a time stamp counter that may not be read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "check.h"
#include "loopback.h"

#define MSR_APIC_BASE   0x1b
#define MSR_NONE        0x12345
#define PROTOCOL        253     /* for experiments (RFC 3692) */
#define ROUNDS          50

static void futex_operations(void)
{
    static uint32_t first, second;
    static const struct {
        int operation;
        uint32_t argument, before, after;
    } steps[] = {
        { FUTEX_OP_SET, 7, 0, 7 }, { FUTEX_OP_ADD, 5, 7, 12 }, { FUTEX_OP_OR, 3, 12, 15 },
        { FUTEX_OP_ANDN, 6, 15, 9 }, { FUTEX_OP_XOR, 5, 9, 12 },
        { FUTEX_OP_ADD | FUTEX_OP_OPARG_SHIFT, 4, 12, 28 },
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        CHECK(second == steps[i].before);
        CHECK(syscall(SYS_futex, &first, FUTEX_WAKE_OP, 1, 1ul, &second,
                      FUTEX_OP(steps[i].operation, steps[i].argument, FUTEX_OP_CMP_EQ, 0)) == 0);
        CHECK(second == steps[i].after);
    }
}

static pthread_mutex_t inheriting;
static int held;

static void *hold(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(pthread_mutex_lock(&inheriting) == 0);
        CHECK(held++ == 0);
        usleep(10);
        CHECK(--held == 0);
        CHECK(pthread_mutex_unlock(&inheriting) == 0);
    }
    return argument;
}

/* Owners and waiters of a futex with priority inheritance are told by its value. */
static void futex_inherits(void)
{
    pthread_mutexattr_t attributes;
    pthread_t threads[2];

    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&inheriting, &attributes) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, hold, NULL) == 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static int file_of(const char *text)
{
    int fd = open("/tmp/rare", O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void buffer_lists(void)
{
    char one[3], two[20];
    struct iovec from[] = { { "abc", 3 }, { "defg", 4 }, { "h", 1 } };
    struct iovec to[] = { { one, sizeof(one) }, { two, sizeof(two) } };
    int pipes[2];

    CHECK(pipe(pipes) == 0 && writev(pipes[1], from, 3) == 8);
    CHECK(readv(pipes[0], to, 2) == 8 && memcmp(one, "abc", 3) == 0 && memcmp(two, "defgh", 5) == 0);
    CHECK(process_vm_readv(getpid(), to, 2, from, 3, 0) == 8);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
}

static void masked_wait(void)
{
    struct timespec short_time = { .tv_nsec = 1000 };
    sigset_t none;

    sigemptyset(&none);
    CHECK(pselect(0, NULL, NULL, NULL, &short_time, &none) == 0);
}

/* What a program says that is newer than the kernel must be zeros. */
static void larger_structure(void)
{
    struct {
        char off[4];
        struct open_how how;
        char more[13];
    } __attribute__((packed)) future = { .how = { .flags = O_RDONLY } };
    size_t size = sizeof(future.how) + sizeof(future.more);
    int fd = syscall(SYS_openat2, AT_FDCWD, "/", &future.how, size);

    CHECK(fd >= 0 && close(fd) == 0);
    future.more[12] = 1;
    CHECK(syscall(SYS_openat2, AT_FDCWD, "/", &future.how, size) == -1 && errno == E2BIG);
}

/* As often as there is room for results, which nobody fetches meanwhile. */
static void asynchronous_reads(void)
{
    char buffer[5];
    int fd = file_of("hello");
    aio_context_t context = 0;
    struct iocb request = {
        .aio_fildes = fd, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)buffer,
        .aio_nbytes = sizeof(buffer),
    }, *requests = &request;
    struct io_event event;
    int submitted = 0;

    CHECK(syscall(SYS_io_setup, 4, &context) == 0);
    while (syscall(SYS_io_submit, context, 1, &requests) == 1) {
        submitted++;
    }
    CHECK(errno == EAGAIN && submitted >= 4);
    while (submitted--) {
        CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 && event.res == 5);
    }
    CHECK(memcmp(buffer, "hello", 5) == 0);
    CHECK(syscall(SYS_io_destroy, context) == 0 && close(fd) == 0);
}

/* Sockets that cannot refer to a file's pages copy them, and sum them up as they do. */
static void raw_sendfile(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int sender = socket(AF_INET, SOCK_RAW, PROTOCOL), receiver = socket(AF_INET, SOCK_RAW, PROTOCOL);
    int file = file_of("sent from a file");
    char got[100];

    loopback_up();
    CHECK(sender >= 0 && receiver >= 0);
    CHECK(connect(sender, (void *)&address, sizeof(address)) == 0);
    CHECK(sendfile(sender, file, NULL, 16) == 16);
    CHECK(recv(receiver, got, sizeof(got), 0) == 20 + 16 && memcmp(got + 20, "sent from", 9) == 0);
    CHECK(close(sender) == 0 && close(receiver) == 0 && close(file) == 0);
}

static void cpu_devices(void)
{
    int msr = open("/dev/cpu/0/msr", O_RDONLY), cpuid = open("/dev/cpu/0/cpuid", O_RDONLY);
    uint64_t value;
    uint32_t registers[4];
    ssize_t got;

    CHECK(msr >= 0 && cpuid >= 0);
    CHECK(pread(msr, &value, sizeof(value), MSR_APIC_BASE) == sizeof(value) && value);
    /* QEMU's emulator reads 0, others fault. */
    got = pread(msr, &value, sizeof(value), MSR_NONE);
    CHECK(got == sizeof(value) ? value == 0 : errno == EIO);
    CHECK(pread(cpuid, registers, sizeof(registers), 0) == sizeof(registers) && registers[1]);
    CHECK(close(msr) == 0 && close(cpuid) == 0);
}

/* A program can have its reads of the time stamp counter refused: then CR4 changes whenever it runs. */
static void no_time_stamps(void)
{
    int status;
    pid_t pid = check_fork();

    if (pid == 0) {
        CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0);
        CHECK(sched_yield() == 0);
        __builtin_ia32_rdtsc();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
    futex_operations();
    futex_inherits();
    buffer_lists();
    masked_wait();
    larger_structure();
    asynchronous_reads();
    raw_sendfile();
    cpu_devices();
    no_time_stamps();
    printf("rare_inputs: done\n");
    return 0;
}
