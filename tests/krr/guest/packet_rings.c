/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings of packet sockets: what goes over the loopback device is received by rings of each
 * version, sent by rings of each version, and some of it while a thread writes into the ring what
 * it likes. Arguments: parts to run; all of them without arguments.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "loopback.h"
#include "parts.h"

#define BLOCK       16384       /* bytes */
#define BLOCKS      4
#define FRAME       2048
#define FRAMES      (BLOCKS * BLOCK / FRAME)
#define DATAGRAMS   50
#define PAYLOAD     600
#define PORT        4711
#define RETIRE      10          /* milliseconds after which a block is full enough */

struct packet_ring {
    int fd;
    int version;
    int type;                   /* SOCK_RAW: with Ethernet headers; SOCK_DGRAM: without */
    int more;                   /* socket option that is on, or 0 */
    uint8_t *memory;
    unsigned next;              /* frame or block */
};

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* The loopback device takes what was not routed, too. */
static void loopback_takes_all(void)
{
    loopback_up();
    write_file("/proc/sys/net/ipv4/conf/lo/route_localnet", "1");
    write_file("/proc/sys/net/ipv4/conf/lo/accept_local", "1");
}

static struct sockaddr_in local_address(void)
{
    return (struct sockaddr_in) {
        .sin_family = AF_INET,
        .sin_port = htons(PORT),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int receiver(void)
{
    struct sockaddr_in address = local_address();
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(fd >= 0 && bind(fd, (void *)&address, sizeof(address)) == 0);
    return fd;
}

static void set_option(int fd, int option, const void *value, socklen_t length)
{
    CHECK(setsockopt(fd, SOL_PACKET, option, value, length) == 0);
}

/* @option: PACKET_RX_RING or PACKET_TX_RING. */
static void ring_open(struct packet_ring *ring, int type, int version, int option, int more)
{
    static const int versions[] = { 0, TPACKET_V1, TPACKET_V2, TPACKET_V3 };
    struct tpacket_req3 request = {
        .tp_block_size = BLOCK, .tp_block_nr = BLOCKS,
        .tp_frame_size = FRAME, .tp_frame_nr = FRAMES,
        .tp_retire_blk_tov = version == 3 && option == PACKET_RX_RING ? RETIRE : 0,
    };
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        /* With 0 a sender gets nothing, and the kernel looks into its frames. */
        .sll_protocol = htons(option == PACKET_RX_RING ? ETH_P_ALL :
                              type == SOCK_DGRAM ? ETH_P_IP : 0),
        .sll_ifindex = if_nametoindex("lo"),
    };
    int on = 1;

    ring->fd = socket(AF_PACKET, type, 0);
    ring->version = version;
    ring->type = type;
    ring->more = more;
    ring->next = 0;
    CHECK(ring->fd >= 0);
    set_option(ring->fd, PACKET_VERSION, &versions[version], sizeof(int));
    if (more) {
        set_option(ring->fd, more, &on, sizeof(on));
    }
    set_option(ring->fd, option, &request,
               version == 3 ? sizeof(request) : sizeof(struct tpacket_req));
    ring->memory = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    CHECK(ring->memory != MAP_FAILED);
    CHECK(bind(ring->fd, (void *)&address, sizeof(address)) == 0);
}

static void ring_close(struct packet_ring *ring)
{
    CHECK(munmap(ring->memory, BLOCKS * BLOCK) == 0 && close(ring->fd) == 0);
}

static uint8_t *frame(struct packet_ring *ring, unsigned number)
{
    return ring->memory + number % FRAMES * FRAME;
}

/* ---- frames ---- */

struct packet {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[PAYLOAD];
} __attribute__((packed));

static uint16_t folded(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return ~(sum + (sum >> 16));
}

static uint32_t sum_of(const void *from, size_t length, uint32_t sum)
{
    const uint8_t *p = from;

    for (size_t i = 0; i < length; i++) {
        sum += i % 2 ? p[i] : p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static void fill_payload(uint8_t *payload, unsigned number)
{
    for (unsigned i = 0; i < PAYLOAD; i++) {
        payload[i] = number * 7 + i * 13;
    }
}

/* A datagram as the kernel would send it, with checksums that it verifies. */
static void make_packet(struct packet *packet, unsigned number)
{
    uint32_t sum;

    memset(packet, 0, sizeof(*packet));
    packet->ethernet.h_proto = htons(ETH_P_IP);
    packet->ip.version = 4;
    packet->ip.ihl = 5;
    packet->ip.ttl = 64;
    packet->ip.protocol = IPPROTO_UDP;
    packet->ip.tot_len = htons(sizeof(*packet) - sizeof(packet->ethernet));
    packet->ip.saddr = packet->ip.daddr = htonl(INADDR_LOOPBACK);
    packet->ip.check = htons(folded(sum_of(&packet->ip, sizeof(packet->ip), 0)));
    packet->udp.source = htons(PORT + 1);
    packet->udp.dest = htons(PORT);
    packet->udp.len = htons(sizeof(packet->udp) + PAYLOAD);
    fill_payload(packet->payload, number);
    sum = sum_of(&packet->ip.saddr, 8, IPPROTO_UDP + sizeof(packet->udp) + PAYLOAD);
    packet->udp.check = htons(folded(sum_of(&packet->udp, sizeof(packet->udp) + PAYLOAD, sum)));
}

/* 1 if this is the datagram of that number as it arrives (others are seen on their way out). */
static int is_arrival(const uint8_t *from, const struct sockaddr_ll *link, unsigned length,
                      unsigned number)
{
    const struct packet *packet = (const void *)from;
    uint8_t expected[PAYLOAD];

    if (link->sll_pkttype != PACKET_HOST || length != sizeof(*packet)) {
        return 0;
    }
    fill_payload(expected, number);
    CHECK(packet->udp.dest == htons(PORT) && !memcmp(packet->payload, expected, PAYLOAD));
    return 1;
}

/* ---- receiving ---- */

static void wait_for(struct packet_ring *ring)
{
    struct pollfd wanted = { .fd = ring->fd, .events = POLLIN };

    CHECK(poll(&wanted, 1, 10000) == 1);
}

static unsigned take_v1(struct packet_ring *ring, unsigned number)
{
    struct tpacket_hdr *header = (void *)frame(ring, ring->next);
    unsigned found;

    if (!(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
        wait_for(ring);
        return 0;
    }
    found = is_arrival((uint8_t *)header + header->tp_mac,
                       (void *)((uint8_t *)header + TPACKET_ALIGN(sizeof(*header))),
                       header->tp_snaplen, number);
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->next++;
    return found;
}

static unsigned take_v2(struct packet_ring *ring, unsigned number)
{
    struct tpacket2_hdr *header = (void *)frame(ring, ring->next);
    unsigned found;

    if (!(__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
        wait_for(ring);
        return 0;
    }
    found = is_arrival((uint8_t *)header + header->tp_mac,
                       (void *)((uint8_t *)header + TPACKET_ALIGN(sizeof(*header))),
                       header->tp_snaplen, number);
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->next++;
    return found;
}

/* A block has any number of packets. */
static unsigned take_v3(struct packet_ring *ring, unsigned number)
{
    struct tpacket_block_desc *block = (void *)(ring->memory + ring->next % BLOCKS * BLOCK);
    unsigned found = 0;
    uint8_t *at;

    if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
        wait_for(ring);
        return 0;
    }
    at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    for (unsigned i = 0; i < block->hdr.bh1.num_pkts; i++) {
        struct tpacket3_hdr *header = (void *)at;

        found += is_arrival(at + header->tp_mac, (void *)(at + TPACKET_ALIGN(sizeof(*header))),
                            header->tp_snaplen, number + found);
        at += header->tp_next_offset;
    }
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->next++;
    return found;
}

static void send_datagrams(unsigned from, unsigned to)
{
    struct sockaddr_in address = local_address();
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t payload[PAYLOAD];

    CHECK(fd >= 0);
    for (unsigned i = from; i < to; i++) {
        fill_payload(payload, i);
        CHECK(sendto(fd, payload, PAYLOAD, 0, (void *)&address, sizeof(address)) == PAYLOAD);
    }
    CHECK(close(fd) == 0);
}

/*
 * In small groups, so that no ring is too small for them: each datagram is seen twice, and with
 * version 3 each of these may have a block of its own, if it comes late.
 */
static void receive(int version)
{
    static unsigned (*const take[])(struct packet_ring *, unsigned) = {
        NULL, take_v1, take_v2, take_v3
    };
    struct tpacket_stats_v3 statistics;
    socklen_t length = sizeof(statistics);
    struct packet_ring ring;
    int socket = receiver();

    ring_open(&ring, SOCK_RAW, version, PACKET_RX_RING, 0);
    for (unsigned done = 0; done < DATAGRAMS; ) {
        unsigned group = done + (version == 3 ? BLOCKS / 2 : 5);

        send_datagrams(done, group);
        while (done < group) {
            done += take[version](&ring, done);
        }
    }
    CHECK(getsockopt(ring.fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0);
    CHECK(statistics.tp_packets >= DATAGRAMS && statistics.tp_drops == 0);
    ring_close(&ring);
    CHECK(close(socket) == 0);
}

static void receive_v1(void)
{
    receive(1);
}

static void receive_v2(void)
{
    receive(2);
}

static void receive_v3(void)
{
    receive(3);
}

/* More than there is room for, and nobody who takes it: then some of it, then more. */
static void full(int version)
{
    struct tpacket_stats_v3 statistics;
    socklen_t length = sizeof(statistics);
    struct packet_ring ring;

    ring_open(&ring, SOCK_RAW, version, PACKET_RX_RING, 0);
    send_datagrams(0, 2 * FRAMES);
    if (version == 3) {
        struct tpacket_block_desc *block = (void *)ring.memory;

        CHECK(block->hdr.bh1.block_status & TP_STATUS_USER);
        block->hdr.bh1.block_status = TP_STATUS_KERNEL;
    } else {
        struct tpacket2_hdr *header = (void *)ring.memory;

        CHECK(header->tp_status & TP_STATUS_USER);
        header->tp_status = TP_STATUS_KERNEL;
    }
    send_datagrams(0, 2 * FRAMES);
    CHECK(getsockopt(ring.fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0);
    CHECK(statistics.tp_drops > 0);
    ring_close(&ring);
}

static void full_v2(void)
{
    full(2);
}

static void full_v3(void)
{
    full(3);
}

/* ---- sending ---- */

/* Puts a packet into the frame where the kernel looks for it, which can be told. */
static void put_frame(struct packet_ring *ring, unsigned number)
{
    unsigned skipped = ring->type == SOCK_DGRAM ? sizeof(struct ethhdr) : 0;
    unsigned before = ring->more == PACKET_VNET_HDR ? sizeof(struct virtio_net_hdr) : 0;
    unsigned length = before + sizeof(struct packet) - skipped;
    unsigned offset = TPACKET_ALIGN(ring->version == 1 ? sizeof(struct tpacket_hdr) :
                                    ring->version == 2 ? sizeof(struct tpacket2_hdr) :
                                    sizeof(struct tpacket3_hdr)) +
                      (ring->more == PACKET_TX_HAS_OFF ? 100 : 0);
    uint8_t *at = frame(ring, ring->next);
    struct packet packet;

    make_packet(&packet, number);
    memset(at + offset, 0, before);
    memcpy(at + offset + before, (uint8_t *)&packet + skipped, sizeof(packet) - skipped);
    if (ring->version == 1) {
        struct tpacket_hdr *header = (void *)at;

        header->tp_len = length;
        header->tp_mac = header->tp_net = offset;
        __atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    } else if (ring->version == 2) {
        struct tpacket2_hdr *header = (void *)at;

        header->tp_len = length;
        header->tp_mac = header->tp_net = offset;
        __atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    } else {
        struct tpacket3_hdr *header = (void *)at;

        header->tp_len = length;
        header->tp_mac = header->tp_net = offset;
        header->tp_next_offset = 0;
        __atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    }
    ring->next++;
}

static void transmit(int type, int version, int more)
{
    uint8_t got[2 * PAYLOAD], expected[PAYLOAD];
    struct packet_ring ring;
    int socket = receiver();

    ring_open(&ring, type, version, PACKET_TX_RING, more);
    for (unsigned sent = 0; sent < 2 * FRAMES; ) {
        unsigned group = sent + 4;

        for (unsigned i = sent; i < group; i++) {
            put_frame(&ring, i);
        }
        CHECK(send(ring.fd, NULL, 0, 0) > 0);
        for (; sent < group; sent++) {
            CHECK(recv(socket, got, sizeof(got), 0) == PAYLOAD);
            fill_payload(expected, sent);
            CHECK(!memcmp(got, expected, PAYLOAD));
        }
    }
    ring_close(&ring);
    CHECK(close(socket) == 0);
}

static void transmit_v1(void)
{
    transmit(SOCK_RAW, 1, 0);
    transmit(SOCK_RAW, 1, PACKET_TX_HAS_OFF);
    transmit(SOCK_DGRAM, 1, PACKET_TX_HAS_OFF);
}

static void transmit_v2(void)
{
    transmit(SOCK_RAW, 2, 0);
    transmit(SOCK_RAW, 2, PACKET_TX_HAS_OFF);
    transmit(SOCK_DGRAM, 2, PACKET_TX_HAS_OFF);
}

static void transmit_v3(void)
{
    transmit(SOCK_RAW, 3, 0);
    transmit(SOCK_RAW, 3, PACKET_TX_HAS_OFF);
    transmit(SOCK_DGRAM, 3, PACKET_TX_HAS_OFF);
}

static void transmit_headers(void)
{
    transmit(SOCK_RAW, 2, PACKET_VNET_HDR);
}

/* ---- rings that change under the kernel's eyes ---- */

static struct packet_ring scribbled;
static uint32_t scribbled_limit;
static atomic_int scribbling;

/* Into the headers of frames and blocks; every other time what the kernel looks for. No length
 * is so large that the kernel complains about each. */
static void *scribble(void *argument)
{
    uint64_t seed = 1;

    (void)argument;
    while (atomic_load(&scribbling)) {
        uint8_t *at = frame(&scribbled, seed >> 58);

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        *(volatile uint32_t *)(at + (seed >> 50) % 12 * 4) = (seed >> 33) % scribbled_limit;
        *(volatile uint32_t *)at = (seed >> 40) % 2;
        *(volatile uint32_t *)(at + 8) = (seed >> 41) % 2;
        *(volatile uint32_t *)(at + 20) = (seed >> 42) % 2;
    }
    return NULL;
}

static void scribbles(int version, int option)
{
    struct pollfd wanted = { .events = POLLIN | POLLOUT };
    int socket = receiver();
    uint8_t got[2 * PAYLOAD];
    pthread_t thread;

    scribbled_limit = option == PACKET_RX_RING ? UINT32_MAX : 3 * PAYLOAD;
    ring_open(&scribbled, SOCK_RAW, version, option, option == PACKET_TX_RING ? PACKET_LOSS : 0);
    wanted.fd = scribbled.fd;
    atomic_store(&scribbling, 1);
    CHECK(pthread_create(&thread, NULL, scribble, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        if (option == PACKET_RX_RING) {
            send_datagrams(0, 10);
        } else {
            for (unsigned j = 0; j < 10; j++) {
                put_frame(&scribbled, j);
                send(scribbled.fd, NULL, 0, MSG_DONTWAIT);
            }
        }
        CHECK(poll(&wanted, 1, 1) >= 0);
        while (recv(socket, got, sizeof(got), MSG_DONTWAIT) >= 0) {
        }
    }
    atomic_store(&scribbling, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    ring_close(&scribbled);
    CHECK(close(socket) == 0);
}

static void scribbles_v2(void)
{
    scribbles(2, PACKET_RX_RING);
}

static void scribbles_v3(void)
{
    scribbles(3, PACKET_RX_RING);
}

static void scribbles_transmit(void)
{
    scribbles(2, PACKET_TX_RING);
}

/* ---- */

static const struct part parts[] = {
    { "receive_v1", receive_v1 }, { "receive_v2", receive_v2 }, { "receive_v3", receive_v3 },
    { "full_v2", full_v2 }, { "full_v3", full_v3 }, { "transmit_v1", transmit_v1 },
    { "transmit_v2", transmit_v2 }, { "transmit_v3", transmit_v3 },
    { "transmit_headers", transmit_headers }, { "scribbles_v2", scribbles_v2 },
    { "scribbles_v3", scribbles_v3 }, { "scribbles_transmit", scribbles_transmit },
    { NULL, NULL }
};

int main(int argc, char **argv)
{
    loopback_takes_all();
    run_parts("packet_rings", parts, argc, argv);
    return 0;
}
