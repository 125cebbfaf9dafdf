// Calls of the library as a whole, and those that find devices and say who they are.
#include <stdio.h>

#include "stub.h"

nvmlReturn_t nvmlInit_v2(void) { return load(); }

nvmlReturn_t nvmlInit(void) { return load(); }

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    return load();
}

nvmlReturn_t nvmlShutdown(void) { return unload(); }

const char *nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
    case NVML_SUCCESS: return "The operation was successful";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED: return "GPU requires restart";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case NVML_ERROR_GPU_NOT_FOUND: return "No GPU found";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    CALL();
    return put_text(version, length, text(c.s, EVERY_GPU, "driver", "570.124.06"));
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length) {
    CALL();
    return put_text(version, length, text(c.s, EVERY_GPU, "nvml", "12.570.124.06"));
}

static nvmlReturn_t cuda(const struct script *s, int *version) {
    WANT(version);
    *version = (int)number(s, EVERY_GPU, "cuda", 12080);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
    CALL();
    return cuda(c.s, version);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    CALL();
    return cuda(c.s, version);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    CALL();
    WANT(count);
    *count = (unsigned)c.s->gpus;
    return NVML_SUCCESS;
}

nvmlReturn_t handle_by_index(unsigned index, nvmlDevice_t *device) {
    const struct script *s = script();
    if (index >= (unsigned)s->gpus || device == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    OPEN_CALL(enter_gpu(&c, "nvmlDeviceGetHandleByIndex_v2", &slot_, s->order[index]));
    device->handle = handle_of(c.gpu, -1);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) { return handle_by_index(index, device); }

static void uuid_of(const struct script *s, int gpu, int instance, char *to, size_t length) {
    char name[NAME_LEN], own[NAME_LEN];
    snprintf(own, sizeof own, "%s-%08x-1111-4222-8333-%012x", instance < 0 ? "GPU" : "MIG", (unsigned)gpu, (unsigned)(instance + 1));
    snprintf(name, sizeof name, instance < 0 ? "uuid" : "uuid:%d", instance);
    snprintf(to, length, "%s", text(s, gpu, name, own));
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    ON(device);
    char own[TEXT_LEN];
    uuid_of(c.s, c.gpu, c.handle->instance, own, sizeof own);
    return put_text(uuid, length, own);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    CALL();
    WANT(uuid);
    WANT(device);
    for (int i = 0; i < c.s->gpus; i++) {
        int gpu = c.s->order[i];
        for (int instance = -1; instance < c.s->mig[gpu]; instance++) {
            char own[TEXT_LEN];
            uuid_of(c.s, gpu, instance, own, sizeof own);
            if (strcmp(own, uuid) != 0) continue;
            device->handle = handle_of(gpu, instance);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    ON(device);
    char own[TEXT_LEN + 32];
    const char *product = text(c.s, c.gpu, "name", "NVIDIA H100 80GB HBM3");
    snprintf(own, sizeof own, "%s%s", product, c.handle->instance < 0 ? "" : " MIG 1g.10gb");
    return put_text(name, length, own);
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length) {
    ON(device);
    WHOLE();
    char own[NAME_LEN];
    snprintf(own, sizeof own, "16549230%05d", c.gpu);
    return put_text(serial, length, text(c.s, c.gpu, "serial", own));
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length) {
    ON(device);
    WHOLE();
    return put_text(version, length, text(c.s, c.gpu, "vbios", "96.00.99.00.01"));
}

nvmlReturn_t pci_info(const struct call *c, nvmlPciInfo_t *pci) {
    WANT(pci);
    memset(pci, 0, sizeof *pci);
    pci->bus = 0x18 + 0x10 * (unsigned)c->gpu;
    pci->pciDeviceId = 0x233010de;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04x:%02x:%02x.0", pci->domain, pci->bus & 0xff, pci->device & 0x1f);
    snprintf(pci->busId, sizeof pci->busId, "%08x:%02x:%02x.0", pci->domain, pci->bus & 0xff, pci->device & 0x1f);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    ON(device);
    return pci_info(&c, pci);
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor) {
    ON(device);
    WHOLE();
    WANT(minor);
    *minor = (unsigned)NUMBER("minor", c.gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index) {
    ON(device);
    WANT(index);
    if (c.handle->instance >= 0) {
        *index = (unsigned)c.handle->instance;
        return NVML_SUCCESS;
    }
    for (int i = 0; i < c.s->gpus; i++) {
        if (c.s->order[i] == c.gpu) *index = (unsigned)i;
    }
    return NVML_SUCCESS;
}

// MIG.

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *mode, unsigned int *pending) {
    ON(device);
    WHOLE();
    WANT(mode);
    WANT(pending);
    *mode = *pending = c.s->mig[c.gpu] > 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    ON(device);
    WHOLE();
    WANT(count);
    *count = INSTANCES;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *instance) {
    ON(device);
    WHOLE();
    WANT(instance);
    if (index >= INSTANCES) return NVML_ERROR_INVALID_ARGUMENT;
    if (index >= (unsigned)c.s->mig[c.gpu]) return NVML_ERROR_NOT_FOUND;
    instance->handle = handle_of(c.gpu, (int)index);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is) {
    ON(device);
    WANT(is);
    *is = c.handle->instance >= 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance, nvmlDevice_t *device) {
    ON(instance);
    WANT(device);
    device->handle = handle_of(c.gpu, -1);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
    ON(device);
    WANT(id);
    if (c.handle->instance < 0) return NVML_ERROR_NOT_SUPPORTED;
    *id = 7 + (unsigned)c.handle->instance;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id) {
    ON(device);
    WANT(id);
    if (c.handle->instance < 0) return NVML_ERROR_NOT_SUPPORTED;
    *id = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t attributes_of(const struct call *c, nvmlDeviceAttributes_t *attributes) {
    WANT(attributes);
    bool whole = c->handle->instance < 0;
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = whole ? 132 : 16, .gpuInstanceSliceCount = whole ? 8 : 1,
        .computeInstanceSliceCount = whole ? 8 : 1, .memorySizeMB = whole ? 81559 : 9856,
    };
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    ON(device);
    return attributes_of(&c, attributes);
}
