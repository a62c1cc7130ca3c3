/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec.h"
#include "error.h"
#include "index.h"
#include "kinds.h"
#include "writer.h"

/* The run table of a chunk of memory is built right before its pages. */
#define RUN_TABLE_SIZE (sizeof(KrrRamHeader) + KRR_CHUNK_RAM_PAGES * sizeof(KrrRamRun))
#define BUFFER_SIZE    (RUN_TABLE_SIZE + KRR_CHUNK_RAM_PAGES * KRR_PAGE)

/* Where the caller is in the order of calls; stages only go up. */
typedef enum Stage {
    STAGE_NEW, STAGE_MACHINE, STAGE_RAM, STAGE_EVENTS, STAGE_FINAL_RAM, STAGE_FINISHED,
    STAGE_FAILED
} Stage;

struct KrrWriter {
    char *path;
    int fd;
    Stage stage;
    uint64_t offset;                /* bytes written */
    uint32_t sequence;
    uint64_t records;               /* in chunks already written */
    uint32_t vcpus;
    KrrCodec *codec;
    KrrIndex index;
    KrrStats stats;
    KrrConsole console;

    /* The chunk that is being collected: bytes behind the run table's space. */
    uint8_t *buffer;
    size_t used;
    uint32_t count;                 /* records or runs in it */
    KrrRamRun runs[KRR_CHUNK_RAM_PAGES];
};

/* ---- file ---- */

static bool io_error(KrrWriter *w, const char *what, int error, GError **errp)
{
    g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot %s: %s", w->path, what,
                g_strerror(error));
    return false;
}

/*
 * After a failure nothing more is accepted. What was written of the unfinished
 * chunk is cut off, so that the file ends with a whole one.
 */
static bool write_failed(KrrWriter *w, int error, GError **errp)
{
    w->stage = STAGE_FAILED;
    if (ftruncate(w->fd, w->offset) < 0) {
        /* A pipe, or the device is gone: the reader copes with a torn chunk. */
    }
    g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot write at byte %" PRIu64 ": %s; the %"
                PRIu64 " records before it are safe", w->path, w->offset, g_strerror(error),
                w->records);
    return false;
}

static void advance(struct iovec *iov, size_t done)
{
    for (int i = 0; i < 2; i++) {
        size_t part = MIN(done, iov[i].iov_len);

        if (part) {
            iov[i].iov_base = (char *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            done -= part;
        }
    }
}

static bool write_out(KrrWriter *w, const void *head, size_t head_size, const void *data,
                      size_t size, GError **errp)
{
    struct iovec iov[2] = { { (void *)head, head_size }, { (void *)data, size } };

    while (iov[0].iov_len + iov[1].iov_len) {
        ssize_t done = writev(w->fd, iov, 2);

        if (done < 0 && errno != EINTR) {
            return write_failed(w, errno, errp);
        }
        if (done == 0) {
            return write_failed(w, ENOSPC, errp);
        }
        advance(iov, MAX(done, 0));
    }
    w->offset += head_size + size;
    return true;
}

/* Compresses and writes one chunk; the caller has set type, argument and records. */
static bool write_chunk(KrrWriter *w, KrrChunkHeader *header, const void *raw, uint32_t length,
                        GError **errp)
{
    uint64_t offset = w->offset;
    const void *stored;

    header->sequence = w->sequence;
    header->first_record = w->records;
    stored = krr_codec_encode(w->codec, header, raw, length);
    if (!write_out(w, header, sizeof(*header), stored, header->stored_length, errp)) {
        return false;
    }
    krr_index_add(&w->index, header->type, offset, w->records);
    w->sequence++;
    w->records += header->record_count;
    return true;
}

static bool write_simple(KrrWriter *w, KrrChunkType type, uint32_t argument, const void *raw,
                         uint32_t length, GError **errp)
{
    KrrChunkHeader header = { .type = type, .argument = argument };

    return write_chunk(w, &header, raw, length, errp);
}

static bool refuse_file(const char *path, int fd, GError **errp)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: %s", path, g_strerror(errno));
        return true;
    }
    if (S_ISBLK(st.st_mode)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO,
                    "%s: is a block device; a trace goes to a file", path);
        return true;
    }
    if (S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO,
                    "%s: another recorder is writing this file", path);
        return true;
    }
    if (S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot empty the file: %s", path,
                    g_strerror(errno));
        return true;
    }
    return false;
}

