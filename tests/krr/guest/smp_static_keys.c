/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Branches in the kernel's code are rewritten while all CPUs execute them: by time stamps of
 * sockets, by software counters of tasks, and by a key of our module flip_key. Argument: rounds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "smp.h"

static int rounds;
static atomic_int flipping;

/* Sends itself a datagram; with time stamps it must come with one. */
static void one_datagram(int fd, int stamped)
{
    char control[256], data[4] = "";
    struct iovec vector = { data, sizeof(data) };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *stamp;

    CHECK(send(fd, "ping", 4, 0) == 4);
    CHECK(recvmsg(fd, &message, 0) == 4 && !memcmp(data, "ping", 4));
    stamp = CMSG_FIRSTHDR(&message);
    CHECK(!stamp == !stamped);
    CHECK(!stamped || stamp->cmsg_type == SO_TIMESTAMP);
}

static int udp_to_itself(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(fd, (struct sockaddr *)&address, length) == 0);
    return fd;
}

/* The first socket with time stamps turns the key on, the last one turns it off. */
static void flip_timestamps(void)
{
    int fd = udp_to_itself(), on = 1, off = 0;

    CHECK(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) == 0);
    one_datagram(fd, 1);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &off, sizeof(off)) == 0);
    one_datagram(fd, 0);
    CHECK(close(fd) == 0);
}

/* A counter of context switches turns keys in the scheduler on. */
static void flip_counters(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
    };
    int fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
    unsigned long long count;

    CHECK(fd >= 0);
    /* A sleep may be over before the CPU is given away; who leaves a CPU is switched. */
    CHECK(usleep(100) == 0);
    smp_pin(1);
    smp_pin(0);
    CHECK(read(fd, &count, sizeof(count)) == sizeof(count) && count > 0);
    CHECK(close(fd) == 0);
}

/* How many of the module's three branches are taken? */
static int branches_taken(int key)
{
    char text[8] = "";

    CHECK(pread(key, text, sizeof(text) - 1, 0) == 2);
    return atoi(text);
}

static void flip_module_key(int key, int on)
{
    CHECK(write(key, on ? "1" : "0", 1) == 1);
    CHECK(branches_taken(key) == (on ? 3 : 0));
}

static void flip(void)
{
    int key = open("/proc/krr_flip_key", O_RDWR);

    CHECK(key >= 0);
    for (int i = 0; i < rounds; i++) {
        flip_module_key(key, 1);
        flip_timestamps();
        flip_module_key(key, 0);
        flip_counters();
    }
    CHECK(close(key) == 0);
    atomic_store(&flipping, 0);
}

/* Executes the branches, whichever way they go. */
static void load(void)
{
    int key = open("/proc/krr_flip_key", O_RDONLY), fd = udp_to_itself();

    CHECK(key >= 0);
    while (atomic_load(&flipping)) {
        int taken = branches_taken(key);

        CHECK(taken >= 0 && taken <= 3);
        one_datagram(fd, 0);
        sched_yield();
    }
    CHECK(close(key) == 0 && close(fd) == 0);
}

static void body(int number)
{
    if (number == 0) {
        flip();
    } else {
        load();
    }
}

int main(int argc, char **argv)
{
    rounds = smp_argument(argc, argv, 1, 10);
    smp_init();
    atomic_store(&flipping, 1);
    smp_threads(smp_partners(), body);
    printf("smp_static_keys: %d rounds\n", rounds);
    return 0;
}
