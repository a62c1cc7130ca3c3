/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loopback sockets: TCP with epoll and sendfile, UDP, and a Unix socket pair that passes a file. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "check.h"

#define CLIENTS 4
#define FILE_SIZE (256 * 1024)

static struct sockaddr_in bound_address(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return address;
}

static int bind_loopback(int type)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, type, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static int patterned_file(void)
{
    int fd = memfd_create("pattern", MFD_CLOEXEC);
    uint8_t buffer[4096];

    CHECK(fd >= 0);
    for (int i = 0; i < FILE_SIZE; i += sizeof(buffer)) {
        for (size_t j = 0; j < sizeof(buffer); j++) {
            buffer[j] = (i + j) * 13 >> 4;
        }
        CHECK(write(fd, buffer, sizeof(buffer)) == sizeof(buffer));
    }
    return fd;
}

/* Asks for the file by one byte and checks every byte of the answer. */
static void client(struct sockaddr_in server)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t buffer[3000];
    size_t at = 0;
    ssize_t got;

    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0);
    CHECK(send(fd, "?", 1, 0) == 1);
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        for (ssize_t i = 0; i < got; i++, at++) {
            CHECK(buffer[i] == (uint8_t)(at * 13 >> 4));
        }
    }
    CHECK(got == 0 && at == FILE_SIZE);
    _exit(0);
}

static void send_whole_file(int to, int file)
{
    off_t offset = 0;

    while (offset < FILE_SIZE) {
        CHECK(sendfile(to, file, &offset, FILE_SIZE - offset) > 0);
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void tcp(void)
{
    int listener = bind_loopback(SOCK_STREAM), epoll = epoll_create1(0), file = patterned_file();
    int served = 0;
    pid_t clients[CLIENTS];

    CHECK(listen(listener, CLIENTS) == 0 && epoll >= 0);
    watch(epoll, listener);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = check_fork();
        if (clients[i] == 0) {
            client(bound_address(listener));
        }
    }
    while (served < CLIENTS) {
        struct epoll_event event;
        char question;

        CHECK(epoll_wait(epoll, &event, 1, 10000) == 1);
        if (event.data.fd == listener) {
            int fd = accept(listener, NULL, NULL);

            CHECK(fd >= 0);
            watch(epoll, fd);
            continue;
        }
        CHECK(recv(event.data.fd, &question, 1, 0) == 1 && question == '?');
        send_whole_file(event.data.fd, file);
        CHECK(close(event.data.fd) == 0);
        served++;
    }
    for (int i = 0; i < CLIENTS; i++) {
        check_wait(clients[i], 0);
    }
    close(epoll);
    close(listener);
    close(file);
}

static void udp(void)
{
    int a = bind_loopback(SOCK_DGRAM), b = bind_loopback(SOCK_DGRAM);
    struct sockaddr_in to = bound_address(b), from;
    socklen_t length = sizeof(from);
    char buffer[2000];

    for (int size = 1; size < 1500; size += 97) {
        memset(buffer, size, size);
        CHECK(sendto(a, buffer, size, 0, (struct sockaddr *)&to, sizeof(to)) == size);
        memset(buffer, 0, sizeof(buffer));
        CHECK(recvfrom(b, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length) == size);
        CHECK(buffer[size - 1] == (char)size);
        CHECK(from.sin_port == bound_address(a).sin_port);
    }
    close(a);
    close(b);
}

/* Sends an open file to a child, which reads it. */
static void unix_pass_file(void)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    char byte = 'x';
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof(control) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int pair[2], file = patterned_file();
    pid_t pid;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid = check_fork();
    if (pid == 0) {
        uint8_t first[16];
        int got;

        CHECK(recvmsg(pair[1], &message, 0) == 1);
        header = CMSG_FIRSTHDR(&message);
        CHECK(header && header->cmsg_type == SCM_RIGHTS);
        memcpy(&got, CMSG_DATA(header), sizeof(got));
        CHECK(pread(got, first, sizeof(first), 4096) == sizeof(first));
        CHECK(first[1] == (uint8_t)(4097 * 13 >> 4));
        _exit(0);
    }
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &file, sizeof(file));
    CHECK(sendmsg(pair[0], &message, 0) == 1);
    check_wait(pid, 0);
}

int main(void)
{
    tcp();
    udp();
    unix_pass_file();
    printf("sockets: done\n");
    return 0;
}