/* A file that was there may have been open to others. One of another user's, which cannot be
 * restricted, stays as its owner has it. */
static void restrict_file(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fchmod(fd, st.st_mode & 0700) < 0) {
        g_debug("trace stays readable by others: %s", g_strerror(errno));
    }
}

KrrWriter *krr_writer_new(const char *path, GError **errp)
{
    KrrFileHeader header = { .version = KRR_FORMAT_VERSION, .size = sizeof(header) };
    /* A trace holds the guest's secrets: for its owner only. Without O_TRUNC, so that
     * a file that is refused stays as it is. */
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    KrrWriter *w;

    if (fd < 0) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot create the trace: %s", path,
                    g_strerror(errno));
        return NULL;
    }
    if (refuse_file(path, fd, errp)) {
        close(fd);
        return NULL;
    }
    restrict_file(fd);
    w = g_new0(KrrWriter, 1);
    w->path = g_strdup(path);
    w->fd = fd;
    w->codec = krr_codec_new();
    w->buffer = g_malloc(BUFFER_SIZE);
    krr_index_init(&w->index);
    memcpy(header.magic, KRR_FILE_MAGIC, sizeof(header.magic));
    krr_seal(&header, sizeof(header));
    if (!write_out(w, &header, sizeof(header), NULL, 0, errp)) {
        krr_writer_free(w);
        return NULL;
    }
    return w;
}

void krr_writer_free(KrrWriter *w)
{
    if (w) {
        if (w->fd >= 0) {
            close(w->fd);
        }
        krr_codec_free(w->codec);
        g_free(w->buffer);
        g_free(w->path);
        g_free(w);
    }
}

/* ---- order of calls ---- */

static bool write_ram_chunk(KrrWriter *w, KrrChunkType type, GError **errp);
static bool write_events(KrrWriter *w, GError **errp);

/* Writes what the stage that ends here has collected. */
static bool leave_stage(KrrWriter *w, GError **errp)
{
    switch (w->stage) {
    case STAGE_RAM:
        return write_ram_chunk(w, KRR_CHUNK_RAM, errp);
    case STAGE_EVENTS:
        return write_events(w, errp);
    case STAGE_FINAL_RAM:
        return write_ram_chunk(w, KRR_CHUNK_FINAL_RAM, errp);
    default:
        return true;
    }
}

/* Goes to stage @to if the writer is in @from..@to. */
static bool enter_stage(KrrWriter *w, Stage from, Stage to, GError **errp)
{
    if (w->stage < from || w->stage > to || w->stage >= STAGE_FINISHED) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE, "%s: %s", w->path,
                    w->stage == STAGE_FAILED ? "writing has failed before"
                    : "parts of a trace written out of order");
        return false;
    }
    if (w->stage != to) {
        if (!leave_stage(w, errp)) {
            return false;
        }
        w->stage = to;
    }
    return true;
}

/* ---- snapshot ---- */

bool krr_writer_machine(KrrWriter *w, const KrrMachine *machine, GError **errp)
{
    const char *what = krr_machine_check(machine);

    if (!enter_stage(w, STAGE_NEW, STAGE_NEW, errp)) {
        return false;
    }
    if (what) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE, "%s: machine description: %s", w->path, what);
        return false;
    }
    w->stage = STAGE_MACHINE;
    w->vcpus = machine->vcpus;
    return write_simple(w, KRR_CHUNK_MACHINE, 0, machine, sizeof(*machine), errp);
}

