/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forks and executes 200 processes (itself) that answer by exit status. */
#include "check.h"

#define PROCESSES 200

int main(int argc, char **argv)
{
    if (argc == 2) {
        return atoi(argv[1]) % 100;
    }
    for (int i = 0; i < PROCESSES; i++) {
        char number[16];
        pid_t pid = check_fork();

        if (pid == 0) {
            snprintf(number, sizeof(number), "%d", i);
            execl("/proc/self/exe", argv[0], number, NULL);
            _exit(255);
        }
        check_wait(pid, i % 100);
    }
    printf("fork_exec: %d processes\n", PROCESSES);
    return 0;
}
