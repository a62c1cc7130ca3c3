/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io_uring: requests of many kinds, submitted by system calls and by a polling thread, with rings
 * that user space reads and writes while the kernel does. Arguments: parts to run; all of them
 * without arguments.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/time_types.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io_ring.h"
#include "loopback.h"
#include "parts.h"

#define PAGE        4096
#define BLOCK       4096
#define BLOCKS      256
#define DEPTH       8
#define IDLE        20          /* milliseconds */
#define NAPS        500
#define SCRIBBLED   2000        /* requests */

static uint8_t *own_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

static int scratch_file(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && unlink(name) == 0);
    return fd;
}

static void fill(uint8_t *to, size_t length, uint64_t seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        to[i] = seed >> 56;
    }
}

static int is_filled(const uint8_t *from, size_t length, uint64_t seed)
{
    static uint8_t expected[BLOCK];

    CHECK(length <= sizeof(expected));
    fill(expected, length, seed);
    return !memcmp(from, expected, length);
}

/* ---- submission and completion ---- */

/* So many that they come around several times, reaped without a system call. */
static void many_nops(struct io_ring *ring)
{
    struct io_result cqe;

    for (uint64_t round = 0; round < 40; round++) {
        for (uint64_t i = 0; i < DEPTH; i++) {
            io_ring_sqe(ring, IORING_OP_NOP, -1, NULL, 0, 0, round << 8 | i);
        }
        io_ring_submit(ring);
        for (uint64_t i = 0; i < DEPTH; i++) {
            while (!io_ring_peek(ring, &cqe)) {
                sched_yield();
            }
            CHECK(cqe.user_data == (round << 8 | i) && cqe.res == 0);
        }
    }
}

static void nops(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    many_nops(&ring);
    io_ring_close(&ring);
}

/* Large SQEs and CQEs. */
static void large_nops(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, IORING_SETUP_SQE128 | IORING_SETUP_CQE32, 0);
    many_nops(&ring);
    io_ring_close(&ring);
}

/* A ring whose completions are looked for, not waited for. */
static void looking(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, IORING_SETUP_IOPOLL, 0);
    CHECK(io_ring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS) == 0);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
    io_ring_expect(&ring, 1, 0);
    io_ring_close(&ring);
}

/* More completions than there is room for. */
static void overflow(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    for (uint64_t i = 0; i < 4 * DEPTH; i++) {
        io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, i);
        io_ring_submit(&ring);
    }
    CHECK(atomic_load(ring.sq_flags) & IORING_SQ_CQ_OVERFLOW);
    for (uint64_t i = 0; i < 4 * DEPTH; i++) {
        io_ring_expect(&ring, i, 0);
    }
    io_ring_close(&ring);
}

/* An index that is none, and one SQE twice. */
static void array(void)
{
    struct io_ring ring;
    unsigned tail;

    io_ring_open(&ring, DEPTH, 0, 0);
    tail = atomic_load(ring.tail);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
    atomic_store(&ring.array[(tail + 1) % DEPTH], 0);
    io_ring_expect(&ring, 1, 0);
    io_ring_expect(&ring, 1, 0);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
    atomic_store(&ring.array[(tail + 2) % DEPTH], 1000);
    atomic_store(ring.dropped, 41);
    CHECK(io_ring_enter(&ring, io_ring_publish(&ring), 0, 0) == 0);
    CHECK(atomic_load(ring.dropped) == 42);
    io_ring_close(&ring);
}

/* An eventfd says that there are completions, unless user space has asked it not to. */
static void events(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    struct io_ring ring;
    uint64_t count;

    io_ring_open(&ring, DEPTH, 0, 0);
    CHECK(fd >= 0 && io_ring_register(&ring, IORING_REGISTER_EVENTFD, &fd, 1) == 0);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
    io_ring_expect(&ring, 1, 0);
    CHECK(read(fd, &count, sizeof(count)) == sizeof(count) && count == 1);
    atomic_store(ring.cq_flags, IORING_CQ_EVENTFD_DISABLED);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
    io_ring_expect(&ring, 2, 0);
    CHECK(read(fd, &count, sizeof(count)) < 0 && errno == EAGAIN);
    CHECK(close(fd) == 0);
    io_ring_close(&ring);
}