bool krr_writer_cpu(KrrWriter *w, uint32_t vcpu, const KrrCpuState *cpu, GError **errp)
{
    const char *what = krr_cpu_check(cpu);

    if (what || vcpu >= w->vcpus) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE, "%s: state of vCPU %" PRIu32 ": %s", w->path,
                    vcpu, what ? what : "no such vCPU");
        return false;
    }
    return enter_stage(w, STAGE_MACHINE, STAGE_MACHINE, errp) &&
           write_simple(w, KRR_CHUNK_CPU, vcpu, cpu, sizeof(*cpu), errp);
}

static uint8_t *ram_pages(KrrWriter *w)
{
    return w->buffer + RUN_TABLE_SIZE;
}

static bool write_ram_chunk(KrrWriter *w, KrrChunkType type, GError **errp)
{
    KrrRamHeader header = { .runs = w->count, .pages = w->used / KRR_PAGE };
    size_t runs_size = w->count * sizeof(KrrRamRun);
    uint8_t *start = ram_pages(w) - runs_size - sizeof(header);
    size_t length = sizeof(header) + runs_size + w->used;

    if (!w->used) {
        return true;
    }
    memcpy(start, &header, sizeof(header));
    memcpy(start + sizeof(header), w->runs, runs_size);
    w->used = 0;
    w->count = 0;
    return write_simple(w, type, 0, start, length, errp);
}

static bool page_is_zero(const uint8_t *page)
{
    uint64_t first;

    memcpy(&first, page, sizeof(first));
    return !first && !memcmp(page, page + sizeof(first), KRR_PAGE - sizeof(first));
}

static void collect_page(KrrWriter *w, uint64_t address, const uint8_t *page)
{
    KrrRamRun *last = w->count ? &w->runs[w->count - 1] : NULL;

    if (last && last->address + (uint64_t)last->pages * KRR_PAGE == address) {
        last->pages++;
    } else {
        w->runs[w->count++] = (KrrRamRun) { .address = address, .pages = 1 };
    }
    memcpy(ram_pages(w) + w->used, page, KRR_PAGE);
    w->used += KRR_PAGE;
}

static bool append_ram(KrrWriter *w, KrrChunkType type, uint64_t address, const uint8_t *data,
                       size_t length, GError **errp)
{
    if (address % KRR_PAGE || length % KRR_PAGE) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE,
                    "%s: memory at 0x%" PRIx64 ", %zu bytes, is not whole pages", w->path, address,
                    length);
        return false;
    }
    for (size_t i = 0; i < length; i += KRR_PAGE) {
        if (page_is_zero(data + i)) {
            continue;
        }
        collect_page(w, address + i, data + i);
        if (w->used == KRR_CHUNK_RAM_PAGES * KRR_PAGE && !write_ram_chunk(w, type, errp)) {
            return false;
        }
    }
    return true;
}

bool krr_writer_ram(KrrWriter *w, uint64_t address, const void *data, size_t length, GError **errp)
{
    return enter_stage(w, STAGE_MACHINE, STAGE_RAM, errp) &&
           append_ram(w, KRR_CHUNK_RAM, address, data, length, errp);
}

bool krr_writer_start(KrrWriter *w, GError **errp)
{
    return enter_stage(w, STAGE_MACHINE, STAGE_RAM, errp) &&
           enter_stage(w, STAGE_RAM, STAGE_EVENTS, errp) &&
           write_simple(w, KRR_CHUNK_START, 0, NULL, 0, errp);
}

/* ---- records ---- */

static bool write_events(KrrWriter *w, GError **errp)
{
    const struct krr_record *first = (const void *)w->buffer;
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS, .record_count = w->count };
    uint64_t before = w->offset;

    if (!w->used) {
        return true;
    }
    header.argument = first->vcpu;
    header.ordinal = first->ordinal;
    if (!write_chunk(w, &header, w->buffer, w->used, errp)) {
        return false;
    }
    w->stats.file_bytes += w->offset - before;
    w->used = 0;
    w->count = 0;
    return true;
}

static bool collect_record(KrrWriter *w, const struct krr_record *record, GError **errp)
{
    uint8_t byte;

    if (w->used + record->size > KRR_CHUNK_EVENTS_SIZE && !write_events(w, errp)) {
        return false;
    }
    memcpy(w->buffer + w->used, record, record->size);
    w->used += record->size;
    w->count++;
    krr_stats_record(&w->stats, record);
    w->stats.console_bytes += krr_console_byte(&w->console, record, &byte);
    return true;
}

