package runaitest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WorkloadMetrics are the values of metricType for a workload, the twelve that there were from the beginning first.
func WorkloadMetrics() []string {
	return append([]string{
		"GPU_UTILIZATION", "GPU_MEMORY_USAGE_BYTES", "GPU_MEMORY_REQUEST_BYTES", "CPU_USAGE_CORES", "CPU_REQUEST_CORES",
		"CPU_LIMIT_CORES", "CPU_MEMORY_USAGE_BYTES", "CPU_MEMORY_REQUEST_BYTES", "CPU_MEMORY_LIMIT_BYTES", "POD_COUNT",
		"RUNNING_POD_COUNT", "GPU_ALLOCATION",
	}, serving()...)
}

func serving() []string {
	return []string{
		"NIM_NUM_REQUESTS_RUNNING", "NIM_NUM_REQUESTS_WAITING", "NIM_NUM_REQUEST_MAX", "NIM_REQUEST_SUCCESS_TOTAL",
		"NIM_REQUEST_FAILURE_TOTAL", "NIM_GPU_CACHE_USAGE_PERC", "NIM_TIME_TO_FIRST_TOKEN_SECONDS", "NIM_E2E_REQUEST_LATENCY_SECONDS",
		"NIM_TIME_TO_FIRST_TOKEN_SECONDS_PERCENTILES", "NIM_E2E_REQUEST_LATENCY_SECONDS_PERCENTILES", "NVLINK_BANDWIDTH_TOTAL",
	}
}

// PodMetrics are the values of metricType for a pod.
func PodMetrics() []string {
	out := []string{
		"GPU_UTILIZATION_PER_GPU", "GPU_UTILIZATION", "GPU_MEMORY_USAGE_BYTES_PER_GPU", "GPU_MEMORY_USAGE_BYTES", "CPU_USAGE_CORES",
		"CPU_MEMORY_USAGE_BYTES", "NVLINK_BANDWIDTH_TOTAL_PER_GPU",
	}
	for _, name := range []string{
		"GRAPHICS_ENGINE_ACTIVITY", "SM_ACTIVITY", "SM_OCCUPANCY", "TENSOR_ACTIVITY", "FP64_ENGINE_ACTIVITY", "FP32_ENGINE_ACTIVITY",
		"FP16_ENGINE_ACTIVITY", "MEMORY_BANDWIDTH_UTILIZATION", "NVLINK_TRANSMITTED_BANDWIDTH", "NVLINK_RECEIVED_BANDWIDTH",
		"PCIE_TRANSMITTED_BANDWIDTH", "PCIE_RECEIVED_BANDWIDTH", "SWAP_MEMORY_BYTES",
	} {
		out = append(out, "GPU_"+name+"_PER_GPU")
	}
	return append(out, serving()...)
}

// oldMetrics is how many of WorkloadMetrics the versions before 2.22 have.
const oldMetrics = 12

// sample is the value of a metric from a time on.
type sample struct {
	at    time.Time
	value string
}

// keepSamples bounds what is kept of one metric of one workload.
const keepSamples = 256

// SetMetric sets the value of a metric from now on; any text may be a value, and any word a metric. The value of a histogram
// (time to first token, latency, and their percentiles) is a list such as "0.1=812,+Inf=1024". POD_COUNT, RUNNING_POD_COUNT and
// GPU_ALLOCATION follow from the workload if they are not set.
func (s *Server) SetMetric(id, metricType, value string) {
	s.change(id, func(w *workload, now time.Time) { w.setMetric(metricType, value, now) })
}

// ClearMetric takes away all that was set of a metric.
func (s *Server) ClearMetric(id, metricType string) {
	s.change(id, func(w *workload, _ time.Time) { delete(w.metrics, metricType) })
}

func (w *workload) setMetric(metricType, value string, at time.Time) {
	if w.metrics == nil {
		w.metrics = make(map[string][]sample)
	}
	list := w.metrics[metricType]
	if len(list) >= 2*keepSamples {
		list = slices.Clone(list[keepSamples:])
	}
	list = append(list, sample{at, value})
	w.metrics[metricType] = list
}

// samples are the values of a metric over time, oldest first.
func (w *workload) samples(metricType string) []sample {
	if list := w.metrics[strings.TrimSuffix(metricType, "_PER_GPU")]; len(list) > 0 {
		return list
	}
	switch metricType {
	case "POD_COUNT":
		return []sample{{w.CreatedAt, strconv.Itoa(w.Pods)}}
	case "RUNNING_POD_COUNT":
		return []sample{{w.phaseAt, strconv.Itoa(w.running)}}
	case "GPU_ALLOCATION":
		return []sample{{w.phaseAt, strconv.FormatFloat(w.allocated(), 'f', -1, 64)}}
	}
	return nil
}

// window is what metrics are asked for.
type window struct {
	types      []string
	start, end time.Time
	samples    int
}

