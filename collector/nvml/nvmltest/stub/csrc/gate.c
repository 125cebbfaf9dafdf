// The gate that every call goes through: it counts the call, and does what the script has for it.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "stub.h"

enum { MAGIC = 0x6770755f };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nvmlDevice_st *handles;
static int loaded;                // how often nvmlInit was called
static atomic_long loaded_generation = -1; // or -1 while the library is not initialised

static void hang(int gpu, const char *fn) {
    while (rule_for(script(), ACT_HANG, gpu, fn) != NULL) pause_ms(20);
}

static void die(const struct rule *r) {
    if (!count_crash(r->arg)) return;
    if (r->act == ACT_ABORT) abort();
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    _Exit(139);
}

// trouble does what the script has for this call, and returns the code that it is to fail with.
static nvmlReturn_t trouble(int gpu, const char *fn) {
    const struct script *s = script();
    if (s->nrules == 0) return NVML_SUCCESS;
    const struct rule *r;
    if ((r = rule_for(s, ACT_CRASH, gpu, fn)) != NULL) die(r);
    if ((r = rule_for(s, ACT_ABORT, gpu, fn)) != NULL) die(r);
    if ((r = rule_for(s, ACT_SLOW, gpu, fn)) != NULL) pause_ms(r->arg);
    hang(gpu, fn);
    if ((r = rule_for(script(), ACT_CODE, gpu, fn)) != NULL) return (nvmlReturn_t)r->arg;
    return NVML_SUCCESS;
}

static nvmlReturn_t driver_state(const struct script *s, long generation) {
    long mine = atomic_load(&loaded_generation);
    if (mine < 0) return NVML_ERROR_UNINITIALIZED;
    if (s->absent) return NVML_ERROR_DRIVER_NOT_LOADED;
    return mine == s->generation && generation == s->generation ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

static bool present(const struct script *s, int gpu) {
    for (int i = 0; i < s->gpus; i++) {
        if (s->order[i] == gpu) return true;
    }
    return false;
}

static nvmlReturn_t pass(struct call *c, const char *fn, atomic_int *slot, int gpu, long generation) {
    c->gpu = gpu;
    count_begin(count_slot(fn, slot), gpu);
    nvmlReturn_t code = trouble(gpu, fn);
    c->s = script();
    c->up = now() - c->s->epoch;
    nvmlReturn_t state = driver_state(c->s, generation);
    if (state != NVML_SUCCESS) return state;
    if (code != NVML_SUCCESS) return code;
    return gpu == NO_GPU || present(c->s, gpu) ? NVML_SUCCESS : NVML_ERROR_GPU_IS_LOST;
}

nvmlReturn_t enter(struct call *c, const char *fn, atomic_int *slot, const struct nvmlDevice_st *handle, bool of_device) {
    c->gpu = NO_GPU;
    if (!of_device) return pass(c, fn, slot, NO_GPU, atomic_load(&loaded_generation));
    if (handle == NULL || handle->magic != MAGIC) return NVML_ERROR_INVALID_ARGUMENT;
    c->handle = handle;
    return pass(c, fn, slot, handle->gpu, handle->generation);
}

nvmlReturn_t enter_gpu(struct call *c, const char *fn, atomic_int *slot, int gpu) {
    return pass(c, fn, slot, gpu, atomic_load(&loaded_generation));
}

void leave(struct call *c) {
    if (c->s != NULL) count_end(c->gpu);
}

nvmlReturn_t load(void) {
    static atomic_int slot = -1;
    count_begin(count_slot("nvmlInit_v2", &slot), NO_GPU);
    nvmlReturn_t code = trouble(NO_GPU, "nvmlInit_v2");
    const struct script *s = script();
    if (s->absent) return NVML_ERROR_DRIVER_NOT_LOADED;
    if (code != NVML_SUCCESS || s->init != NVML_SUCCESS) return code != NVML_SUCCESS ? code : (nvmlReturn_t)s->init;
    pthread_mutex_lock(&lock);
    loaded++;
    atomic_store(&loaded_generation, s->generation);
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

nvmlReturn_t unload(void) {
    static atomic_int slot = -1;
    count_begin(count_slot("nvmlShutdown", &slot), NO_GPU);
    trouble(NO_GPU, "nvmlShutdown");
    pthread_mutex_lock(&lock);
    nvmlReturn_t r = loaded > 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
    if (loaded > 0 && --loaded == 0) atomic_store(&loaded_generation, -1);
    pthread_mutex_unlock(&lock);
    return r;
}

// handle_of is the handle of a GPU or of one of its instances; the same again as long as the driver is.
struct nvmlDevice_st *handle_of(int gpu, int instance) {
    long generation = atomic_load(&loaded_generation);
    pthread_mutex_lock(&lock);
    struct nvmlDevice_st *h = handles;
    while (h != NULL && (h->gpu != gpu || h->instance != instance || h->generation != generation)) h = h->next;
    if (h == NULL) {
        h = calloc(1, sizeof *h);
        if (h == NULL) abort();
        *h = (struct nvmlDevice_st){.magic = MAGIC, .gpu = gpu, .instance = instance, .generation = generation, .next = handles};
        handles = h;
    }
    pthread_mutex_unlock(&lock);
    return h;
}

nvmlReturn_t put_text(char *to, unsigned length, const char *from) {
    WANT(to);
    if (strlen(from) + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(to, from);
    return NVML_SUCCESS;
}

__attribute__((constructor)) static void begin(void) { count_open(); }
