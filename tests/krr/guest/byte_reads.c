/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A measure: 100,000 one-byte reads of /dev/zero, printing the seconds that they took. */
#include <fcntl.h>

#include "check.h"

#define READS 100000

int main(void)
{
    int fd = open("/dev/zero", O_RDONLY);
    double start;
    char byte;

    CHECK(fd >= 0);
    start = check_now();
    for (int i = 0; i < READS; i++) {
        CHECK(read(fd, &byte, 1) == 1);
    }
    printf("byte_reads: %d in %.3f s\n", READS, check_now() - start);
    return 0;
}
