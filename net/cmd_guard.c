/* GUARD STATUS, and INFO's section of the same: how near the server is to each of its limits. */
#include "net/cmd_info_priv.h"
#include "net/cmd_tables.h"
#include "net/guard_view.h"
#include "shards/exec.h"

static double percent(const struct guard_view_limit *limit) {
    return 100.0 * (double)limit->value / (double)limit->limit;
}

static void reply_text(struct exec *x, const char *name, const char *text) {
    reply_bulk(x, slice_of_cstr(name));
    reply_bulk(x, slice_of_cstr(text));
}

static void reply_number(struct exec *x, const char *name, int64_t number) {
    reply_bulk(x, slice_of_cstr(name));
    reply_int(x, number);
}

static void reply_limit(struct exec *x, const struct guard_view_limit *limit) {
    reply_map(x, 9);
    reply_text(x, "name", limit->name);
    reply_text(x, "state", guard_view_state_name(limit->state));
    reply_number(x, "value", (int64_t)limit->value);
    reply_number(x, "limit", (int64_t)limit->limit);
    reply_text(x, "unit", limit->unit);
    reply_number(x, "percent", (int64_t)percent(limit));
    reply_number(x, "seconds-left", limit->seconds_left);
    reply_text(x, "option", limit->option);
    reply_text(x, "reason", limit->reason);
}

static void cmd_guard_status(struct exec *x) {
    struct guard_view view;
    guard_view_read(x->shard, &view);
    reply_map(x, 2);
    reply_text(x, "state", guard_view_state_name(view.state));
    reply_bulk(x, SLICE("limits"));
    reply_array(x, view.count);
    for (unsigned i = 0; i < view.count; i++) reply_limit(x, &view.limits[i]);
}

static void cmd_guard_help(struct exec *x) {
    static const char *const lines[] = {
        "STATUS",
        "    Return each limit that the server keeps: how near it is, in how many",
        "    seconds it is reached at the present rate (-1: not in sight), and what",
        "    is done about it.",
        NULL,
    };
    reply_help(x, lines);
}

const struct command guard_subs[] = {
    {.name = "status",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_ADMIN,
     .where = ON_CONN,
     .run = cmd_guard_status,
     .since = "0.4.0",
     .cost = "O(1)",
     .doc = "Returns how near each limit is, and what is done about it.",
     .tips = "nondeterministic_output"},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_guard_help,
     .since = "0.4.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of GUARD."},
    {.name = NULL},
};

/* INFO's names have no hyphens. */
static void field_name(const char *name, char *out, size_t size) {
    size_t len = 0;
    for (; name[len] && len + 1 < size; len++) out[len] = name[len] == '-' ? '_' : name[len];
    out[len] = 0;
}

void info_limits(const struct info *info) {
    struct guard_view view;
    guard_view_read(info->totals->home, &view);
    info_text(info, "guard", guard_view_state_name(view.state));
    for (unsigned i = 0; i < view.count; i++) {
        const struct guard_view_limit *limit = &view.limits[i];
        char name[64];
        field_name(limit->name, name, sizeof name);
        buf_printf(info->out, "guard_%s:state=%s,value=%llu,limit=%llu,unit=%s,percent=%.1f,seconds_left=%lld\r\n",
                   name, guard_view_state_name(limit->state), (unsigned long long)limit->value,
                   (unsigned long long)limit->limit, limit->unit, percent(limit), (long long)limit->seconds_left);
        if (limit->reason[0]) buf_printf(info->out, "guard_%s_reason:%s\r\n", name, limit->reason);
    }
}
