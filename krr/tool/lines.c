/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "lines.h"
#include "tool.h"

/* addr2line's output, or NULL. */
static char *run_addr2line(const char *vmlinux, const GArray *addresses)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    char *output = NULL;
    GError *error = NULL;
    int status = 0;

    g_ptr_array_add(argv, g_strdup("addr2line"));
    g_ptr_array_add(argv, g_strdup("--inlines"));
    g_ptr_array_add(argv, g_strdup("--addresses"));
    g_ptr_array_add(argv, g_strconcat("--exe=", vmlinux, NULL));
    for (guint i = 0; i < addresses->len; i++) {
        g_ptr_array_add(argv, g_strdup_printf("0x%" PRIx64,
                                              g_array_index(addresses, uint64_t, i)));
    }
    g_ptr_array_add(argv, NULL);
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output, NULL,
                      &status, &error)) {
        tool_message("no source lines: cannot run addr2line (package binutils): %s",
                     error->message);
        g_error_free(error);
    } else if (status) {
        tool_message("no source lines: addr2line fails with %s", vmlinux);
        g_clear_pointer(&output, g_free);
    }
    g_ptr_array_free(argv, TRUE);
    return output;
}

/* "FILE:LINE" without what addr2line may add, or NULL for what it does not know. */
static char *place(const char *line)
{
    const char *colon = strrchr(line, ':');

    if (!colon || !g_ascii_isdigit(colon[1]) || colon[1] == '0' || line[0] == '?') {
        return NULL;
    }
    return g_strndup(line, strcspn(line, " "));
}

/* An address begins with 0x; the lines behind it go from the innermost function outwards. */
static GPtrArray *parse(const char *output, guint count)
{
    GPtrArray *places = g_ptr_array_new_with_free_func(g_free);
    char **lines = g_strsplit(output, "\n", -1);
    guint known = 0;

    g_ptr_array_set_size(places, count);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "0x")) {
            known++;
        } else if (**line && known > 0 && known <= count) {
            g_free(places->pdata[known - 1]);
            places->pdata[known - 1] = place(*line);
        }
    }
    g_strfreev(lines);
    return places;
}

/* How long the path of the folder is that all places lie in. */
static size_t common_folder(const GPtrArray *places)
{
    const char *first = NULL;
    size_t length = 0;

    for (guint i = 0; i < places->len; i++) {
        const char *p = places->pdata[i];

        if (p && !first) {
            first = p;
            length = strlen(p);
        }
        for (size_t n = 0; p && n < length; n++) {
            if (p[n] != first[n]) {
                length = n;
            }
        }
    }
    while (length && first[length - 1] != '/') {
        length--;
    }
    return length;
}

GPtrArray *lines_read(const char *vmlinux, const GArray *addresses)
{
    char *output = run_addr2line(vmlinux, addresses);
    GPtrArray *places;
    size_t common;

    if (!output) {
        return NULL;
    }
    places = parse(output, addresses->len);
    common = common_folder(places);
    for (guint i = 0; i < places->len; i++) {
        char *p = places->pdata[i];

        if (p) {
            memmove(p, p + common, strlen(p + common) + 1);
        }
    }
    g_free(output);
    return places;
}
