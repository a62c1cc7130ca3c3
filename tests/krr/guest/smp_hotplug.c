/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking a CPU away is refused while the kernel is recorded (EBUSY), as often as it is asked for,
 * and the CPU goes on as if nothing had happened.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "smp.h"

static int is_online(const char *path)
{
    char state = 0;
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0 && read(fd, &state, 1) == 1 && close(fd) == 0);
    return state == '1';
}

static void try_offline(int number)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", smp_cpu(number));
    CHECK(is_online(path));
    fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    CHECK(write(fd, "0", 1) < 0 && errno == EBUSY);
    CHECK(close(fd) == 0);
    CHECK(is_online(path));
    smp_pin(number);
}

int main(void)
{
    smp_init();
    for (int round = 0; round < 3; round++) {
        /* The first CPU cannot be asked for. */
        for (int i = 1; i < smp_count; i++) {
            try_offline(i);
        }
    }
    printf("smp_hotplug: %d CPUs stay\n", smp_count);
    return 0;
}