bool krr_writer_records(KrrWriter *w, const void *records, size_t length, GError **errp)
{
    const uint8_t *p = records;

    if (!enter_stage(w, STAGE_EVENTS, STAGE_EVENTS, errp)) {
        return false;
    }
    while (length) {
        const struct krr_record *record = (const void *)p;
        const char *what = krr_record_check(record, length, w->vcpus);

        if (what) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE, "%s: record %" PRIu64 ": %s", w->path,
                        w->records + w->count, what);
            return false;
        }
        if (!collect_record(w, record, errp)) {
            return false;
        }
        p += record->size;
        length -= record->size;
    }
    return true;
}

bool krr_writer_flush(KrrWriter *w, GError **errp)
{
    return enter_stage(w, STAGE_EVENTS, STAGE_EVENTS, errp) && write_events(w, errp);
}

/* ---- end ---- */

bool krr_writer_final_ram(KrrWriter *w, uint64_t address, const void *data, size_t length,
                          GError **errp)
{
    return enter_stage(w, STAGE_EVENTS, STAGE_FINAL_RAM, errp) &&
           append_ram(w, KRR_CHUNK_FINAL_RAM, address, data, length, errp);
}

void krr_writer_timing(KrrWriter *w, uint64_t pause_us, uint64_t duration_us, uint64_t ring_full)
{
    w->stats.pause_us = pause_us;
    w->stats.duration_us = duration_us;
    w->stats.ring_full = ring_full;
}

void krr_writer_times(KrrWriter *w, uint32_t vcpu, const struct krr_times *times)
{
    g_assert(vcpu < w->vcpus);
    memcpy(&w->stats.times[vcpu], times, sizeof(*times));
}

static bool write_footer(KrrWriter *w, uint32_t reason, uint32_t status, const char *text,
                         GError **errp)
{
    KrrFooter footer = { .reason = reason, .status = status, .records = w->records };

    if (text) {
        g_strlcpy(footer.text, text, sizeof(footer.text));
    }
    return write_simple(w, KRR_CHUNK_FOOTER, 0, &footer, sizeof(footer), errp);
}

static bool write_index(KrrWriter *w, GError **errp)
{
    KrrTrailer trailer = { .index_offset = w->offset };
    uint32_t length = krr_index_store(&w->index, w->buffer, BUFFER_SIZE);

    if (!write_simple(w, KRR_CHUNK_INDEX, 0, w->buffer, length, errp)) {
        return false;
    }
    memcpy(trailer.magic, KRR_TRAILER_MAGIC, sizeof(trailer.magic));
    trailer.file_size = w->offset + sizeof(trailer);
    krr_seal(&trailer, sizeof(trailer));
    return write_out(w, &trailer, sizeof(trailer), NULL, 0, errp);
}

/* A full disk may show up only here: with delayed allocation or on NFS. */
static bool close_file(KrrWriter *w, GError **errp)
{
    int fd = w->fd;

    if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP) {
        w->stage = STAGE_FAILED;
        return io_error(w, "bring the trace to the disk", errno, errp);
    }
    w->fd = -1;
    if (close(fd) < 0 && errno != EINTR) {
        w->stage = STAGE_FAILED;
        return io_error(w, "close the trace", errno, errp);
    }
    return true;
}

bool krr_writer_finish(KrrWriter *w, uint32_t reason, uint32_t status, const char *text,
                       GError **errp)
{
    return enter_stage(w, STAGE_EVENTS, STAGE_FINISHED, errp) &&
           write_simple(w, KRR_CHUNK_STATISTICS, 0, &w->stats, sizeof(w->stats), errp) &&
           write_footer(w, reason, status, text, errp) &&
           write_index(w, errp) &&
           close_file(w, errp);
}

uint64_t krr_writer_bytes(const KrrWriter *w)
{
    return w->offset;
}

const KrrStats *krr_writer_stats(const KrrWriter *w)
{
    return &w->stats;
}
