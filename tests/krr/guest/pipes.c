/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves 4 MB through a chain of three processes by pipes, with write sizes that vary. */
#include "check.h"

#define TOTAL (4 << 20)

static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return *state >> 8;
}

/* Passes everything from one pipe to the other, adding 1 to each byte. */
static void filter(int in, int out)
{
    unsigned char buffer[3000];
    ssize_t got;

    while ((got = read(in, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            buffer[i]++;
        }
        for (ssize_t done = 0, n; done < got; done += n) {
            n = write(out, buffer + done, got - done);
            CHECK(n > 0);
        }
    }
    CHECK(got == 0);
    _exit(0);
}

static void produce(int out)
{
    unsigned char buffer[5000];
    unsigned state = 1;

    for (size_t sent = 0; sent < TOTAL;) {
        size_t size = 1 + next_random(&state) % sizeof(buffer);

        if (size > TOTAL - sent) {
            size = TOTAL - sent;
        }
        for (size_t i = 0; i < size; i++) {
            buffer[i] = (sent + i) * 7;
        }
        for (size_t done = 0; done < size;) {
            ssize_t n = write(out, buffer + done, size - done);

            CHECK(n > 0);
            done += n;
        }
        sent += size;
    }
    _exit(0);
}

int main(void)
{
    unsigned char buffer[4096];
    int first[2], second[2];
    pid_t producer, filterer;
    size_t received = 0;
    ssize_t got;

    CHECK(pipe(first) == 0 && pipe(second) == 0);
    producer = check_fork();
    if (producer == 0) {
        produce(first[1]);
    }
    filterer = check_fork();
    if (filterer == 0) {
        close(first[1]);
        close(second[0]);
        filter(first[0], second[1]);
    }
    close(first[0]);
    close(first[1]);
    close(second[1]);
    while ((got = read(second[0], buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < got; i++, received++) {
            CHECK(buffer[i] == (unsigned char)(received * 7 + 1));
        }
    }
    CHECK(got == 0 && received == TOTAL);
    check_wait(producer, 0);
    check_wait(filterer, 0);
    printf("pipes: %zu bytes\n", received);
    return 0;
}
