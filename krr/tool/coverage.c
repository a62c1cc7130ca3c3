/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * krr stats --coverage: the hook sites of a kernel, and how many records came from each of them
 * in one trace or several.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coverage.h"
#include "json.h"
#include "lines.h"
#include "sites.h"
#include "symbols.h"
#include "tool.h"
#include "../error.h"

/* What traces say of a site. */
typedef enum State {
    EXERCISED,
    NEVER,
    UNKNOWN,                    /* no record, but the hook does not always write one */
    BOOT,                       /* runs only before a recording can begin */
    STATES
} State;

static const char *const state_names[STATES] = { "exercised", "never", "unknown", "boot" };

typedef struct Coverage {
    const char *vmlinux;
    char **traces;
    Symbols *symbols;
    Sites *sites;
    uint64_t *records;          /* by site */
    GPtrArray *lines;           /* by site, or NULL */
    uint64_t elsewhere;         /* records from sites in modules */
} Coverage;

static State state_of(const Coverage *c, unsigned index)
{
    const Site *site = sites_get(c->sites, index);

    if (c->records[index]) {
        return EXERCISED;
    }
    if (site->boot) {
        return BOOT;
    }
    return site_always_writes(site->hook) ? NEVER : UNKNOWN;
}

/* ---- counting ---- */

/* Records of QEMU's have no call site. */
static bool has_site(const struct krr_record *record)
{
    KrrPayload payload = krr_kind(record->kind)->payload;

    return record->site && payload != KRR_PAYLOAD_IO && payload != KRR_PAYLOAD_DMA;
}

/* False: it comes from the kernel's own code, but from no hook that there is. */
static bool count_record(Coverage *c, const struct krr_record *record)
{
    uint64_t address = symbols_call_address(record->site) - symbols_offset(c->symbols);
    int index = sites_find(c->sites, address);

    if (index >= 0 && site_writes(sites_get(c->sites, index)->hook, record->kind)) {
        c->records[index]++;
    } else if (address >= c->sites->start && address <= c->sites->end) {
        return false;
    } else {
        c->elsewhere++;
    }
    return true;
}

static bool count_records(Coverage *c, KrrReader *r, GError **errp)
{
    const struct krr_record *record;
    GError *error = NULL;

    while ((record = krr_reader_peek(r, &error))) {
        if (has_site(record) && !count_record(c, record)) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT,
                        "%s: record %" PRIu64 " (%s) comes from 0x%" PRIx64 ", where %s has no "
                        "such hook: damaged, or of another kernel", krr_reader_path(r),
                        krr_reader_position(r), krr_kind_name(record->kind),
                        symbols_call_address(record->site), c->vmlinux);
            return false;
        }
        krr_reader_next(r);
    }
    if (error) {
        g_propagate_error(errp, error);
    }
    return !error;
}

static bool add_trace(Coverage *c, const char *path)
{
    KrrReader *r = tool_open(path);
    GError *error = NULL;

    if (!r) {
        return false;
    }
    if (!symbols_fit(c->symbols, krr_reader_machine(r))) {
        g_set_error(&error, KRR_ERROR, KRR_ERROR_FORMAT,
                    "%s: %s is not the kernel that was recorded (its build id differs)", path,
                    c->vmlinux);
    } else {
        symbols_place(c->symbols, krr_reader_machine(r));
        count_records(c, r, &error);
    }
    krr_reader_free(r);
    if (error) {
        tool_error(error);
        return false;
    }
    return true;
}

/* ---- places ---- */

static void find_lines(Coverage *c)
{
    GArray *addresses = g_array_new(FALSE, FALSE, sizeof(uint64_t));

    for (unsigned i = 0; i < sites_count(c->sites); i++) {
        /* The call, not what is behind it. */
        uint64_t address = sites_get(c->sites, i)->address - 1;

        g_array_append_val(addresses, address);
    }
    c->lines = lines_read(c->vmlinux, addresses);
    g_array_free(addresses, TRUE);
}

static const char *line_of(const Coverage *c, unsigned index)
{
    return c->lines ? c->lines->pdata[index] : NULL;
}

/* "function+0x12", or NULL. The caller frees it (g_free). */
static char *symbol_of(const Coverage *c, unsigned index)
{
    return symbols_call_site(c->symbols,
                             sites_get(c->sites, index)->address + symbols_offset(c->symbols));
}

/* ---- text ---- */

