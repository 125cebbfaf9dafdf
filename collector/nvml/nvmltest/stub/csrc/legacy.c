// The names that older drivers have for calls of today. Build can leave the newer names out.
#include "stub.h"

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count) {
    CALL();
    WANT(count);
    *count = (unsigned)c.s->gpus;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device) { return handle_by_index(index, device); }

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    ON(device);
    return pci_info(&c, pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    ON(device);
    return pci_info(&c, pci);
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    ON(device);
    return attributes_of(&c, attributes);
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout) {
    CALL();
    return wait_for(&c, set, data, timeout);
}

// The first version of a process has no instance.
static nvmlReturn_t processes_v1(const struct call *c, unsigned *count, nvmlProcessInfo_v1_t *infos) {
    nvmlProcessInfo_t whole[PROCESSES];
    WANT(count);
    unsigned room = *count < PROCESSES ? *count : PROCESSES;
    *count = room;
    nvmlReturn_t r = processes_of(c, count, whole);
    for (unsigned i = 0; r == NVML_SUCCESS && infos != NULL && i < *count; i++) {
        infos[i] = (nvmlProcessInfo_v1_t){.pid = whole[i].pid, .usedGpuMemory = whole[i].usedGpuMemory};
    }
    return r;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *infos) {
    ON(device);
    return processes_v1(&c, count, infos);
}

static nvmlReturn_t none(unsigned *count) {
    WANT(count);
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v2_t *infos) {
    ON(device);
    (void)infos;
    return none(count);
}
