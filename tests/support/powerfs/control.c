/* Commands are a table; each gets its words and says what it did. */
#include "tests/support/powerfs/control.h"
#include "core/assert.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 6
#define NS_PER_MS 1e6

struct words {
    int count;
    char *at[WORDS_MAX];
};

static const char *const deed_names[DEEDS] = {"read", "write", "sync", "name"};

/* --- words --- */

static void split(struct words *words, char *line) {
    char *rest = NULL;
    words->count = 0;
    for (char *word = strtok_r(line, " \n", &rest); word && words->count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &rest))
        words->at[words->count++] = word;
}

static const char *word(const struct words *words, int i, const char *otherwise) {
    return i < words->count ? words->at[i] : otherwise;
}

static uint64_t number(const struct words *words, int i, uint64_t otherwise) {
    return i < words->count ? strtoull(words->at[i], NULL, 0) : otherwise;
}

/* A bit for each. */
static unsigned deeds(const struct words *words) {
    unsigned set = 0;
    const char *list = word(words, 1, "");
    for (unsigned deed = 0; deed < DEEDS; deed++)
        if (strcmp(list, "all") == 0 || strstr(list, deed_names[deed])) set |= 1u << deed;
    return set;
}

/* --- power --- */

static void power(struct medium *medium, enum power power) {
    medium->faults.power = power;
    faults_changed(&medium->faults);
}

static bool run_cut(struct medium *medium, const struct words *words, char *answer) {
    const char *how = word(words, 2, "torn");
    enum cut_kind kind = strcmp(how, "drop") == 0 ? CUT_DROP : strcmp(how, "keep") == 0 ? CUT_KEEP : CUT_TORN;
    struct toll toll = {0};
    struct prng prng;
    prng_init(&prng, number(words, 1, 0));
    names_cut(&medium->names, kind, &prng, &toll);
    medium->faults.life++;
    power(medium, POWER_CUT);
    snprintf(answer, CONTROL_ANSWER_MAX, "ok sectors=%llu sectors_lost=%llu names=%llu names_lost=%llu",
             (unsigned long long)toll.sectors, (unsigned long long)toll.sectors_lost, (unsigned long long)toll.names,
             (unsigned long long)toll.names_lost);
    return true;
}

static bool run_off(struct medium *medium, const struct words *words, char *answer) {
    (void)words, (void)answer;
    power(medium, POWER_OFF);
    return true;
}

static bool run_on(struct medium *medium, const struct words *words, char *answer) {
    (void)words, (void)answer;
    power(medium, POWER_ON);
    return true;
}

/* --- faults --- */

static bool run_delay(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    unsigned set = deeds(words);
    for (unsigned deed = 0; deed < DEEDS; deed++) {
        struct fault *fault = &medium->faults.of[deed];
        if (!(set >> deed & 1)) continue;
        fault->delay_ns = (uint64_t)(strtod(word(words, 2, "0"), NULL) * NS_PER_MS);
        fault->more_ns = (uint64_t)(strtod(word(words, 3, "0"), NULL) * NS_PER_MS);
    }
    return set != 0;
}

static bool run_rate(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    medium->faults.bytes_per_s = number(words, 1, 0);
    medium->faults.busy_until_ns = 0;
    return true;
}

static bool run_fail(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    const char *name = word(words, 2, "none");
    int error = strcmp(name, "EIO") == 0 ? EIO : strcmp(name, "ENOSPC") == 0 ? ENOSPC : 0;
    unsigned set = error || strcmp(name, "none") == 0 ? deeds(words) : 0;
    for (unsigned deed = 0; deed < DEEDS; deed++) {
        struct fault *fault = &medium->faults.of[deed];
        if (!(set >> deed & 1)) continue;
        fault->error = error;
        fault->permille = (uint32_t)number(words, 3, 1000);
        fault->left = number(words, 4, UINT64_MAX);
    }
    return set != 0;
}

static bool set_stuck(struct medium *medium, const struct words *words, bool stuck) {
    unsigned set = deeds(words);
    for (unsigned deed = 0; deed < DEEDS; deed++)
        if (set >> deed & 1) medium->faults.of[deed].stuck = stuck;
    faults_changed(&medium->faults);
    return set != 0;
}

static bool run_stick(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    return set_stuck(medium, words, true);
}

static bool run_free(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    return set_stuck(medium, words, false);
}

static bool run_space(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    medium->space = number(words, 1, 0);
    return true;
}

static bool run_lie(struct medium *medium, const struct words *words, char *answer) {
    (void)answer;
    medium->lies = strcmp(word(words, 1, "yes"), "yes") == 0;
    return true;
}

/* --- and what it came to --- */

static bool run_status(struct medium *medium, const struct words *words, char *answer) {
    (void)words;
    int len = snprintf(answer, CONTROL_ANSWER_MAX, "ok bytes=%llu dirty_sectors=%llu",
                       (unsigned long long)names_bytes(&medium->names),
                       (unsigned long long)names_dirty_sectors(&medium->names));
    for (unsigned deed = 0; deed < DEEDS; deed++) {
        const struct fault *fault = &medium->faults.of[deed];
        len += snprintf(answer + len, CONTROL_ANSWER_MAX - (size_t)len, " %s=%llu %s_failed=%llu %s_bytes=%llu",
                        deed_names[deed], (unsigned long long)fault->count, deed_names[deed],
                        (unsigned long long)fault->failed, deed_names[deed], (unsigned long long)fault->bytes);
    }
    return true;
}

static const struct command {
    const char *name;
    int words_min, words_max;
    bool (*run)(struct medium *medium, const struct words *words, char *answer);
} commands[] = {
    {"cut", 2, 3, run_cut},     {"off", 1, 1, run_off},   {"on", 1, 1, run_on},         {"delay", 3, 4, run_delay},
    {"rate", 2, 2, run_rate},   {"fail", 3, 5, run_fail}, {"stick", 2, 2, run_stick},   {"free", 2, 2, run_free},
    {"space", 2, 2, run_space}, {"lie", 2, 2, run_lie},   {"status", 1, 1, run_status},
};

static bool run(struct medium *medium, const struct words *words, char *answer) {
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        if (strcmp(word(words, 0, ""), command->name) != 0) continue;
        if (words->count < command->words_min || words->count > command->words_max) return false;
        return command->run(medium, words, answer);
    }
    return false;
}

void control_line(struct medium *medium, char *line, char answer[CONTROL_ANSWER_MAX]) {
    struct words words;
    split(&words, line);
    strcpy(answer, "ok");
    pthread_mutex_lock(&medium->faults.lock);
    if (!run(medium, &words, answer)) strcpy(answer, "error: no such command, or not with such words");
    pthread_mutex_unlock(&medium->faults.lock);
}
