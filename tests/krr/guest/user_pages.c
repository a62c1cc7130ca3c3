/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes that only user space has written, in pages that the kernel then reads by addresses of its
 * own: mapped files and pages of a pipe that are spliced, sockets that refer to pages, loop
 * devices, registers for core dumps. Arguments: parts to run; all of them without arguments.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/random.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "loopback.h"
#include "parts.h"

#define DATAGRAM    40000       /* more than one page */
#define PORT        4000
#define SECTOR      512
#define IMAGE       (1 << 20)

static uint8_t *pages(size_t size, int flags, int fd)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

static uint8_t *own_pages(size_t size)
{
    return pages(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* A file of @size bytes, of which the first @length are written through a mapping. */
static int mapped_file(const void *data, size_t length, size_t size)
{
    int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *p;

    CHECK(fd >= 0 && ftruncate(fd, size) == 0);
    p = pages(size, MAP_SHARED, fd);
    memcpy(p, data, length);
    CHECK(munmap(p, size) == 0);
    return fd;
}

static void send_file(int to, int fd, size_t length)
{
    off_t offset = 0;

    CHECK(sendfile(to, fd, &offset, length) == (ssize_t)length);
    CHECK(close(fd) == 0);
}

/* ---- splice ---- */

static void tty_sendfile(void)
{
    static const char text[] = "lines of a mapping,\n\twith a tab\n";

    send_file(1, mapped_file(text, sizeof(text) - 1, sizeof(text) - 1), sizeof(text) - 1);
}

static void tty_vmsplice(void)
{
    char *text = (char *)own_pages(4096);
    struct iovec vector = { .iov_base = text };
    int ends[2];

    strcpy(text, "a line of an own page\n");
    vector.iov_len = strlen(text);
    CHECK(pipe(ends) == 0);
    CHECK(vmsplice(ends[1], &vector, 1, 0) == (ssize_t)vector.iov_len);
    CHECK(splice(ends[0], NULL, 1, NULL, vector.iov_len, 0) == (ssize_t)vector.iov_len);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void sysctl_sendfile(void)
{
    static const char name[] = "spliced\n";
    char got[64];
    int out = open("/proc/sys/kernel/hostname", O_WRONLY);

    CHECK(out >= 0);
    send_file(out, mapped_file(name, sizeof(name) - 1, sizeof(name) - 1), sizeof(name) - 1);
    CHECK(close(out) == 0);
    CHECK(gethostname(got, sizeof(got)) == 0 && !strcmp(got, "spliced"));
}

/* What is mixed into the random pool decides where the next program is loaded. */
static void random_sendfile(void)
{
    uint8_t bytes[64];
    int out = open("/dev/urandom", O_RDWR);
    pid_t pid;

    CHECK(out >= 0);
    memset(bytes, 7, sizeof(bytes));
    send_file(out, mapped_file(bytes, sizeof(bytes), sizeof(bytes)), sizeof(bytes));
    CHECK(ioctl(out, RNDRESEEDCRNG) == 0);
    CHECK(close(out) == 0);
    pid = check_fork();
    if (pid == 0) {
        execl("/bin/busybox", "true", NULL);
        _exit(1);
    }
    check_wait(pid, 0);
}

/* ---- sockets ---- */

/* A pair of sockets. */
static void plain_pair(int *receiver, int *sender)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(PORT),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    loopback_up();
    *receiver = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(*receiver, (void *)&address, sizeof(address)) == 0);
    *sender = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(connect(*sender, (void *)&address, sizeof(address)) == 0);
}

/* The receiver takes datagrams whose first byte is 'y'. */
static void filtered_pair(int *receiver, int *sender)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

    plain_pair(receiver, sender);
    CHECK(setsockopt(*receiver, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0);
}

static void receive(int receiver, int sender, ssize_t expected)
{
    static char got[DATAGRAM];
    struct pollfd there = { .fd = receiver, .events = POLLIN };

    /* ksoftirqd may have it yet. */
    CHECK(poll(&there, 1, 10000) == 1);
    CHECK(recv(receiver, got, sizeof(got), MSG_DONTWAIT) == expected);
    CHECK(close(receiver) == 0 && close(sender) == 0);
}

static void filter_sendfile(void)
{
    char bytes[200];
    int receiver, sender;

    filtered_pair(&receiver, &sender);
    memset(bytes, 'y', sizeof(bytes));
    send_file(sender, mapped_file(bytes, sizeof(bytes), sizeof(bytes)), sizeof(bytes));
    receive(receiver, sender, sizeof(bytes));
}

/* A datagram that is put together from several pieces has its checksum made at once. Returns its size. */
static ssize_t send_pieces(int sender)
{
    char bytes[200];

    memset(bytes, 'y', sizeof(bytes));
    CHECK(send(sender, bytes, 1, MSG_MORE) == 1);
    send_file(sender, mapped_file(bytes, sizeof(bytes), sizeof(bytes)), sizeof(bytes));
    return 1 + sizeof(bytes);
}

/* The filter looks at it when the sum has been checked. */
static void pieces_sendfile(void)
{
    int receiver, sender;

    filtered_pair(&receiver, &sender);
    receive(receiver, sender, send_pieces(sender));
}

/* Without a filter the sum is checked while the datagram is copied. */
static void pieces_received(void)
{
    int receiver, sender;

    plain_pair(&receiver, &sender);
    receive(receiver, sender, send_pieces(sender));
}

static void pieces_spliced(void)
{
    char got[400];
    int receiver, sender, ends[2];
    ssize_t size;

    plain_pair(&receiver, &sender);
    size = send_pieces(sender);
    CHECK(pipe(ends) == 0);
    CHECK(splice(receiver, NULL, ends[1], NULL, DATAGRAM, 0) == size);
    CHECK(read(ends[0], got, sizeof(got)) == size);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(receiver) == 0 && close(sender) == 0);
}

