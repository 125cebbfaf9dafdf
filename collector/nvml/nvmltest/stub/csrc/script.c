// The script: which file it is, what its lines mean, and when it is read again.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "stub.h"

static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const struct script *) current;
static atomic_llong checked; // milliseconds
static struct stat seen;

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void pause_ms(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) != 0) {
    }
}

const char *beside(const char *name) {
    static _Thread_local char path[PATH_MAX + NAME_LEN];
    Dl_info info;
    if (dladdr((void *)beside, &info) == 0 || info.dli_fname == NULL) return name;
    const char *slash = strrchr(info.dli_fname, '/');
    if (slash == NULL) return name;
    snprintf(path, sizeof path, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, name);
    return path;
}

#define APPEND(list, n, item)                                         \
    do {                                                              \
        (list) = realloc((list), (size_t)((n) + 1) * sizeof *(list)); \
        if ((list) == NULL) abort();                                  \
        (list)[(n)++] = (item);                                       \
    } while (0)

static void bad(const char *line) {
    fprintf(stderr, "stub: the script has a line that means nothing: %s\n", line);
    abort();
}

static int gpu_of(const char *word, const char *line) {
    if (word == NULL) bad(line);
    if (strcmp(word, "*") == 0) return EVERY_GPU;
    char *end;
    long n = strtol(word, &end, 10);
    if (*end != 0 || n < 0 || n >= GPUS) bad(line);
    return (int)n;
}

static void add_rule(struct script *s, enum action act, int gpu, const char *fn, const char *arg) {
    struct rule r = {.act = act, .gpu = gpu, .arg = arg != NULL ? atol(arg) : 0};
    snprintf(r.fn, sizeof r.fn, "%s", fn != NULL ? fn : "*");
    APPEND(s->rules, s->nrules, r);
}

// gpu_line reads "gpu N lost | reset_required | code FN RETURN | hang FN | slow FN MS | crash FN [TIMES] | abort FN".
static void gpu_line(struct script *s, char **save, const char *line) {
    int gpu = gpu_of(strtok_r(NULL, " ", save), line);
    const char *what = strtok_r(NULL, " ", save), *fn = strtok_r(NULL, " ", save), *arg = strtok_r(NULL, " ", save);
    if (what == NULL) bad(line);
    if (strcmp(what, "lost") == 0) add_rule(s, ACT_CODE, gpu, "*", "15");
    else if (strcmp(what, "reset_required") == 0) add_rule(s, ACT_CODE, gpu, "*", "16");
    else if (strcmp(what, "code") == 0 && arg != NULL) add_rule(s, ACT_CODE, gpu, fn, arg);
    else if (strcmp(what, "hang") == 0) add_rule(s, ACT_HANG, gpu, fn, NULL);
    else if (strcmp(what, "slow") == 0 && arg != NULL) add_rule(s, ACT_SLOW, gpu, fn, arg);
    else if (strcmp(what, "crash") == 0) add_rule(s, ACT_CRASH, gpu, fn, arg);
    else if (strcmp(what, "abort") == 0) add_rule(s, ACT_ABORT, gpu, fn, arg);
    else bad(line);
}

// setting_line reads "set N NAME NUMBER" and "text N NAME WORDS".
static void setting_line(struct script *s, char **save, bool words, const char *line) {
    struct setting v = {.gpu = gpu_of(strtok_r(NULL, " ", save), line)};
    const char *name = strtok_r(NULL, " ", save), *value = strtok_r(NULL, words ? "" : " ", save);
    if (name == NULL || (value == NULL && !words)) bad(line);
    snprintf(v.name, sizeof v.name, "%s", name);
    if (words) snprintf(v.text, sizeof v.text, "%s", value != NULL ? value : "");
    else v.number = strtod(value, NULL);
    APPEND(s->settings, s->nsettings, v);
}

static void xid_line(struct script *s, char **save, const char *line) {
    struct xid x = {.gpu = gpu_of(strtok_r(NULL, " ", save), line)};
    const char *code = strtok_r(NULL, " ", save), *sequence = strtok_r(NULL, " ", save);
    if (code == NULL || sequence == NULL || x.gpu < 0) bad(line);
    x.code = strtoull(code, NULL, 10), x.sequence = strtoull(sequence, NULL, 10);
    if (s->nxids > 0 && s->xids[s->nxids - 1].sequence >= x.sequence) bad(line);
    APPEND(s->xids, s->nxids, x);
}

static void processes_line(struct script *s, char **save, const char *line) {
    int gpu = gpu_of(strtok_r(NULL, " ", save), line);
    for (const char *word; (word = strtok_r(NULL, " ", save)) != NULL;) {
        struct process p = {.gpu = gpu};
        if (sscanf(word, "%u:%llu", &p.pid, &p.bytes) != 2) bad(line);
        APPEND(s->processes, s->nprocesses, p);
    }
}