static void print_summary(const Coverage *c)
{
    printf("%-14s %9s %9s %9s %9s %9s %14s\n", "hook", "sites", "exercised", "never", "unknown",
           "boot", "records");
    for (unsigned hook = 0; hook < 256; hook++) {
        unsigned sites = 0, count[STATES] = { 0 };
        uint64_t records = 0;

        for (unsigned i = 0; i < sites_count(c->sites); i++) {
            if (sites_get(c->sites, i)->hook == hook) {
                sites++;
                count[state_of(c, i)]++;
                records += c->records[i];
            }
        }
        if (sites) {
            printf("%-14s %9u %9u %9u %9u %9u %14" PRIu64 "\n", site_hook_name(hook), sites,
                   count[EXERCISED], count[NEVER], count[UNKNOWN], count[BOOT], records);
        }
    }
}

static void print_site(const Coverage *c, unsigned index)
{
    const Site *site = sites_get(c->sites, index);
    const char *line = line_of(c, index);
    char *symbol = symbol_of(c, index);

    if (c->records[index]) {
        printf("%14" PRIu64, c->records[index]);
    } else {
        printf("%14s", "-");
    }
    printf("  %-12s  ", site_hook_name(site->hook));
    if (symbol) {
        printf("%s", symbol);
    } else {
        printf("0x%" PRIx64, site->address);
    }
    if (line) {
        printf("  %s", line);
    }
    putchar('\n');
    g_free(symbol);
}

static void print_sites(const Coverage *c, State state, const char *title)
{
    printf("\n%s\n", title);
    for (unsigned hook = 0; hook < 256; hook++) {
        for (unsigned i = 0; i < sites_count(c->sites); i++) {
            if (sites_get(c->sites, i)->hook == hook && state_of(c, i) == state) {
                print_site(c, i);
            }
        }
    }
}

static void print_text(const Coverage *c)
{
    print_summary(c);
    print_sites(c, EXERCISED, "exercised (records, hook, site):");
    print_sites(c, NEVER, "never exercised:");
    printf("\nunknown: a safepoint writes a record only when it hands the lock over, a release"
           "\n         none, an acquire only when the vCPU does not have the lock yet\n"
           "boot:    runs only before a recording can begin\n"
           "modules: %" PRIu64 " records from hooks in modules, which are not listed\n",
           c->elsewhere);
}

/* ---- JSON ---- */

static void json_site(Json *j, const Coverage *c, unsigned index)
{
    const Site *site = sites_get(c->sites, index);
    char *symbol = symbol_of(c, index);

    json_open_object(j, NULL);
    json_hex(j, "address", site->address);
    json_string(j, "hook", site_hook_name(site->hook));
    json_string(j, "symbol", symbol);
    json_string(j, "line", line_of(c, index));
    json_string(j, "state", state_names[state_of(c, index)]);
    json_uint(j, "records", c->records[index]);
    json_close_object(j);
    g_free(symbol);
}

static void print_json(const Coverage *c)
{
    char *text;
    Json j;

    json_init(&j);
    json_open_object(&j, NULL);
    json_string(&j, "vmlinux", c->vmlinux);
    json_open_array(&j, "traces");
    for (char **trace = c->traces; *trace; trace++) {
        json_string(&j, NULL, *trace);
    }
    json_close_array(&j);
    json_uint(&j, "module_records", c->elsewhere);
    json_open_array(&j, "sites");
    for (unsigned i = 0; i < sites_count(c->sites); i++) {
        json_site(&j, c, i);
    }
    json_close_array(&j);
    json_close_object(&j);
    text = json_finish(&j);
    fputs(text, stdout);
    g_free(text);
}

/* ---- the report ---- */

static bool add_traces(Coverage *c)
{
    for (char **trace = c->traces; *trace; trace++) {
        if (!add_trace(c, *trace)) {
            return false;
        }
    }
    return true;
}

int coverage_report(char **traces, const char *vmlinux, bool lines, bool json)
{
    Coverage c = { .vmlinux = vmlinux, .traces = traces };
    GError *error = NULL;
    int status = TOOL_BAD;

    c.symbols = symbols_read(vmlinux, &error);
    c.sites = c.symbols ? sites_read(vmlinux, &error) : NULL;
    if (!c.sites) {
        tool_error(error);
    } else {
        c.records = g_new0(uint64_t, sites_count(c.sites));
        if (add_traces(&c)) {
            if (lines) {
                find_lines(&c);
            }
            (json ? print_json : print_text)(&c);
            status = TOOL_OK;
        }
    }
    if (c.lines) {
        g_ptr_array_free(c.lines, TRUE);
    }
    g_free(c.records);
    sites_free(c.sites);
    symbols_free(c.symbols);
    return status;
}