// window reads the parameters of metrics.
func (c *call) window(allowed []string) (window, reply, bool) {
	v := window{samples: 20}
	text, given := c.param("metricType")
	if !given || len(c.q["metricType"]) > 1 {
		return v, c.bad("bad_metric_type", "metricType must be given once"), false
	}
	v.types = strings.Split(text, ",")
	for _, typ := range v.types {
		switch {
		case !slices.Contains(allowed, typ):
			return v, c.bad("bad_metric_type", "metricType is not one of the allowed values"), false
		case c.f.OldVersion && c.op == OpMetrics && !slices.Contains(allowed[:oldMetrics], typ):
			return v, c.problem(http.StatusBadRequest, "metricType is not one of the allowed values"), false
		}
	}
	start, hasStart := c.param("start")
	end, hasEnd := c.param("end")
	if !hasStart || !hasEnd {
		return v, c.bad("bad_range", "Required parameter is missing"), false
	}
	var err1, err2 error
	v.start, err1 = parseTime(start)
	v.end, err2 = parseTime(end)
	if err1 != nil || err2 != nil || v.end.Before(v.start) {
		return v, c.bad("bad_range", "start and end must be times in order"), false
	}
	if text, given := c.param("numberOfSamples"); given {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1000 {
			return v, c.bad("bad_samples", "numberOfSamples must be from 0 to 1000"), false
		}
		v.samples = n
	}
	return v, reply{}, true
}

// at is the time of one of the samples; the last is the end.
func (v *window) at(i int) time.Time {
	return v.start.Add(v.end.Sub(v.start) / time.Duration(v.samples) * time.Duration(i+1))
}

// csv is the answer to a client that does not ask for JSON.
func (c *call) csv() reply {
	c.violate("no_accept")
	return reply{status: http.StatusOK, body: []byte("timestamp,value\n"), header: http.Header{"Content-Type": {"text/csv"}}}
}

// metrics answers the metrics of a workload or of one of its pods.
func (c *call) metrics(w *workload) reply {
	allowed := WorkloadMetrics()
	gpus := 1
	if c.op == OpPodMetrics {
		allowed = PodMetrics()
		if !w.hasPod(c.pod) {
			return c.notFound()
		}
		gpus = max(1, int(w.GPUs)/max(1, w.Pods))
	}
	v, bad, ok := c.window(allowed)
	if !ok {
		return bad
	}
	if !jsonAccepted(c.r.Header) {
		return c.csv()
	}
	c.writeMetrics(w, v, gpus)
	if c.f.PartialMetrics {
		return reply{status: http.StatusMultiStatus, body: c.enc.b}
	}
	return c.ok()
}

func (w *workload) hasPod(id string) bool {
	for i := range w.Pods {
		if w.podID(i) == id {
			return true
		}
	}
	return false
}

func (c *call) writeMetrics(w *workload, v window, gpus int) {
	e := &c.enc
	e.open()
	e.key("measurements")
	e.b = append(e.b, '[')
	n := 0
	for i, typ := range v.types {
		if histogram(typ) {
			continue
		}
		lacking := c.f.PartialMetrics && i >= len(v.types)/2 || c.f.NullValues && i%2 == 1
		if !strings.HasSuffix(typ, "_PER_GPU") {
			c.measurement(w, v, typ, -1, lacking, &n)
			continue
		}
		for gpu := range gpus {
			c.measurement(w, v, typ, gpu, lacking, &n)
		}
	}
	c.badItem(n > 0)
	e.b = append(e.b, ']')
	c.items += n
	if slices.ContainsFunc(v.types, histogram) {
		c.histograms(w, v)
	} else if c.f.NullValues {
		e.raw("histogram", "null")
	}
	e.close()
}

func histogram(typ string) bool { return strings.Contains(typ, "_SECONDS") }

// measurement writes the series of one metric; gpu is negative for one that has no label.
func (c *call) measurement(w *workload, v window, typ string, gpu int, lacking bool, n *int) {
	e := &c.enc
	if *n++; *n > 1 {
		e.b = append(e.b, ',')
	}
	list := w.samples(typ)
	if typ == "GPU_ALLOCATION" && c.f.AllocatedAlias {
		typ = "ALLOCATED_GPU"
	}
	e.open()
	e.text("type", typ)
	if gpu < 0 {
		e.raw("labels", "null")
	} else {
		e.raw("labels", `{"gpu":"`+strconv.Itoa(gpu)+`"}`)
	}
	if lacking || len(list) == 0 {
		e.raw("values", "null")
	} else {
		e.key("values")
		c.values(list, v, func(s sample) { e.text("value", s.value) })
	}
	e.close()
}

// values writes the samples of a series: what held at each of the times that are asked for, and nothing where nothing did.
func (c *call) values(list []sample, v window, write func(s sample)) {
	e := &c.enc
	e.b = append(e.b, '[')
	first := true
	for i := range v.samples {
		at := v.at(i)
		if at.After(c.now) {
			break
		}
		n, _ := slices.BinarySearchFunc(list, at, func(s sample, at time.Time) int {
			if s.at.After(at) {
				return 1
			}
			return -1
		})
		if n == 0 {
			continue
		}
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		e.open()
		write(list[n-1])
		if c.f.NullValues {
			at = time.Time{}
		}
		e.time("timestamp", at)
		e.close()
	}
	e.b = append(e.b, ']')
}

func (c *call) histograms(w *workload, v window) {
	e := &c.enc
	e.key("histogram")
	e.b = append(e.b, '[')
	n := 0
	for _, typ := range v.types {
		if !histogram(typ) {
			continue
		}
		if n++; n > 1 {
			e.b = append(e.b, ',')
		}
		e.open()
		e.text("type", typ)
		e.key("values")
		c.values(w.samples(typ), v, func(s sample) {
			e.key("data")
			e.open()
			for pair := range strings.SplitSeq(s.value, ",") {
				bucket, count, _ := strings.Cut(pair, "=")
				e.text(bucket, count)
			}
			e.close()
		})
		e.close()
	}
	e.b = append(e.b, ']')
}