/* What /proc says about a ring with requests that nobody has submitted, and completions. */
static void description(void)
{
    static char text[1 << 14];
    struct io_ring ring;
    char path[64];
    ssize_t got;
    int fd;

    io_ring_open(&ring, DEPTH, 0, 0);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
    io_ring_submit(&ring);
    io_ring_sqe(&ring, IORING_OP_NOP, 77, NULL, 0, 0, 4711);
    io_ring_publish(&ring);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring.fd);
    fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && (got = read(fd, text, sizeof(text) - 1)) > 0 && close(fd) == 0);
    CHECK(strstr(text, "SqTail:\t2\n") && strstr(text, "fd:77") && strstr(text, "4711"));
    io_ring_close(&ring);
}

/* ---- files ---- */

static void vectors_of(struct io_ring *ring)
{
    int fd = scratch_file("/tmp/vectors");
    uint8_t *out = own_pages(2 * PAGE), *in = own_pages(2 * PAGE);
    struct iovec from[2] = { { out, 1000 }, { out + PAGE, 3000 } };
    struct iovec to[2] = { { in, 3000 }, { in + PAGE, 1000 } };

    fill(out, 1000, 1);
    fill(out + PAGE, 3000, 2);
    io_ring_sqe(ring, IORING_OP_WRITEV, fd, from, 2, 0, 1);
    io_ring_expect(ring, 1, 4000);
    io_ring_sqe(ring, IORING_OP_FSYNC, fd, NULL, 0, 0, 2);
    io_ring_expect(ring, 2, 0);
    io_ring_sqe(ring, IORING_OP_READV, fd, to, 2, 0, 3);
    io_ring_expect(ring, 3, 4000);
    CHECK(is_filled(in, 1000, 1) && !memcmp(in + 1000, out + PAGE, 2000) &&
          !memcmp(in + PAGE, out + PAGE + 2000, 1000));
    CHECK(close(fd) == 0);
}

static void vectors(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    vectors_of(&ring);
    io_ring_close(&ring);
}

/* By name, and by threads of io_uring's own. */
static void workers(void)
{
    uint8_t *out = own_pages(PAGE), *in = own_pages(PAGE);
    struct io_result cqe;
    struct io_ring ring;
    int fd;

    fill(out, PAGE, 3);
    io_ring_open(&ring, DEPTH, 0, 0);
    io_ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, "/tmp/workers", 0600, 0, 1)->open_flags =
        O_RDWR | O_CREAT | O_TRUNC;
    io_ring_submit(&ring);
    cqe = io_ring_wait(&ring);
    fd = cqe.res;
    CHECK(fd >= 0);
    io_ring_sqe(&ring, IORING_OP_WRITE, fd, out, PAGE, 0, 2)->flags = IOSQE_ASYNC;
    io_ring_expect(&ring, 2, PAGE);
    io_ring_sqe(&ring, IORING_OP_READ, fd, in, PAGE, 0, 3)->flags = IOSQE_ASYNC;
    io_ring_expect(&ring, 3, PAGE);
    CHECK(!memcmp(in, out, PAGE));
    io_ring_sqe(&ring, IORING_OP_CLOSE, fd, NULL, 0, 0, 4);
    io_ring_expect(&ring, 4, 0);
    io_ring_sqe(&ring, IORING_OP_UNLINKAT, AT_FDCWD, "/tmp/workers", 0, 0, 5);
    io_ring_expect(&ring, 5, 0);
    io_ring_close(&ring);
}

