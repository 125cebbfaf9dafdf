// Events, and the processes that use a GPU.
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "stub.h"

enum { SET_MAGIC = 0x6576736f };

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    CALL();
    WANT(set);
    set->handle = calloc(1, sizeof *set->handle);
    if (set->handle == NULL) return NVML_ERROR_MEMORY;
    set->handle->magic = SET_MAGIC;
    set->handle->last = c.s->nxids > 0 ? c.s->xids[c.s->nxids - 1].sequence : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    CALL();
    if (set.handle == NULL || set.handle->magic != SET_MAGIC) return NVML_ERROR_INVALID_ARGUMENT;
    set.handle->magic = 0;
    free(set.handle);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    ON(device);
    if (set.handle == NULL || set.handle->magic != SET_MAGIC) return NVML_ERROR_INVALID_ARGUMENT;
    if (c.handle->instance >= 0 || (types & nvmlEventTypeXidCriticalError) == 0) return NVML_ERROR_NOT_SUPPORTED;
    atomic_fetch_or(&set.handle->registered, 1u << c.gpu);
    return NVML_SUCCESS;
}

// next finds the XID after the last one for a GPU that is registered.
static const struct xid *next(const struct script *s, struct nvmlEventSet_st *set) {
    for (int i = 0; i < s->nxids; i++) {
        const struct xid *x = &s->xids[i];
        if (x->sequence <= set->last) continue;
        set->last = x->sequence;
        if (atomic_load(&set->registered) & 1u << x->gpu) return x;
    }
    return NULL;
}

// await waits for another script, which comes by a rename, without using the processor: what tests measure is the caller's time.
static void await(int changes, double until) {
    char news[4096];
    struct pollfd p = {.fd = changes, .events = POLLIN};
    double left = until - now();
    if (left > 0 && poll(&p, 1, (int)(left * 1000) + 1) > 0 && read(changes, news, sizeof news) < 0) pause_ms(20);
}

nvmlReturn_t wait_for(const struct call *c, nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout) {
    WANT(data);
    if (set.handle == NULL || set.handle->magic != SET_MAGIC) return NVML_ERROR_INVALID_ARGUMENT;
    long generation = c->s->generation;
    int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (changes < 0 || inotify_add_watch(changes, beside(""), IN_MOVED_TO) < 0) abort();
    nvmlReturn_t r = NVML_SUCCESS;
    for (double until = now() + timeout / 1e3;; await(changes, until)) {
        const struct script *s = script_anew();
        const struct xid *x = next(s, set.handle);
        if (s->absent || s->generation != generation) {
            r = NVML_ERROR_UNINITIALIZED;
        } else if (x != NULL) {
            *data = (nvmlEventData_t){
                .device.handle = handle_of(x->gpu, -1), .eventType = nvmlEventTypeXidCriticalError, .eventData = x->code,
                .gpuInstanceId = UINT32_MAX, .computeInstanceId = UINT32_MAX,
            };
        } else if (now() >= until) {
            r = NVML_ERROR_TIMEOUT;
        } else {
            continue;
        }
        close(changes);
        return r;
    }
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout) {
    CALL();
    return wait_for(&c, set, data, timeout);
}

// processes_of are those of a GPU in the order of the script. They are all of the first instance where there are instances.
nvmlReturn_t processes_of(const struct call *c, unsigned *count, nvmlProcessInfo_t *infos) {
    WANT(count);
    unsigned room = *count, n = 0;
    for (int i = 0; i < c->s->nprocesses; i++) {
        const struct process *p = &c->s->processes[i];
        if ((p->gpu != c->gpu && p->gpu != EVERY_GPU) || c->handle->instance > 0) continue;
        if (n < room && infos != NULL) {
            infos[n] = (nvmlProcessInfo_t){
                .pid = p->pid, .usedGpuMemory = p->bytes, .gpuInstanceId = c->s->mig[c->gpu] > 0 ? 7 : UINT32_MAX,
                .computeInstanceId = c->s->mig[c->gpu] > 0 ? 0 : UINT32_MAX,
            };
        }
        n++;
    }
    *count = n;
    return n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    ON(device);
    return processes_of(&c, count, infos);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v2_t *infos) {
    ON(device);
    return processes_of(&c, count, infos);
}

static nvmlReturn_t none(unsigned *count) {
    WANT(count);
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v2_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples, unsigned int *count,
                                             unsigned long long last) {
    ON(device);
    WHOLE();
    WANT(count);
    (void)last;
    nvmlProcessInfo_t infos[PROCESSES];
    unsigned room = *count, n = PROCESSES;
    if (processes_of(&c, &n, infos) != NVML_SUCCESS) return NVML_ERROR_UNKNOWN;
    *count = n;
    if (n == 0) return NVML_ERROR_NOT_FOUND;
    if (samples == NULL || room < n) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < n; i++) {
        samples[i] = (nvmlProcessUtilizationSample_t){
            .pid = infos[i].pid, .timeStamp = (unsigned long long)(now() * 1e6), .smUtil = (unsigned)(90 / n), .memUtil = (unsigned)(40 / n),
        };
    }
    return NVML_SUCCESS;
}
