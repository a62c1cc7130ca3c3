/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr verify: checks everything in a trace that can be checked without replaying it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "../error.h"

static bool take_chunk(const KrrChunkInfo *info, void *opaque, GError **errp)
{
    (void)info;
    (void)errp;
    ++*(uint64_t *)opaque;
    return true;
}

static bool take_ram(uint64_t address, const void *data, size_t length, void *opaque, GError **errp)
{
    (void)address;
    (void)data;
    (void)errp;
    *(uint64_t *)opaque += length;
    return true;
}

static bool compare_stats(KrrReader *r, const KrrStats *counted, GError **errp)
{
    const KrrStats *stored = krr_reader_stats(r);

    if (stored && (memcmp(stored->records, counted->records, sizeof(stored->records)) ||
                   memcmp(stored->bytes, counted->bytes, sizeof(stored->bytes)) ||
                   memcmp(stored->vectors, counted->vectors, sizeof(stored->vectors)) ||
                   stored->console_bytes != counted->console_bytes)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT,
                    "%s: the stored statistics are not those of the records", krr_reader_path(r));
        return false;
    }
    return true;
}

/* Records all over the trace must be found by the index, the last one too. */
static bool check_seek(KrrReader *r, GError **errp)
{
    uint64_t count = krr_reader_count(r), places = MIN(count, 16);

    for (uint64_t i = 1; i <= places; i++) {
        uint64_t number = count / places * i - 1;

        if (!krr_reader_seek(r, number, errp) || !krr_reader_peek(r, errp)) {
            return false;
        }
    }
    return true;
}

static bool verify(KrrReader *r, GError **errp)
{
    uint64_t chunks = 0, ram = 0, final_ram = 0;
    KrrStats *counted = g_new0(KrrStats, 1);
    bool good = krr_reader_ram(r, false, take_ram, &ram, errp) && tool_count(r, counted, errp);

    printf("%s: the first %" PRIu64 " records are good\n", krr_reader_path(r),
           krr_reader_position(r));
    good = good && check_seek(r, errp) && compare_stats(r, counted, errp);
    g_free(counted);
    if (!good ||
        (krr_reader_has_final_ram(r) && !krr_reader_ram(r, true, take_ram, &final_ram, errp)) ||
        !krr_reader_chunks(r, true, take_chunk, &chunks, errp)) {
        return false;
    }
    if (!krr_reader_complete(r)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s", krr_reader_damage(r));
        return false;
    }
    printf("%s: good: %" PRIu64 " chunks, %" PRIu64 " MiB of memory at the start, %" PRIu64
           " MiB at the end\n", krr_reader_path(r), chunks, ram >> 20, final_ram >> 20);
    return true;
}

static int run(int argc, char **argv)
{
    const GOptionEntry entries[] = { { NULL, 0, 0, 0, NULL, NULL, NULL } };
    const char *path = tool_parse(argc, argv, entries, command_verify.summary);
    GError *error = NULL;
    KrrReader *r;
    int status;

    if (!path) {
        return TOOL_USAGE;
    }
    r = krr_reader_open(path, &error);
    status = r && verify(r, &error) ? TOOL_OK : tool_error(error);
    krr_reader_free(r);
    return status;
}

const Command command_verify = {
    "verify", "Check structure, checksums and records", run
};
