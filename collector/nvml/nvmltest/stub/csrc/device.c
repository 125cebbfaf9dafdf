// Calls that read one number of a device. What the script does not set are the values of a healthy H100 at work.
#include <stdio.h>

#include "stub.h"

// One NUMBER_CALL is one function of NVML that answers with a number.
#define NUMBER_CALL(fn, type, name, otherwise)         \
    nvmlReturn_t fn(nvmlDevice_t device, type *value) { \
        ON(device);                                     \
        WHOLE();                                        \
        WANT(value);                                    \
        *value = (type)NUMBER(name, otherwise);         \
        return NVML_SUCCESS;                            \
    }

NUMBER_CALL(nvmlDeviceGetPowerUsage, unsigned int, "power", 600000 + 1000 * c.gpu)
NUMBER_CALL(nvmlDeviceGetEnforcedPowerLimit, unsigned int, "power_limit", 700000)
NUMBER_CALL(nvmlDeviceGetPowerManagementLimit, unsigned int, "power_limit", 700000)
NUMBER_CALL(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, "energy", c.up * (600000 + 1000 * c.gpu))
NUMBER_CALL(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "clock_events", 4)
NUMBER_CALL(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "clock_events", 4)
NUMBER_CALL(nvmlDeviceGetSupportedClocksEventReasons, unsigned long long, "clock_events_supported", 0x1ff)
NUMBER_CALL(nvmlDeviceGetSupportedClocksThrottleReasons, unsigned long long, "clock_events_supported", 0x1ff)
NUMBER_CALL(nvmlDeviceGetPcieReplayCounter, unsigned int, "pcie_replays", 2)
NUMBER_CALL(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int, "pcie_generation", 5)
NUMBER_CALL(nvmlDeviceGetMaxPcieLinkGeneration, unsigned int, "pcie_generation_max", 5)
NUMBER_CALL(nvmlDeviceGetGpuMaxPcieLinkGeneration, unsigned int, "pcie_generation_gpu", 5)
NUMBER_CALL(nvmlDeviceGetCurrPcieLinkWidth, unsigned int, "pcie_width", 16)
NUMBER_CALL(nvmlDeviceGetMaxPcieLinkWidth, unsigned int, "pcie_width_max", 16)
NUMBER_CALL(nvmlDeviceGetRetiredPagesPendingStatus, nvmlEnableState_t, "retired_pending", 0)
NUMBER_CALL(nvmlDeviceGetSupportedEventTypes, unsigned long long, "event_types", nvmlEventTypeXidCriticalError)

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    ON(device);
    WHOLE();
    WANT(utilization);
    if (c.s->mig[c.gpu] > 0) return NVML_ERROR_NOT_SUPPORTED; // only the instances have it then
    utilization->gpu = (unsigned)NUMBER("utilization", 90 + c.gpu % 8);
    utilization->memory = (unsigned)NUMBER("memory_busy", 40 + c.gpu % 8);
    return NVML_SUCCESS;
}

#define ENGINE_CALL(fn, name)                                                                  \
    nvmlReturn_t fn(nvmlDevice_t device, unsigned int *utilization, unsigned int *period) {    \
        ON(device);                                                                            \
        WHOLE();                                                                               \
        WANT(utilization);                                                                     \
        WANT(period);                                                                          \
        *utilization = (unsigned)NUMBER(name, 0), *period = 167000;                            \
        return NVML_SUCCESS;                                                                   \
    }

ENGINE_CALL(nvmlDeviceGetEncoderUtilization, "encoder")
ENGINE_CALL(nvmlDeviceGetDecoderUtilization, "decoder")
ENGINE_CALL(nvmlDeviceGetJpgUtilization, "jpeg")
ENGINE_CALL(nvmlDeviceGetOfaUtilization, "ofa")

