/* INFO turns: where the time of the threads goes (shards/turns.h), for people and for `./run profile`.
 *
 * A histogram is a line of start=count pairs: so many were from start on and less than twice that. Times are
 * nanoseconds in histograms and averages, microseconds of the slowest turns, whose start is in milliseconds since
 * 1970. */
#include "net/cmd_info_priv.h"
#include <stdlib.h>

static const char *const phases[TURNS_PHASES] = {"wait",    "kernel",   "receive", "parse",
                                                 "execute", "messages", "journal", "reply"};

static void info_phases(const struct info *info, const struct turn_stats *sum) {
    uint64_t all = 0;
    for (int i = 0; i < TURNS_PHASES; i++) all += sum->phase[i];
    for (int i = 0; i < TURNS_PHASES; i++) {
        double ns = totals_ns(info->totals, sum->phase[i]);
        buf_printf(info->out, "turn_phase_%s:share=%.4f,ns_per_turn=%.0f,ns_per_command=%.1f\r\n", phases[i],
                   ratio(sum->phase[i], all), sum->samples ? ns / (double)sum->samples : 0,
                   sum->sample_commands ? ns / (double)sum->sample_commands : 0);
    }
}

/* tick_ns: 0 where the buckets hold no times. Buckets of ticks become ones of ns by their lower ends. */
static void info_histogram(const struct info *info, const char *name, const uint64_t *buckets, double tick_ns) {
    bool first = true;
    buf_printf(info->out, "%s:", name);
    for (int i = 0; i < TURNS_BUCKETS; i++) {
        if (!buckets[i]) continue;
        double start = (double)(1ull << i) * (tick_ns > 0 ? tick_ns : 1);
        buf_printf(info->out, "%s%.0f=%llu", first ? "" : ",", start, (unsigned long long)buckets[i]);
        first = false;
    }
    buf_append_literal(info->out, "\r\n");
}

/* --- of each shard --- */

static void info_shares(const struct info *info) {
    for (uint32_t shard = 0; shard < info->totals->shard_count; shard++) {
        const struct turn_stats *stats = &info->totals->turns[shard];
        uint64_t all = 0;
        for (int i = 0; i < TURNS_PHASES; i++) all += stats->phase[i];
        buf_printf(info->out, "turns_shard%u:turns=%llu,samples=%llu", shard, (unsigned long long)stats->turns,
                   (unsigned long long)stats->samples);
        for (int i = 0; i < TURNS_PHASES; i++)
            buf_printf(info->out, ",%s=%.4f", phases[i], ratio(stats->phase[i], all));
        buf_append_literal(info->out, "\r\n");
    }
}

/* --- the slowest --- */

struct ranked {
    const struct slow_turn *turn;
    uint32_t shard;
};

static int longest_first(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    return x->turn->length < y->turn->length ? 1 : x->turn->length > y->turn->length ? -1 : 0;
}

static void info_slow_turn(const struct info *info, unsigned place, const struct ranked *ranked) {
    const struct slow_turn *turn = ranked->turn;
    const struct totals *totals = info->totals;
    buf_printf(info->out, "slow_turn%u:shard=%u,began=%llu,usec=%.0f", place, ranked->shard,
               (unsigned long long)turn->began_ms, totals_ns(totals, turn->length) / 1000);
    for (int i = SPENT_WAIT + 1; i < TURNS_PHASES; i++)
        if (turn->sample || i != SPENT_PARSE)
            buf_printf(info->out, ",%s=%.0f", phases[i], totals_ns(totals, turn->phase[i]) / 1000);
    buf_printf(info->out, ",commands=%llu,messages_in=%llu,bytes_in=%llu", (unsigned long long)turn->commands,
               (unsigned long long)turn->messages, (unsigned long long)turn->bytes_in);
    if (turn->longest) {
        char name[64];
        buf_printf(info->out, ",longest=%s,longest_usec=%.0f",
                   command_full_name(command_at(info->registry, (uint32_t)turn->longest_number), name),
                   totals_ns(totals, turn->longest) / 1000);
    }
    buf_append_literal(info->out, "\r\n");
}

static void info_slowest(const struct info *info) {
    struct ranked ranked[SHARDS_MAX * TURNS_SLOWEST];
    unsigned count = 0;
    for (uint32_t shard = 0; shard < info->totals->shard_count; shard++)
        for (int i = 0; i < TURNS_SLOWEST; i++) {
            const struct slow_turn *turn = &info->totals->turns[shard].slowest[i];
            if (turn->length) ranked[count++] = (struct ranked){turn, shard};
        }
    qsort(ranked, count, sizeof *ranked, longest_first);
    for (unsigned i = 0; i < MIN(count, (unsigned)TURNS_SLOWEST); i++) info_slow_turn(info, i, &ranked[i]);
}

void info_turns(const struct info *info) {
    struct turn_stats sum = {0};
    double tick_ns = info->totals->home->host.tick_ns;
    for (uint32_t i = 0; i < info->totals->shard_count; i++) turn_stats_add(&sum, &info->totals->turns[i]);
    info_number(info, "turns", sum.turns);
    info_number(info, "turns_sampled", sum.samples);
    info_number(info, "turns_sampled_commands", sum.sample_commands);
    info_phases(info, &sum);
    info_histogram(info, "turn_ns", sum.length, tick_ns);
    info_histogram(info, "batch_commands", sum.batch, 0);
    info_histogram(info, "hop_commands", sum.hop, 0);
    info_histogram(info, "hop_ns", sum.trip, tick_ns);
    info_shares(info);
    info_slowest(info);
}
