package grafana

func bridge() *Dashboard {
	return &Dashboard{
		UID: bridgeUID, Title: "trainbridge", From: "now-3h", Variables: []Variable{anySource()},
		Description: "The bridge itself: whether it keeps up, what it asks, what waits, and what it holds back.",
		Rows: []Row{
			{Title: "Now", Panels: bridgeNow()}, {Title: "Requests", Panels: bridgeRequests()}, {Title: "Accounting", Panels: bridgeAccounts()},
			{Title: "OTLP and state", Panels: bridgeState()}, {Title: "Process", Panels: bridgeProcess(), Closed: true},
		},
	}
}

func bridgeNow() []Panel {
	return []Panel{
		stat("Sources up", "short", "Of those chosen.", "sum(max by (training_source) (training_source_up{"+mine+"}))"),
		stat("Overdue", "s", "How late the most overdue poll of any source is.", "max(training_source_event_lag_seconds{"+mine+"})", 60, 300),
		stat("Demand", "percentunit", "What polling as configured would cost, as a share of the budget of requests. Above 100 % polls are stretched.", "max(training_source_request_budget_demand_ratio{"+mine+"})", 0.8, 1),
		stat("Jobs without series", "short", "Over a limit, or their past is still being read.", "sum(max by (training_source) (training_source_jobs_suppressed{"+mine+"}))", 1),
		stat("State", "short", "Whether what was counted can be written.", "min(trainbridge_state_writable)").named(map[string]string{"0": "not writable", "1": "writable"}),
		stat("Configuration", "short", "Whether the newest configuration file was taken.", "min(trainbridge_config_last_reload_successful)").named(map[string]string{"0": "refused", "1": "in force"}),
	}
}

func bridgeRequests() []Panel {
	return []Panel{
		lines("Requests a second", "reqps", "Sent to the services, by status.", query("sum by (training_source, code) (rate(training_source_requests_total{"+mine+"}[$__rate_interval]))", "{{training_source}} {{code}}")...),
		lines("Failed polls a minute", "short", "By class of error.",
			query("sum by (training_source, error_type) (rate(training_source_poll_errors_total{"+mine+"}[$__rate_interval])) * 60", "{{training_source}} {{error_type}}")...).maybe("no poll failed"),
		lines("Budget left", "short", "Requests that may still be made now.", query("max by (training_source) (training_source_request_budget_remaining{"+mine+"})", "{{training_source}}")...),
		lines("Duration of polls", "s", "Nine tenths took no longer, waiting for the budget included.",
			query("histogram_quantile(0.9, sum by (training_source, le) (rate(training_source_poll_duration_seconds_bucket{"+mine+"}[$__rate_interval])))", "{{training_source}}")...),
		lines("Demand on the budget", "percentunit", "Above 100 % polls are stretched.", query("max by (training_source) (training_source_request_budget_demand_ratio{"+mine+"})", "{{training_source}}")...),
		lines("Overdue", "s", "How late the most overdue poll is.", query("max by (training_source) (training_source_event_lag_seconds{"+mine+"})", "{{training_source}}")...),
	}
}

func bridgeAccounts() []Panel {
	return []Panel{
		lines("Events read a second", "short", "Items in pages: counted, seen before, and not understood.",
			Query{Expr: "sum(max by (training_source, training_event_type, training_event_reason) (rate(training_source_events_total{" + mine + "}[$__rate_interval])))", Legend: "counted"},
			Query{Expr: "sum(max by (training_source) (rate(training_source_events_duplicate_total{" + mine + "}[$__rate_interval])))", Legend: "seen before"},
			Query{Expr: "sum(max by (training_source) (rate(training_source_events_quarantined_total{" + mine + "}[$__rate_interval])))", Legend: "set aside"}),
		lines("What was not understood", "short", "Fields and values, in the hour before: the service changed.",
			query("max by (training_source, training_field) (increase(training_source_unknown_values_total{"+mine+"}[1h])) > 0", "{{training_source}} {{training_field}}")...).maybe("everything was understood"),
		lines("Gaps, late events and mismatches", "short", "In the hour before. Any is a reason to look.",
			Query{Expr: "sum(max by (training_source) (increase(training_source_event_gaps_total{" + mine + "}[1h])))", Legend: "gaps"},
			Query{Expr: "sum(max by (training_source) (increase(training_source_events_late_total{" + mine + "}[1h])))", Legend: "late"},
			Query{Expr: "sum(max by (training_source) (increase(training_source_accounting_mismatches_total{" + mine + "}[1h])))", Legend: "mismatches"}),
	}
}

func bridgeState() []Panel {
	return []Panel{
		lines("Spans that wait", "short", "For an OTLP receiver.", query("sum(trainbridge_outbox_spans)", "spans")...),
		lines("Exports a minute", "short", "By signal and result, where OTLP is configured.",
			query("sum by (signal, result) (rate(trainbridge_otlp_exports_total[$__rate_interval])) * 60", "{{signal}} {{result}}")...).maybe("OTLP is not configured"),
		lines("Age of the last write", "s", "Of the state.", query("time() - max(trainbridge_state_last_write_timestamp_seconds)", "age")...),
	}
}

func bridgeProcess() []Panel {
	return []Panel{
		lines("CPU", "percentunit", "Share of a core.", query(`rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) trainbridge_build_info`, "{{instance}}")...),
		lines("Memory", "bytes", "Resident.", query(`process_resident_memory_bytes and on (instance) trainbridge_build_info`, "{{instance}}")...),
		lines("Goroutines", "short", "A number that only grows is a leak.", query(`go_goroutines and on (instance) trainbridge_build_info`, "{{instance}}")...),
	}
}