static double memory_total(const struct call *c) {
    return c->handle->instance >= 0 ? 10334765056. : NUMBER_OF(c, "memory_total", 85520809984.);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    ON(device);
    WANT(memory);
    double total = memory_total(&c), reserved = NUMBER("memory_reserved", 612368384.);
    memory->total = (unsigned long long)total;
    memory->used = (unsigned long long)(NUMBER("memory_used", total / 2) + reserved);
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    ON(device);
    WANT(memory);
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    double total = memory_total(&c);
    memory->total = (unsigned long long)total;
    memory->reserved = (unsigned long long)NUMBER("memory_reserved", 612368384.);
    memory->used = (unsigned long long)NUMBER("memory_used", total / 2);
    memory->free = memory->total - memory->used - memory->reserved;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *value) {
    ON(device);
    WHOLE();
    WANT(value);
    if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
    *value = (unsigned)NUMBER("temperature", 60 + c.gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *value) {
    ON(device);
    WHOLE();
    WANT(value);
    if (value->version != nvmlTemperature_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (value->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
    value->temperature = (int)NUMBER("temperature", 60 + c.gpu);
    return NVML_SUCCESS;
}

static nvmlReturn_t clock_of(const struct call *c, const char *suffix, nvmlClockType_t type, const double *otherwise, unsigned *value) {
    static const char *const domains[] = {"graphics", "sm", "memory", "video"};
    if (value == NULL || type >= NVML_CLOCK_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    char name[NAME_LEN];
    snprintf(name, sizeof name, "clock%s:%s", suffix, domains[type]);
    *value = (unsigned)NUMBER_OF(c, name, otherwise[type]);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock) {
    ON(device);
    WHOLE();
    return clock_of(&c, "", type, (const double[]){1755, 1755, 2619, 1545}, clock);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock) {
    ON(device);
    WHOLE();
    return clock_of(&c, "_max", type, (const double[]){1980, 1980, 2619, 1545}, clock);
}

// nvmlDeviceGetPcieThroughput takes 20 ms, as it really does: it measures.
nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *value) {
    ON(device);
    WHOLE();
    WANT(value);
    pause_ms(20);
    *value = (unsigned)NUMBER(counter == NVML_PCIE_UTIL_TX_BYTES ? "pcie_tx" : "pcie_rx", 500000);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *mode, nvmlEnableState_t *pending) {
    ON(device);
    WHOLE();
    WANT(mode);
    WANT(pending);
    *mode = *pending = (nvmlEnableState_t)NUMBER("ecc", 1);
    return NVML_SUCCESS;
}

static unsigned long long ecc(const struct call *c, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter) {
    char name[NAME_LEN];
    snprintf(name, sizeof name, "ecc:%s:%s", type == NVML_MEMORY_ERROR_TYPE_CORRECTED ? "corrected" : "uncorrected",
             counter == NVML_VOLATILE_ECC ? "volatile" : "aggregate");
    return (unsigned long long)NUMBER_OF(c, name, 0);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                         unsigned long long *count) {
    ON(device);
    WHOLE();
    WANT(count);
    if (NUMBER("ecc", 1) == 0) return NVML_ERROR_NOT_SUPPORTED;
    if (type >= NVML_MEMORY_ERROR_TYPE_COUNT || counter >= NVML_ECC_COUNTER_TYPE_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    *count = ecc(&c, type, counter);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
                                       unsigned int *pending, unsigned int *failure) {
    ON(device);
    WHOLE();
    if (corrected == NULL || uncorrected == NULL || pending == NULL || failure == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    *corrected = (unsigned)NUMBER("remapped_corrected", 0);
    *uncorrected = (unsigned)NUMBER("remapped_uncorrected", 0);
    *pending = (unsigned)NUMBER("remap_pending", 0);
    *failure = (unsigned)NUMBER("remap_failure", 0);
    return NVML_SUCCESS;
}

// An H100 has rows remapped instead of pages retired; a script that sets the numbers makes it an older GPU.
static nvmlReturn_t retired(const struct call *c, nvmlPageRetirementCause_t cause, unsigned *count, unsigned long long *addresses,
                            unsigned long long *times) {
    double pages;
    if (count == NULL || cause >= NVML_PAGE_RETIREMENT_CAUSE_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    const char *name = cause == NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR ? "retired:double_bit" : "retired:single_bit";
    if (!has_number(c->s, c->gpu, name, &pages)) return NVML_ERROR_NOT_SUPPORTED;
    unsigned room = *count;
    *count = (unsigned)pages;
    if (room == 0) return *count == 0 ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
    if (room < *count) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < *count; i++) {
        if (addresses != NULL) addresses[i] = 0x1000ULL * i;
        if (times != NULL) times[i] = (unsigned long long)(now() * 1e6);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *count,
                                       unsigned long long *addresses) {
    ON(device);
    WHOLE();
    return retired(&c, cause, count, addresses, NULL);
}

nvmlReturn_t nvmlDeviceGetRetiredPages_v2(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *count,
                                          unsigned long long *addresses, unsigned long long *times) {
    ON(device);
    WHOLE();
    return retired(&c, cause, count, addresses, times);
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t device, nvmlPerfPolicyType_t policy, nvmlViolationTime_t *time) {
    ON(device);
    WHOLE();
    WANT(time);
    char name[NAME_LEN];
    snprintf(name, sizeof name, "violation:%d", (int)policy);
    time->referenceTime = (unsigned long long)(now() * 1e6);
    time->violationTime = (unsigned long long)NUMBER(name, policy == NVML_PERF_POLICY_POWER ? c.up * 1e7 : 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *active) {
    ON(device);
    WHOLE();
    WANT(active);
    if (link >= LINKS) return NVML_ERROR_INVALID_ARGUMENT;
    *active = link < NUMBER("nvlinks", LINKS) ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned int link, nvmlNvLinkErrorCounter_t counter,
                                             unsigned long long *value) {
    ON(device);
    WHOLE();
    WANT(value);
    if (link >= LINKS || counter >= NVML_NVLINK_ERROR_COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    char name[NAME_LEN];
    snprintf(name, sizeof name, "nvlink_errors:%d", (int)counter);
    *value = (unsigned long long)NUMBER(name, 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *info) {
    ON(device);
    WHOLE();
    WANT(info);
    *info = (nvmlGpuFabricInfo_t){
        .state = (nvmlGpuFabricState_t)NUMBER("fabric_state", NVML_GPU_FABRIC_STATE_COMPLETED),
        .status = (nvmlReturn_t)NUMBER("fabric_status", 0),
    };
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info) {
    ON(device);
    WHOLE();
    WANT(info);
    if (info->version != nvmlGpuFabricInfo_v2 && info->version != nvmlGpuFabricInfo_v3) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    info->state = (nvmlGpuFabricState_t)NUMBER("fabric_state", NVML_GPU_FABRIC_STATE_COMPLETED);
    info->status = (nvmlReturn_t)NUMBER("fabric_status", 0);
    info->healthMask = (unsigned)NUMBER("fabric_health", 0x2 | 0x2 << 2 | 0x2 << 4 | 0x2 << 6 | 0x1 << 8);
    if (info->version == nvmlGpuFabricInfo_v3) {
        info->healthSummary = (unsigned char)NUMBER("fabric_summary", NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY);
    }
    return NVML_SUCCESS;
}
