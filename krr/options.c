/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <unistd.h>
#include <linux/krr.h>

#include "error.h"
#include "options.h"

typedef struct Option {
    const char *name;
    KrrMode mode;               /* the mode that it belongs to */
    bool (*set)(KrrOptions *options, const char *name, const char *value, GError **errp);
} Option;

static bool bad(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool bad(GError **errp, const char *format, ...)
{
    char *text;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error(errp, KRR_ERROR, KRR_ERROR_OPTION, "-krr: %s", text);
    g_free(text);
    return false;
}

static bool set_path(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    if (!*value) {
        return bad(errp, "%s= needs the name of a trace file", name);
    }
    if (options->mode != KRR_MODE_NONE) {
        return bad(errp, "'record' and 'replay' exclude each other");
    }
    options->mode = !strcmp(name, "record") ? KRR_MODE_RECORD : KRR_MODE_REPLAY;
    options->path = g_strdup(value);
    return true;
}

static bool parse_bool(const char *name, const char *value, bool *result, GError **errp)
{
    if (strcmp(value, "on") && strcmp(value, "off")) {
        return bad(errp, "%s=%s: allowed are 'on' and 'off'", name, value);
    }
    *result = !strcmp(value, "on");
    return true;
}

static bool set_start(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    if (strcmp(value, "boot") && strcmp(value, "manual")) {
        return bad(errp, "%s=%s: allowed are 'boot' and 'manual'", name, value);
    }
    options->start_boot = !strcmp(value, "boot");
    return true;
}

/* Bytes with an optional K, M or G; 0 when it is no such number. */
static uint64_t parse_size(const char *value)
{
    static const char units[] = "KMG";
    const char *unit;
    uint64_t size = 0;

    if (!g_ascii_isdigit(*value)) {
        return 0;
    }
    for (; g_ascii_isdigit(*value); value++) {
        size = size * 10 + (*value - '0');
        if (size > KRR_RING_MAX) {
            return 0;
        }
    }
    unit = *value ? strchr(units, g_ascii_toupper(*value)) : NULL;
    if (unit) {
        size <<= 10 * (unit - units + 1);
        value++;
    }
    return *value ? 0 : size;
}

static bool set_ring(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    uint64_t size = parse_size(value);

    if (size < KRR_RING_MIN || size > KRR_RING_MAX || (size & (size - 1))) {
        return bad(errp, "%s=%s: allowed are powers of two from %uK to %uM, such as %s=%uM", name,
                   value, KRR_RING_MIN >> 10, KRR_RING_MAX >> 20, name, KRR_RING_DEFAULT >> 20);
    }
    options->ring_size = size;
    return true;
}

static bool set_final_ram(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    return parse_bool(name, value, &options->final_ram, errp);
}

static bool set_exit(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    return parse_bool(name, value, &options->exit_at_end, errp);
}

static bool set_progress(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    return parse_bool(name, value, &options->progress, errp);
}

static bool set_strict(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    return parse_bool(name, value, &options->strict, errp);
}

static bool set_noise(KrrOptions *options, const char *name, const char *value, GError **errp)
{
    static const struct { const char *name; unsigned kinds; } known[] = {
        { "flags", KRR_NOISE_FLAGS }, { "faults", KRR_NOISE_FAULTS },
        { "accessed", KRR_NOISE_ACCESSED }, { "evict", KRR_NOISE_EVICT },
        { "xinuse", KRR_NOISE_XINUSE }, { "all", KRR_NOISE_ALL },
    };
    g_auto(GStrv) kinds = g_strsplit(*value ? value : " ", "+", -1);

    for (char **kind = kinds; *kind; kind++) {
        unsigned i = 0;

        while (i < G_N_ELEMENTS(known) && strcmp(known[i].name, *kind)) {
            i++;
        }
        if (i == G_N_ELEMENTS(known)) {
            return bad(errp, "%s=%s: allowed are flags, faults, accessed, evict, xinuse with '+' "
                       "between them, and all", name, value);
        }
        options->noise |= known[i].kinds;
    }
    return true;
}

static const Option table[] = {
    { "record", KRR_MODE_RECORD, set_path },
    { "replay", KRR_MODE_REPLAY, set_path },
    { "start", KRR_MODE_RECORD, set_start },
    { "ring", KRR_MODE_RECORD, set_ring },
    { "final-ram", KRR_MODE_RECORD, set_final_ram },
    { "exit", KRR_MODE_REPLAY, set_exit },
    { "progress", KRR_MODE_REPLAY, set_progress },
    { "strict", KRR_MODE_REPLAY, set_strict },
    { "noise", KRR_MODE_NONE, set_noise },
};

static int find_option(const char *name, size_t length)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        if (strlen(table[i].name) == length && !memcmp(table[i].name, name, length)) {
            return i;
        }
    }
    return -1;
}

/* Takes the next item off *text; doubled commas become one. */
static char *next_item(const char **text)
{
    GString *item = g_string_new(NULL);
    const char *p = *text;

    for (; *p; p++) {
        if (*p == ',' && *++p != ',') {
            *text = p;
            return g_string_free(item, FALSE);
        }
        g_string_append_c(item, *p);
    }
    *text = NULL;
    return g_string_free(item, FALSE);
}

static bool parse_item(KrrOptions *options, const char *item, unsigned *seen, GError **errp)
{
    const char *equals = strchr(item, '=');
    size_t length = equals ? (size_t)(equals - item) : strlen(item);
    int i = find_option(item, length);

    if (i < 0) {
        return bad(errp, "unknown option '%.*s'; allowed are record, start, ring, final-ram or "
                   "replay, exit, progress, strict or noise%s", (int)length, item,
                   options->path ? " (a comma in a file name is written twice)" : "");
    }
    if (!equals) {
        return bad(errp, "option '%s' needs a value: %s=...", item, item);
    }
    if (*seen >> i & 1) {
        return bad(errp, "option '%s' is given twice", table[i].name);
    }
    *seen |= 1u << i;
    return table[i].set(options, table[i].name, equals + 1, errp);
}

static bool check_modes(const KrrOptions *options, unsigned seen, GError **errp)
{
    if (options->mode == KRR_MODE_NONE && !options->noise) {
        return bad(errp, "record=FILE or replay=FILE is missing");
    }
    if (options->mode == KRR_MODE_REPLAY && options->noise) {
        return bad(errp, "a replay is without 'noise'");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        if ((seen >> i & 1) && table[i].mode != KRR_MODE_NONE && table[i].mode != options->mode) {
            return bad(errp, "option '%s' only goes with '%s'", table[i].name,
                       table[i].mode == KRR_MODE_RECORD ? "record" : "replay");
        }
    }
    return true;
}

KrrOptions *krr_options_parse(const char *text, GError **errp)
{
    KrrOptions *options = g_new0(KrrOptions, 1);
    unsigned seen = 0;
    bool good = true;

    options->ring_size = KRR_RING_DEFAULT;
    options->progress = isatty(STDERR_FILENO);
    while (text && good) {
        char *item = next_item(&text);

        good = parse_item(options, item, &seen, errp);
        g_free(item);
    }
    if (!good || !check_modes(options, seen, errp)) {
        krr_options_free(options);
        return NULL;
    }
    return options;
}

void krr_options_free(KrrOptions *options)
{
    if (options) {
        g_free(options->path);
        g_free(options);
    }
}
