// The batched query of fields, and GPM.
#include <stdio.h>
#include <stdlib.h>

#include "stub.h"

enum growth { FIXED, GROWS };

// A field is one that the stub knows; all others are not supported. number is its value, or its growth in a second.
struct field {
    unsigned id;
    nvmlValueType_t type;
    enum growth growth;
    double number;
    bool of_link; // a link's own, with the sum of all for scope UINT_MAX
};

static const struct field fields[] = {
    {NVML_FI_DEV_ECC_SBE_VOL_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_ECC_DBE_VOL_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_ECC_SBE_AGG_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_ECC_DBE_AGG_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_PERF_POLICY_POWER, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e7, false},
    {NVML_FI_DEV_PERF_POLICY_THERMAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e6, false},
    {NVML_FI_DEV_PERF_POLICY_SYNC_BOOST, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e8, false},
    {NVML_FI_DEV_PERF_POLICY_RELIABILITY, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e6, false},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, false},
    {NVML_FI_DEV_MEMORY_TEMP, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 71, false},
    {NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 600000, false},
    {NVML_FI_DEV_ENERGY, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 600000, false},
    {NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, LINKS, false},
    {NVML_FI_DEV_PCIE_REPLAY_COUNTER, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 2, false},
    {NVML_FI_DEV_PCIE_REPLAY_ROLLOVER_COUNTER, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e6, true},
    {NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1.1e6, true},
    {NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1.2e6, true},
    {NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1.3e6, true},
    {NVML_FI_DEV_REMAPPED_COR, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_REMAPPED_UNC, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_REMAPPED_PENDING, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_REMAPPED_FAILURE, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_ERROR_DL_CRC, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_GET_STATE, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 1, true},
    {NVML_FI_DEV_POWER_AVERAGE, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 600000, false},
    {NVML_FI_DEV_POWER_INSTANT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 603000, false},
    {NVML_FI_DEV_POWER_MIN_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 200000, false},
    {NVML_FI_DEV_POWER_MAX_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 700000, false},
    {NVML_FI_DEV_POWER_DEFAULT_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 700000, false},
    {NVML_FI_DEV_POWER_CURRENT_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 700000, false},
    {NVML_FI_DEV_POWER_REQUESTED_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 700000, false},
    {NVML_FI_DEV_PCIE_COUNT_TX_BYTES, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 2e9, false},
    {NVML_FI_DEV_PCIE_COUNT_RX_BYTES, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 3e9, false},
    {NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1e9, true},
    {NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, GROWS, 1.1e9, true},
    {NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, FIXED, 0, true},
    {NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
    {NVML_FI_DEV_RESET_STATUS, NVML_VALUE_TYPE_UNSIGNED_INT, FIXED, 0, false},
};

static void put(nvmlFieldValue_t *v, nvmlValueType_t type, double value) {
    v->valueType = type, v->nvmlReturn = NVML_SUCCESS;
    memset(&v->value, 0, sizeof v->value);
    switch (type) {
    case NVML_VALUE_TYPE_DOUBLE: v->value.dVal = value; break;
    case NVML_VALUE_TYPE_UNSIGNED_INT: v->value.uiVal = (unsigned)value; break;
    case NVML_VALUE_TYPE_SIGNED_LONG_LONG: v->value.sllVal = (long long)value; break;
    case NVML_VALUE_TYPE_SIGNED_INT: v->value.siVal = (int)value; break;
    default: v->value.ullVal = (unsigned long long)value;
    }
}

static double field_value(const struct call *c, const struct field *f, unsigned scope) {
    double links = f->of_link && scope == UINT32_MAX ? LINKS : 1;
    return links * f->number * (f->growth == GROWS ? c->up : 1);
}

// set finds what the script sets a field to, for its scope or for all. The unit and type are the field's.
static bool set(const struct call *c, const nvmlFieldValue_t *v, double *value) {
    char name[NAME_LEN];
    snprintf(name, sizeof name, "field:%u:%u", v->fieldId, v->scopeId);
    if (has_number(c->s, c->gpu, name, value)) return true;
    snprintf(name, sizeof name, "field:%u", v->fieldId);
    return has_number(c->s, c->gpu, name, value);
}