/* Registered memory: the kernel copies from pages that it has pinned, to a file and to memory of
 * its own. */
static void fixed(void)
{
    static const char name[] = "pinned\n";
    int fd = scratch_file("/tmp/fixed"), sysctl = open("/proc/sys/kernel/hostname", O_WRONLY);
    uint8_t *memory = own_pages(4 * PAGE);
    struct iovec vector = { memory, 4 * PAGE };
    struct io_ring ring;
    int ends[2];
    char got[64];

    CHECK(sysctl >= 0 && pipe(ends) == 0);
    io_ring_open(&ring, DEPTH, 0, 0);
    CHECK(io_ring_register(&ring, IORING_REGISTER_BUFFERS, &vector, 1) == 0);
    fill(memory, PAGE, 4);
    io_ring_sqe(&ring, IORING_OP_WRITE_FIXED, fd, memory, PAGE, 0, 1);
    io_ring_expect(&ring, 1, PAGE);
    io_ring_sqe(&ring, IORING_OP_READ_FIXED, fd, memory + PAGE, PAGE, 0, 2);
    io_ring_expect(&ring, 2, PAGE);
    io_ring_sqe(&ring, IORING_OP_WRITE_FIXED, ends[1], memory + PAGE, PAGE, 0, 3);
    io_ring_expect(&ring, 3, PAGE);
    io_ring_sqe(&ring, IORING_OP_READ_FIXED, ends[0], memory + 2 * PAGE, PAGE, 0, 4);
    io_ring_expect(&ring, 4, PAGE);
    CHECK(is_filled(memory + 2 * PAGE, PAGE, 4));
    memcpy(memory, name, sizeof(name) - 1);
    io_ring_sqe(&ring, IORING_OP_WRITE_FIXED, sysctl, memory, sizeof(name) - 1, 0, 5);
    io_ring_expect(&ring, 5, sizeof(name) - 1);
    CHECK(gethostname(got, sizeof(got)) == 0 && !strcmp(got, "pinned"));
    CHECK(close(fd) == 0 && close(sysctl) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    io_ring_close(&ring);
}

/* One pass over a file, DEPTH blocks at a time in an order of its own. */
static void pass(struct io_ring *ring, int fd, uint8_t *memory, uint8_t opcode)
{
    unsigned slots[DEPTH], blocks[DEPTH], unused = DEPTH, next = 0;
    struct io_result cqe;

    for (unsigned i = 0; i < DEPTH; i++) {
        slots[i] = i;
    }
    for (unsigned done = 0; done < BLOCKS; done++) {
        while (unused && next < BLOCKS) {
            unsigned slot = slots[--unused], block = next++ * 77 % BLOCKS;

            blocks[slot] = block;
            if (opcode == IORING_OP_WRITE) {
                fill(memory + slot * BLOCK, BLOCK, block);
            }
            io_ring_sqe(ring, opcode, fd, memory + slot * BLOCK, BLOCK,
                        (uint64_t)block * BLOCK, slot);
        }
        io_ring_submit(ring);
        cqe = io_ring_wait(ring);
        CHECK(cqe.res == BLOCK);
        if (opcode == IORING_OP_READ) {
            CHECK(is_filled(memory + cqe.user_data * BLOCK, BLOCK, blocks[cqe.user_data]));
        }
        slots[unused++] = cqe.user_data;
    }
}

/* As fio does it: blocks that say what they are are written, read back and compared. */
static void verify_of(struct io_ring *ring)
{
    uint8_t *memory = own_pages(DEPTH * BLOCK);
    int fd = scratch_file("/tmp/verify");

    pass(ring, fd, memory, IORING_OP_WRITE);
    memset(memory, 0, DEPTH * BLOCK);
    pass(ring, fd, memory, IORING_OP_READ);
    CHECK(munmap(memory, DEPTH * BLOCK) == 0 && close(fd) == 0);
}

static void verify(void)
{
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    verify_of(&ring);
    io_ring_close(&ring);
}

/* ---- buffers that the kernel chooses ---- */

/* A message through a pipe into whatever buffer of group @group the kernel takes: @expected. */
static void read_selected(struct io_ring *ring, uint8_t *memory, unsigned group, unsigned expected)
{
    struct io_uring_sqe *sqe;
    struct io_result cqe;
    int ends[2];

    CHECK(pipe(ends) == 0 && write(ends[1], "selected", 8) == 8);
    sqe = io_ring_sqe(ring, IORING_OP_READ, ends[0], NULL, PAGE, 0, 1);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    io_ring_submit(ring);
    cqe = io_ring_wait(ring);
    CHECK(cqe.res == 8 && cqe.flags & IORING_CQE_F_BUFFER);
    CHECK(cqe.flags >> IORING_CQE_BUFFER_SHIFT == expected);
    CHECK(!memcmp(memory + expected * PAGE, "selected", 8));
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void provided(void)
{
    uint8_t *memory = own_pages(4 * PAGE);
    struct io_uring_sqe *sqe;
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    sqe = io_ring_sqe(&ring, IORING_OP_PROVIDE_BUFFERS, 4, memory, PAGE, 0, 1);
    sqe->buf_group = 7;
    io_ring_expect(&ring, 1, 0);
    for (unsigned i = 0; i < 4; i++) {
        read_selected(&ring, memory, 7, i);
    }
    io_ring_close(&ring);
}

/* The same with a ring of them. */
static void provided_ring(void)
{
    struct io_uring_buf_ring *buffers = (void *)own_pages(PAGE);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers, .ring_entries = DEPTH, .bgid = 9
    };
    uint8_t *memory = own_pages(DEPTH * PAGE);
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    CHECK(io_ring_register(&ring, IORING_REGISTER_PBUF_RING, &registration, 1) == 0);
    for (uint16_t i = 0; i < 3 * DEPTH; i++) {
        struct io_uring_buf *buffer = &buffers->bufs[i % DEPTH];
        uint16_t id = i * 5 % DEPTH;

        buffer->addr = (uintptr_t)(memory + id * PAGE);
        buffer->len = PAGE;
        buffer->bid = id;
        atomic_store((_Atomic uint16_t *)&buffers->tail, i + 1);
        read_selected(&ring, memory, 9, id);
    }
    CHECK(io_ring_register(&ring, IORING_UNREGISTER_PBUF_RING, &registration, 1) == 0);
    io_ring_close(&ring);
}

/* ---- order and time ---- */

static void links(void)
{
    uint8_t *out = own_pages(PAGE), *in = own_pages(PAGE);
    int fd = scratch_file("/tmp/links");
    struct io_ring ring;

    fill(out, PAGE, 5);
    io_ring_open(&ring, DEPTH, 0, 0);
    io_ring_sqe(&ring, IORING_OP_WRITE, fd, out, PAGE, 0, 1)->flags = IOSQE_IO_LINK;
    io_ring_sqe(&ring, IORING_OP_READ, fd, in, PAGE, 0, 2);
    io_ring_expect(&ring, 1, PAGE);
    io_ring_expect(&ring, 2, PAGE);
    CHECK(is_filled(in, PAGE, 5));
    /* What fails takes the rest of the chain with it, unless the link is a hard one. */
    io_ring_sqe(&ring, IORING_OP_READ, -1, in, PAGE, 0, 3)->flags = IOSQE_IO_LINK;
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 4);
    io_ring_expect(&ring, 3, -EBADF);
    io_ring_expect(&ring, 4, -ECANCELED);
    io_ring_sqe(&ring, IORING_OP_READ, fd, in, PAGE, PAGE, 5)->flags = IOSQE_IO_HARDLINK;
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 6);
    io_ring_expect(&ring, 5, 0);
    io_ring_expect(&ring, 6, 0);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 7);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 8)->flags = IOSQE_IO_DRAIN;
    io_ring_expect(&ring, 7, 0);
    io_ring_expect(&ring, 8, 0);
    CHECK(close(fd) == 0);
    io_ring_close(&ring);
}