static void filter_zerocopy(void)
{
    uint8_t *bytes = own_pages(DATAGRAM);
    int receiver, sender, on = 1;

    filtered_pair(&receiver, &sender);
    memset(bytes, 'y', DATAGRAM);
    CHECK(setsockopt(sender, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) == 0);
    CHECK(send(sender, bytes, DATAGRAM, MSG_ZEROCOPY) == DATAGRAM);
    receive(receiver, sender, DATAGRAM);
}

/* Nobody has the port: the answer quotes the datagram, and has a checksum over that. */
static void quoted_sendfile(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(PORT),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    char bytes[200], got[sizeof(bytes)];
    struct pollfd error = { .fd = socket(AF_INET, SOCK_DGRAM, 0) };
    int on = 1;

    loopback_up();
    CHECK(connect(error.fd, (void *)&address, sizeof(address)) == 0);
    CHECK(setsockopt(error.fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) == 0);
    memset(bytes, 'q', sizeof(bytes));
    send_file(error.fd, mapped_file(bytes, sizeof(bytes), sizeof(bytes)), sizeof(bytes));
    CHECK(poll(&error, 1, 10000) == 1 && (error.revents & POLLERR));
    CHECK(recv(error.fd, got, sizeof(got), MSG_ERRQUEUE) == sizeof(got));
    CHECK(memcmp(got, bytes, sizeof(got)) == 0 && close(error.fd) == 0);
}

/* ---- loop devices ---- */

/* A partition table with one partition. */
static void write_table(uint8_t *sector)
{
    memset(sector, 0, SECTOR);
    sector[446 + 4] = 0x83;
    sector[446 + 8] = 8;
    sector[446 + 12] = 100;
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

static int loop_over(int file)
{
    struct loop_config config = {
        .fd = file,
        .block_size = SECTOR,
        .info.lo_flags = LO_FLAGS_PARTSCAN | LO_FLAGS_AUTOCLEAR,
    };
    int loop = open("/dev/loop0", O_RDWR);

    CHECK(loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0);
    return loop;
}

static void loop_ends(int loop, int file)
{
    CHECK(access("/sys/block/loop0/loop0p1", F_OK) == 0);
    CHECK(ioctl(loop, LOOP_CLR_FD) == 0);
    CHECK(close(loop) == 0 && close(file) == 0);
}

static void loop_mapped(void)
{
    uint8_t sector[SECTOR];
    int file;

    write_table(sector);
    file = mapped_file(sector, sizeof(sector), IMAGE);
    loop_ends(loop_over(file), file);
}

static void loop_direct(void)
{
    uint8_t *page = own_pages(4096);
    int file = mapped_file("", 1, IMAGE), loop = loop_over(file), direct;

    write_table(page);
    direct = open("/dev/loop0", O_RDWR | O_DIRECT);
    CHECK(direct >= 0 && pwrite(direct, page, 4096, 0) == 4096 && close(direct) == 0);
    CHECK(ioctl(loop, BLKRRPART) == 0);
    loop_ends(loop, file);
}

/* ---- registers, rings ---- */

/* Leaves something in the FPU registers that only user space knows. */
static void fill_registers(void)
{
    __asm__ volatile("pcmpeqd %%xmm5, %%xmm5" ::: "xmm5");
}

static void core_dump(void)
{
    struct rlimit limit = { 1 << 30, 1 << 30 };
    int status, fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    pid_t pid;

    CHECK(fd >= 0 && write(fd, "/tmp/core", 9) == 9 && close(fd) == 0);
    CHECK(setrlimit(RLIMIT_CORE, &limit) == 0);
    pid = check_fork();
    if (pid == 0) {
        fill_registers();
        abort();
    }
    CHECK(waitpid(pid, &status, 0) == pid && WCOREDUMP(status));
}

static void traced_registers(void)
{
    struct user_fpregs_struct registers;
    int status;
    pid_t pid = check_fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        fill_registers();
        raise(SIGSTOP);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    CHECK(ptrace(PTRACE_GETFPREGS, pid, 0, &registers) == 0);
    CHECK(registers.xmm_space[20] == UINT32_MAX);
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    check_wait(pid, 0);
}

/* The ring of AIO is user memory: here user space says that there are events. */
static void aio_tail(void)
{
    struct { unsigned id, nr, head, tail; } *ring;
    struct timespec now = { 0, 0 };
    struct io_event events[8];
    aio_context_t context = 0;

    CHECK(syscall(SYS_io_setup, 64, &context) == 0);
    ring = (void *)context;
    ring->tail = 5;
    CHECK(syscall(SYS_io_getevents, context, 1, 8, events, &now) == 5);
    CHECK(syscall(SYS_io_destroy, context) == 0);
}

/* ---- */

static const struct part parts[] = {
    { "tty_sendfile", tty_sendfile }, { "tty_vmsplice", tty_vmsplice },
    { "sysctl_sendfile", sysctl_sendfile }, { "random_sendfile", random_sendfile },
    { "filter_sendfile", filter_sendfile }, { "pieces_sendfile", pieces_sendfile },
    { "pieces_received", pieces_received }, { "pieces_spliced", pieces_spliced },
    { "filter_zerocopy", filter_zerocopy }, { "quoted_sendfile", quoted_sendfile },
    { "loop_mapped", loop_mapped }, { "loop_direct", loop_direct }, { "core_dump", core_dump },
    { "traced_registers", traced_registers }, { "aio_tail", aio_tail },
    { NULL, NULL }
};

int main(int argc, char **argv)
{
    run_parts("user_pages", parts, argc, argv);
    return 0;
}