static void answer(const struct call *c, nvmlFieldValue_t *v) {
    const struct field *f = NULL;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && f == NULL; i++) {
        if (fields[i].id == v->fieldId) f = &fields[i];
    }
    v->timestamp = (long long)(now() * 1e6), v->latencyUsec = 0;
    char name[NAME_LEN];
    snprintf(name, sizeof name, "field:%u", v->fieldId);
    const struct rule *r = rule_for(c->s, ACT_CODE, c->gpu, name);
    double value;
    bool is_set = set(c, v, &value);
    if (r != NULL) {
        v->nvmlReturn = (nvmlReturn_t)r->arg;
    } else if (f == NULL && !is_set) {
        v->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    } else if (f != NULL && f->of_link && v->scopeId != UINT32_MAX && v->scopeId >= LINKS) {
        v->nvmlReturn = NVML_ERROR_INVALID_ARGUMENT;
    } else {
        put(v, f != NULL ? f->type : NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, is_set ? value : field_value(c, f, v->scopeId));
    }
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    ON(device);
    WHOLE();
    if (count < 0 || values == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < count; i++) answer(&c, &values[i]);
    return NVML_SUCCESS;
}

// GPM.

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
    ON(device);
    WANT(support);
    if (support->version != NVML_GPM_SUPPORT_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    support->isSupportedDevice = (unsigned)NUMBER("gpm", 1);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) {
    CALL();
    WANT(sample);
    sample->handle = calloc(1, sizeof *sample->handle);
    if (sample->handle == NULL) return NVML_ERROR_MEMORY;
    sample->handle->gpu = NO_GPU;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
    CALL();
    WANT(sample.handle);
    free(sample.handle);
    return NVML_SUCCESS;
}

static nvmlReturn_t take(const struct call *c, nvmlGpmSample_t sample) {
    WANT(sample.handle);
    if (NUMBER_OF(c, "gpm", 1) == 0) return NVML_ERROR_NOT_SUPPORTED;
    *sample.handle = (struct nvmlGpmSample_st){.gpu = c->gpu, .at = now()};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
    ON(device);
    return take(&c, sample);
}

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int instance, nvmlGpmSample_t sample) {
    ON(device);
    (void)instance;
    return take(&c, sample);
}

static double gpm_value(const struct call *c, unsigned id, bool *known) {
    static const struct { unsigned id; double value; } usual[] = {
        {NVML_GPM_METRIC_GRAPHICS_UTIL, 95}, {NVML_GPM_METRIC_SM_UTIL, 80}, {NVML_GPM_METRIC_SM_OCCUPANCY, 40},
        {NVML_GPM_METRIC_ANY_TENSOR_UTIL, 55}, {NVML_GPM_METRIC_DRAM_BW_UTIL, 60}, {NVML_GPM_METRIC_FP32_UTIL, 5},
        {NVML_GPM_METRIC_PCIE_TX_PER_SEC, 1900}, {NVML_GPM_METRIC_PCIE_RX_PER_SEC, 2800},
        {NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC, 20000}, {NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, 19000},
    };
    char name[NAME_LEN];
    double value = 0;
    snprintf(name, sizeof name, "gpm:%u", id);
    *known = has_number(c->s, c->gpu, name, &value);
    for (size_t i = 0; i < sizeof usual / sizeof *usual && !*known; i++) {
        if (usual[i].id == id) *known = true, value = usual[i].value;
    }
    return value;
}

nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *get) {
    if (get == NULL || get->sample1.handle == NULL || get->sample2.handle == NULL) return NVML_ERROR_INVALID_ARGUMENT;
    ON_GPU(get->sample2.handle->gpu);
    if (get->version != NVML_GPM_METRICS_GET_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const struct nvmlGpmSample_st *a = get->sample1.handle, *b = get->sample2.handle;
    if (a->gpu == NO_GPU || a->gpu != b->gpu || a->at >= b->at || get->numMetrics > NVML_GPM_METRIC_MAX) return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < get->numMetrics; i++) {
        nvmlGpmMetric_t *m = &get->metrics[i];
        bool known;
        m->value = gpm_value(&c, m->metricId, &known);
        m->nvmlReturn = known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
    }
    return NVML_SUCCESS;
}