static void timeouts(void)
{
    struct __kernel_timespec soon = { .tv_nsec = 20000000 };
    struct io_result cqe;
    struct io_ring ring;
    double start = check_now();
    int ends[2];

    CHECK(pipe(ends) == 0);
    io_ring_open(&ring, DEPTH, 0, 0);
    io_ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
    io_ring_expect(&ring, 1, -ETIME);
    CHECK(check_now() - start >= 0.02);
    /* Nobody writes into the pipe. */
    io_ring_sqe(&ring, IORING_OP_READ, ends[0], ends, 1, 0, 2)->flags = IOSQE_IO_LINK;
    io_ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &soon, 1, 0, 3);
    io_ring_submit(&ring);
    for (int i = 0; i < 2; i++) {
        cqe = io_ring_wait(&ring);
        CHECK(cqe.user_data == 2 ? cqe.res == -ECANCELED || cqe.res == -EINTR
                                 : cqe.user_data == 3 && (cqe.res == -ETIME || cqe.res == 1));
    }
    /* A timeout that as many completions end. */
    soon.tv_sec = 100;
    io_ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 1, 4);
    io_ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 5);
    io_ring_submit(&ring);
    for (int i = 0; i < 2; i++) {
        cqe = io_ring_wait(&ring);
        CHECK((cqe.user_data == 4 || cqe.user_data == 5) && cqe.res == 0);
    }
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    io_ring_close(&ring);
}

