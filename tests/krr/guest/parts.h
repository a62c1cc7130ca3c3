/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that consist of parts, each of which can be run alone. */
#ifndef KRR_TEST_PARTS_H
#define KRR_TEST_PARTS_H

#include "check.h"

struct part {
    const char *name;
    void (*run)(void);
};

static inline int part_is_wanted(const struct part *part, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], part->name)) {
            return 1;
        }
    }
    return argc == 1;
}

/* Runs the parts that the arguments name, all of them without arguments, and says so. The last part
 * has no name. */
static inline void run_parts(const char *program, const struct part *parts, int argc, char **argv)
{
    int done = 0;

    for (; parts->name; parts++) {
        if (part_is_wanted(parts, argc, argv)) {
            parts->run();
            printf("%s: %s\n", program, parts->name);
            fflush(NULL);
            done++;
        }
    }
    CHECK(done >= argc - 1 && done > 0);
}

#endif