static void host_line(struct script *s, const char *word, char **save, const char *line) {
    const char *first = strtok_r(NULL, " ", save), *second = strtok_r(NULL, " ", save);
    if (first == NULL) bad(line);
    if (strcmp(word, "gpus") == 0) {
        s->gpus = atoi(first);
        if (s->gpus < 0 || s->gpus > GPUS) bad(line);
    } else if (strcmp(word, "init") == 0) {
        s->init = atoi(first);
    } else if (strcmp(word, "driver") == 0 && strcmp(first, "absent") == 0) {
        s->absent = true;
    } else if (strcmp(word, "generation") == 0) {
        s->generation = atol(first);
        if (second != NULL) s->epoch = strtod(second, NULL);
    } else if (strcmp(word, "mig") == 0 && second != NULL) {
        int gpu = gpu_of(first, line), n = atoi(second);
        if (gpu < 0 || n < 0 || n > INSTANCES) bad(line);
        s->mig[gpu] = n;
    } else if (strcmp(word, "crash") == 0) {
        add_rule(s, ACT_CRASH, EVERY_GPU, first, second);
    } else if (strcmp(word, "abort") == 0) {
        add_rule(s, ACT_ABORT, EVERY_GPU, first, second);
    } else {
        bad(line);
    }
}

static void order_line(struct script *s, char **save, const char *line) {
    const char *word;
    for (int i = 0; i < GPUS && (word = strtok_r(NULL, " ", save)) != NULL; i++) {
        s->order[i] = gpu_of(word, line);
        if (s->order[i] < 0) bad(line);
    }
}

static void take_line(struct script *s, char *line) {
    char whole[4096], *save = NULL;
    line[strcspn(line, "\r\n")] = 0;
    snprintf(whole, sizeof whole, "%s", line);
    const char *word = strtok_r(line, " ", &save);
    if (word == NULL || word[0] == '#') return;
    if (strcmp(word, "gpu") == 0) gpu_line(s, &save, whole);
    else if (strcmp(word, "set") == 0) setting_line(s, &save, false, whole);
    else if (strcmp(word, "text") == 0) setting_line(s, &save, true, whole);
    else if (strcmp(word, "xid") == 0) xid_line(s, &save, whole);
    else if (strcmp(word, "processes") == 0) processes_line(s, &save, whole);
    else if (strcmp(word, "order") == 0) order_line(s, &save, whole);
    else host_line(s, word, &save, whole);
}

// parse reads the script; without a file there are eight healthy GPUs.
static struct script *parse(void) {
    struct script *s = calloc(1, sizeof *s);
    if (s == NULL) abort();
    s->gpus = 8;
    for (int i = 0; i < GPUS; i++) s->order[i] = i;
    struct stat self;
    s->epoch = stat(beside("libnvidia-ml.so.1"), &self) == 0 ? (double)self.st_mtime - 3600 : 0;
    FILE *f = fopen(beside("script"), "re");
    if (f == NULL) return s;
    if (fstat(fileno(f), &seen) != 0) abort();
    char line[4096];
    while (fgets(line, sizeof line, f) != NULL) take_line(s, line);
    fclose(f);
    return s;
}

static bool changed(void) {
    struct stat st;
    if (stat(beside("script"), &st) != 0) return false;
    return st.st_ino != seen.st_ino || st.st_size != seen.st_size || st.st_mtim.tv_sec != seen.st_mtim.tv_sec ||
           st.st_mtim.tv_nsec != seen.st_mtim.tv_nsec;
}

// script looks at the file every 10 ms at most. Old scripts are kept: a call may still use one.
const struct script *script(void) {
    const struct script *s = atomic_load(&current);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    long long ms = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
    if (s != NULL && ms - atomic_load(&checked) < 10) return s;
    pthread_mutex_lock(&reading);
    s = atomic_load(&current);
    if (s == NULL || changed()) {
        s = parse();
        atomic_store(&current, s);
    }
    atomic_store(&checked, ms);
    pthread_mutex_unlock(&reading);
    return s;
}

const struct script *script_anew(void) {
    atomic_store(&checked, 0);
    return script();
}

// same says whether a function is the one that a rule names, which may leave out the version.
static bool same(const char *pattern, const char *fn) {
    size_t n = strlen(pattern);
    if (strncmp(pattern, fn, n) != 0) return false;
    return fn[n] == 0 || (fn[n] == '_' && fn[n + 1] == 'v' && fn[n + 2] >= '0' && fn[n + 2] <= '9');
}

// rule_for finds the rule for a call. * means all calls that are of a GPU.
const struct rule *rule_for(const struct script *s, enum action act, int gpu, const char *fn) {
    for (int i = 0; i < s->nrules; i++) {
        const struct rule *r = &s->rules[i];
        if (r->act != act || (r->gpu != EVERY_GPU && r->gpu != gpu)) continue;
        if (strcmp(r->fn, "*") == 0 ? gpu != NO_GPU : same(r->fn, fn)) return r;
    }
    return NULL;
}

static const struct setting *setting_for(const struct script *s, int gpu, const char *name) {
    for (int i = s->nsettings - 1; i >= 0; i--) { // the last word counts
        const struct setting *v = &s->settings[i];
        if ((v->gpu == gpu || v->gpu == EVERY_GPU) && strcmp(v->name, name) == 0) return v;
    }
    return NULL;
}

bool has_number(const struct script *s, int gpu, const char *name, double *value) {
    const struct setting *v = setting_for(s, gpu, name);
    if (v != NULL) *value = v->number;
    return v != NULL;
}

double number(const struct script *s, int gpu, const char *name, double otherwise) {
    const struct setting *v = setting_for(s, gpu, name);
    return v != NULL ? v->number : otherwise;
}

const char *text(const struct script *s, int gpu, const char *name, const char *otherwise) {
    const struct setting *v = setting_for(s, gpu, name);
    return v != NULL ? v->text : otherwise;
}
