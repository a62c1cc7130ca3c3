/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first program of a guest (rdinit=): maps rings, leaves children that use them, and goes on as
 * krr-vm's init. So the rings are there before the recording is. Counts rounds in
 * /rings_before.packets and .requests.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "io_ring.h"
#include "loopback.h"

#define SIZE        16384
#define FRAME       2048
#define PORT        4712
#define PAUSE       10          /* milliseconds between two rounds */
#define IDLE        3           /* milliseconds until the polling thread sleeps */

static void count_round(int fd, unsigned round)
{
    char line[16];
    int length = snprintf(line, sizeof(line), "%u\n", round);

    CHECK(pwrite(fd, line, length, 0) == length);
}

static int counter(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    return fd;
}

/* One datagram a round, and the answer that nobody wants it: a ring receives both. */
static void packets(int count)
{
    int version = TPACKET_V2, receiver = socket(AF_PACKET, SOCK_RAW, 0);
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    struct tpacket_req request = { SIZE, 1, FRAME, SIZE / FRAME };
    struct sockaddr_ll link = { AF_PACKET, htons(ETH_P_IP), if_nametoindex("lo"), 0, 0, 0, { 0 } };
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(PORT),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    uint8_t *ring;

    CHECK(receiver >= 0 && sender >= 0);
    CHECK(setsockopt(receiver, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0);
    CHECK(setsockopt(receiver, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) == 0);
    ring = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, receiver, 0);
    CHECK(ring != MAP_FAILED && bind(receiver, (void *)&link, sizeof(link)) == 0);
    for (unsigned round = 0, frame = 0; ; round++) {
        struct pollfd wanted = { receiver, POLLIN, 0 };

        CHECK(sendto(sender, &round, sizeof(round), 0, (void *)&address, sizeof(address)) > 0);
        CHECK(poll(&wanted, 1, PAUSE) >= 0);
        for (;;) {
            struct tpacket2_hdr *header = (void *)(ring + frame % (SIZE / FRAME) * FRAME);

            if (!(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
                break;
            }
            __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
            frame++;
        }
        CHECK(frame >= round);
        count_round(count, round);
        usleep(PAUSE * 1000);
    }
}

/* Writes and reads of a memory file, handed to a polling thread that sleeps now and then. */
static void requests(int count)
{
    int fd = memfd_create("requests", 0);
    struct io_ring ring;

    CHECK(fd >= 0);
    io_ring_open(&ring, 8, IORING_SETUP_SQPOLL, IDLE);
    for (unsigned round = 0; ; round++) {
        unsigned got = 0;

        io_ring_sqe(&ring, IORING_OP_WRITE, fd, &round, sizeof(round), 0, 1)->flags = IOSQE_IO_LINK;
        io_ring_sqe(&ring, IORING_OP_READ, fd, &got, sizeof(got), 0, 2);
        io_ring_expect(&ring, 1, sizeof(round));
        io_ring_expect(&ring, 2, sizeof(got));
        CHECK(got == round);
        count_round(count, round);
        usleep(PAUSE * 1000);
    }
}

int main(int argc, char **argv)
{
    int packet_count = counter("/rings_before.packets");
    int request_count = counter("/rings_before.requests");

    (void)argc;
    loopback_up();
    if (check_fork() == 0) {
        packets(packet_count);
    }
    if (check_fork() == 0) {
        requests(request_count);
    }
    /* Some rounds from before. */
    usleep(10 * PAUSE * 1000);
    execv("/.krr/init", argv);
    return 1;
}
