#include "perf/load_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_U32, OPTION_U64, OPTION_REAL, OPTION_FLAG };

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *preset, *doc;
};

#define AT(field) offsetof(struct load_options, field)
static const struct option_row rows[] = {
    {"host", OPTION_TEXT, AT(target.host), "127.0.0.1", "server's name or address"},
    {"port", OPTION_INT, AT(target.port), "6379", "server's port"},
    {"unix", OPTION_TEXT, AT(target.unix_path), NULL, "server's unix socket, instead of host and port"},
    {"password", OPTION_TEXT, AT(target.password), NULL, "AUTH on every connection"},
    {"db", OPTION_INT, AT(target.database), "0", "SELECT on every connection"},
    {"resp3", OPTION_FLAG, AT(target.resp3), NULL, "HELLO 3 on every connection"},
    {"conns", OPTION_U32, AT(conns), "50", "connections"},
    {"pipeline", OPTION_U32, AT(pipeline), "1", "requests in a batch of one connection, at most"},
    {"op", OPTION_TEXT, AT(op), "get",
     "get set incr ping mget:N mset:N setget:RATIO or \"raw __key__ __value__ __rand:N__ ; next & joined __same__\""},
    {"keys", OPTION_U64, AT(shape.keys), "1000000", "number of keys"},
    {"key-len", OPTION_U32, AT(shape.key_len), "16", "bytes of a key: prefix, zeros, number"},
    {"key-prefix", OPTION_TEXT, AT(shape.key_prefix), "key:", "what keys begin with"},
    {"value-len", OPTION_U32, AT(shape.value_len), "64", "bytes of a value"},
    {"noise", OPTION_FLAG, AT(shape.noise), NULL, "values that do not compress, instead of the alphabet over and over"},
    {"dist", OPTION_TEXT, AT(dist), "uniform", "uniform, zipf:0.99 or seq"},
    {"time", OPTION_REAL, AT(time_s), "0",
     "seconds to measure (5 if neither this nor --requests nor --preload is given)"},
    {"requests", OPTION_U64, AT(requests), "0", "requests to measure, instead of a time"},
    {"warmup", OPTION_REAL, AT(warmup_s), "0", "seconds of the same load before the measured window"},
    {"rate", OPTION_REAL, AT(rate), "0", "requests per second, open loop: latency counts from when a request was due"},
    {"preload", OPTION_FLAG, AT(preload), NULL,
     "first write every key once, in order; then go on if --time or --requests is given"},
    {"preload-op", OPTION_TEXT, AT(preload_op), "set", "the command that writes a key"},
    {"preload-pipeline", OPTION_U32, AT(preload_pipeline), "64", "its pipeline"},
    {"pid", OPTION_INT, AT(pid), "0", "server's process id: report its CPU time per operation"},
    {"ctx", OPTION_FLAG, AT(ctx), NULL, "with --pid: report its context switches per operation"},
    {"cpu", OPTION_INT, AT(cpu), "-1", "pin this generator to a CPU"},
    {"reap", OPTION_U32, AT(reap), "1", "closed loop: sleep until so many replies wait; cheaper here, adds to latency"},
    {"spin", OPTION_FLAG, AT(spin), NULL, "never sleep, so that the server never has to wake us"},
    {"interval", OPTION_REAL, AT(interval_s), "0", "seconds: report throughput and latency for each such slice too"},
    {"verify", OPTION_FLAG, AT(verify), NULL, "compare the values that GET and MGET bring with what SET writes"},
    {"seed", OPTION_U64, AT(seed), "1", "of keys and choices"},
    {"json", OPTION_FLAG, AT(json), NULL, "print one JSON object instead of a line for people"},
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

static _Noreturn void help(void) {
    (void)printf("sherd-load: a load generator for servers that speak Redis's protocol\n\n");
    for (size_t i = 0; i < ROW_COUNT; i++)
        (void)printf("  --%-17s %s%s%s%s\n", rows[i].name, rows[i].doc, rows[i].preset != NULL ? " [" : "",
                     rows[i].preset != NULL ? rows[i].preset : "", rows[i].preset != NULL ? "]" : "");
    exit(0); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static _Noreturn void refuse(const char *what, const char *text) {
    (void)fprintf(stderr, "sherd-load: %s%s%s (--help lists the options)\n", what, text[0] != '\0' ? ": " : "", text);
    exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void row_set(struct load_options *o, const struct option_row *row, const char *text) {
    char *field = (char *)o + row->offset, *end = NULL;
    errno = 0;
    switch (row->type) {
    case OPTION_TEXT: *(const char **)(void *)field = text; return;
    case OPTION_FLAG: *(bool *)(void *)field = true; return;
    case OPTION_INT: *(int *)(void *)field = (int)strtol(text, &end, 10); break;
    case OPTION_REAL: *(double *)(void *)field = strtod(text, &end); break;
    case OPTION_U64: *(uint64_t *)(void *)field = strtoull(text, &end, 10); break;
    case OPTION_U32: {
        uint64_t number = strtoull(text, &end, 10);
        if (number > UINT32_MAX) errno = ERANGE;
        *(uint32_t *)(void *)field = (uint32_t)number;
        break;
    }
    }
    bool negative = text[0] == '-' && row->type != OPTION_INT;
    if (end == text || *end != '\0' || errno != 0 || negative) refuse(row->name, "not a number in range");
}

static void check(struct load_options *o) {
    if (o->conns == 0 || o->conns > 50000) refuse("conns", "1 to 50000");
    if (o->pipeline == 0 || o->preload_pipeline == 0 || o->pipeline > 100000 || o->preload_pipeline > 100000)
        refuse("pipeline", "1 to 100000");
    if (o->ctx && o->pid == 0) refuse("ctx", "needs --pid");
    if (o->rate > 0 && o->requests > 0) refuse("rate", "an open loop runs for a --time, not for --requests");
    o->measure = o->time_s > 0 || o->requests > 0 || !o->preload;
    if (o->measure && o->time_s <= 0) o->time_s = 5;
}

void load_options_parse(struct load_options *o, int argc, char **argv) {
    *o = (struct load_options){0};
    struct option long_options[ROW_COUNT + 2] = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        long_options[i].name = rows[i].name;
        long_options[i].has_arg = rows[i].type == OPTION_FLAG ? no_argument : required_argument;
        if (rows[i].preset != NULL) row_set(o, &rows[i], rows[i].preset);
    }
    long_options[ROW_COUNT].name = "help";
    int index = 0;
    for (int got;
         (got = getopt_long(argc, argv, "", long_options, &index)) != -1;) { /* NOLINT(concurrency-mt-unsafe) */
        if (got == '?') refuse("cannot read the command line", "");
        if (index == ROW_COUNT) help();
        row_set(o, &rows[index], optarg);
    }
    if (optind < argc) refuse("what is this", argv[optind]);
    check(o);
}
