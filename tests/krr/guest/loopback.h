/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KRR_TEST_LOOPBACK_H
#define KRR_TEST_LOOPBACK_H

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "check.h"

/* Brings the loopback interface up. */
static inline void loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0 && close(fd) == 0);
}

#endif