static void polls(void)
{
    struct io_ring ring;
    int ends[2];

    CHECK(pipe(ends) == 0);
    io_ring_open(&ring, DEPTH, 0, 0);
    io_ring_sqe(&ring, IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, 1)->poll32_events = POLLIN;
    io_ring_submit(&ring);
    CHECK(write(ends[1], "x", 1) == 1);
    io_ring_expect(&ring, 1, POLLIN);
    CHECK(read(ends[0], ends, 1) == 1);
    io_ring_close(&ring);
}

/* Others can wait for a ring too. */
static void polled(void)
{
    struct __kernel_timespec soon = { .tv_nsec = 20000000 };
    struct pollfd wanted = { .events = POLLIN };
    struct io_ring ring;

    io_ring_open(&ring, DEPTH, 0, 0);
    wanted.fd = ring.fd;
    CHECK(poll(&wanted, 1, 0) == 0);
    io_ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
    io_ring_submit(&ring);
    CHECK(poll(&wanted, 1, -1) == 1 && wanted.revents == POLLIN);
    io_ring_expect(&ring, 1, -ETIME);
    io_ring_close(&ring);
}

/* A process that ends with requests under way. */
static void abandoned(void)
{
    struct io_ring ring;
    int ends[2];
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = check_fork();
    if (pid == 0) {
        io_ring_open(&ring, DEPTH, 0, 0);
        io_ring_sqe(&ring, IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, 1)->poll32_events = POLLIN;
        io_ring_sqe(&ring, IORING_OP_READ, ends[0], &ring, 1, 0, 2)->flags = IOSQE_ASYNC;
        io_ring_submit(&ring);
        _exit(0);
    }
    check_wait(pid, 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* ---- sockets ---- */

/* A socket of this type at an address of its own on the loopback device. */
static int local_socket(int type, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, type, 0);
    socklen_t length = sizeof(*address);

    *address = (struct sockaddr_in) {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    CHECK(fd >= 0 && bind(fd, (void *)address, length) == 0);
    CHECK(getsockname(fd, (void *)address, &length) == 0);
    return fd;
}

static void sockets_of(struct io_ring *ring)
{
    uint8_t *out = own_pages(BLOCK), *in = own_pages(BLOCK);
    struct sockaddr_in address;
    int server = local_socket(SOCK_STREAM, &address), client = socket(AF_INET, SOCK_STREAM, 0);
    struct io_result cqe;
    int peer = -1;

    CHECK(listen(server, 1) == 0 && client >= 0);
    io_ring_sqe(ring, IORING_OP_ACCEPT, server, NULL, 0, 0, 1);
    io_ring_sqe(ring, IORING_OP_CONNECT, client, &address, 0, sizeof(address), 2);
    io_ring_submit(ring);
    for (int i = 0; i < 2; i++) {
        cqe = io_ring_wait(ring);
        CHECK(cqe.res >= 0);
        if (cqe.user_data == 1) {
            peer = cqe.res;
        }
    }
    for (uint64_t i = 0; i < 20; i++) {
        fill(out, BLOCK, i);
        io_ring_sqe(ring, IORING_OP_RECV, peer, in, BLOCK, 0, 3)->msg_flags = MSG_WAITALL;
        io_ring_sqe(ring, IORING_OP_SEND, client, out, BLOCK, 0, 4);
        io_ring_submit(ring);
        for (int j = 0; j < 2; j++) {
            cqe = io_ring_wait(ring);
            CHECK(cqe.res == BLOCK);
        }
        CHECK(is_filled(in, BLOCK, i));
    }
    CHECK(close(server) == 0 && close(client) == 0 && close(peer) == 0);
}

static void sockets(void)
{
    struct io_ring ring;

    loopback_up();
    io_ring_open(&ring, DEPTH, 0, 0);
    sockets_of(&ring);
    io_ring_close(&ring);
}

/* The kernel sends from the program's own pages and says when it has done with them. */
static void zero_copy(void)
{
    uint8_t *out = own_pages(BLOCK), *in = own_pages(BLOCK);
    struct sockaddr_in address;
    struct io_result cqe;
    struct io_ring ring;
    int receiver, sender;

    loopback_up();
    receiver = local_socket(SOCK_DGRAM, &address);
    sender = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sender >= 0 && connect(sender, (void *)&address, sizeof(address)) == 0);
    io_ring_open(&ring, DEPTH, 0, 0);
    fill(out, BLOCK, 6);
    io_ring_sqe(&ring, IORING_OP_SEND_ZC, sender, out, BLOCK, 0, 1);
    io_ring_submit(&ring);
    CHECK(recv(receiver, in, BLOCK, 0) == BLOCK && is_filled(in, BLOCK, 6));
    cqe = io_ring_wait(&ring);
    CHECK(cqe.res == BLOCK && cqe.flags & IORING_CQE_F_MORE);
    cqe = io_ring_wait(&ring);
    CHECK(cqe.res == 0 && cqe.flags & IORING_CQE_F_NOTIF);
    CHECK(close(receiver) == 0 && close(sender) == 0);
    io_ring_close(&ring);
}

/* ---- the polling thread ---- */

static void polling(void)
{
    struct timespec nap = { .tv_nsec = 3 * IDLE * 1000000 };
    struct io_ring ring;

    loopback_up();
    io_ring_open(&ring, DEPTH, IORING_SETUP_SQPOLL, IDLE);
    many_nops(&ring);
    vectors_of(&ring);
    /* The thread sleeps some time, and says so. */
    for (int i = 0; i < NAPS && !(atomic_load(ring.sq_flags) & IORING_SQ_NEED_WAKEUP); i++) {
        CHECK(nanosleep(&nap, NULL) == 0);
    }
    CHECK(atomic_load(ring.sq_flags) & IORING_SQ_NEED_WAKEUP);
    CHECK(io_ring_enter(&ring, 0, 0, IORING_ENTER_SQ_WAIT) == 0);
    verify_of(&ring);
    sockets_of(&ring);
    io_ring_close(&ring);
}

/* ---- rings that change under the kernel's eyes ---- */

static struct io_ring scribbled;
static atomic_int scribbling;
static int null_device;

/* Whatever it does to an SQE, there is one CQE for it, and soon. */
static void *scribble(void *argument)
{
    static const uint8_t opcodes[] = {
        IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_FSYNC,
        IORING_OP_STATX, 200
    };
    uint64_t seed = 1;

    (void)argument;
    while (atomic_load(&scribbling)) {
        volatile struct io_uring_sqe *sqe = (void *)scribbled.sqes;

        sqe += (seed >> 60) % DEPTH;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        sqe->opcode = opcodes[(seed >> 33) % sizeof(opcodes)];
        sqe->len = (seed >> 40) % 300;
        sqe->fd = (seed >> 50) % 2 ? null_device : -1;
        sqe->addr = seed >> 50;
        sqe->user_data = seed;
        sqe->flags = (seed >> 45) % 8 ? 0 : IOSQE_ASYNC;
        atomic_store(&scribbled.array[(seed >> 55) % DEPTH], (seed >> 30) % DEPTH);
        atomic_store(scribbled.dropped, seed);
        atomic_store(scribbled.overflow, seed >> 20);
        atomic_store(scribbled.cq_flags, seed >> 63);
    }
    return NULL;
}

static void scribbles_on(unsigned flags)
{
    pthread_t thread;
    struct io_result cqe;
    unsigned done = 0;

    null_device = open("/dev/null", O_RDWR);
    CHECK(null_device >= 0);
    io_ring_open(&scribbled, DEPTH, flags, IDLE);
    atomic_store(&scribbling, 1);
    CHECK(pthread_create(&thread, NULL, scribble, NULL) == 0);
    for (unsigned sent = 0; sent < SCRIBBLED; sent += DEPTH) {
        for (unsigned i = 0; i < DEPTH; i++) {
            io_ring_sqe(&scribbled, IORING_OP_NOP, -1, NULL, 0, 0, i);
        }
        io_ring_publish(&scribbled);
        /* An SQE in error ends a submission, and counts. */
        while (atomic_load(scribbled.head) != atomic_load(scribbled.tail)) {
            if (!(flags & IORING_SETUP_SQPOLL)) {
                CHECK(io_ring_enter(&scribbled, DEPTH, 0, 0) > 0);
            } else if (atomic_load(scribbled.sq_flags) & IORING_SQ_NEED_WAKEUP) {
                CHECK(io_ring_enter(&scribbled, DEPTH, 0, IORING_ENTER_SQ_WAKEUP) >= 0);
            }
            sched_yield();
        }
        for (unsigned i = 0; i < DEPTH; i++) {
            cqe = io_ring_wait(&scribbled);
            done++;
        }
    }
    atomic_store(&scribbling, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(done == SCRIBBLED && !io_ring_peek(&scribbled, &cqe));
    CHECK(close(null_device) == 0);
    io_ring_close(&scribbled);
}

static void scribbles(void)
{
    scribbles_on(0);
}

static void polling_scribbles(void)
{
    scribbles_on(IORING_SETUP_SQPOLL);
}

/* ---- */

static const struct part parts[] = {
    { "nops", nops }, { "large_nops", large_nops }, { "looking", looking },
    { "overflow", overflow }, { "array", array }, { "events", events },
    { "description", description }, { "vectors", vectors }, { "workers", workers },
    { "fixed", fixed }, { "verify", verify }, { "provided", provided },
    { "provided_ring", provided_ring }, { "links", links }, { "timeouts", timeouts },
    { "polls", polls }, { "polled", polled }, { "abandoned", abandoned }, { "sockets", sockets },
    { "zero_copy", zero_copy }, { "polling", polling }, { "scribbles", scribbles },
    { "polling_scribbles", polling_scribbles },
    { NULL, NULL }
};

int main(int argc, char **argv)
{
    run_parts("io_rings", parts, argc, argv);
    return 0;
}
