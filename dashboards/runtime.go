package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noInstances is shown where no instance of a service sends metrics.
const noInstances = "No instances"

// instances names one instance in a legend.
const instances = "{{service_name}} {{service_instance_id}}"

// runtimePage answers: does an instance run out of CPU, memory, goroutines or descriptors, and when.
func runtimePage() page {
	return page{
		uid:         "otelmon-runtime",
		title:       "Go runtime and process",
		description: "CPU, memory, garbage collection, goroutines and descriptors of each instance of the services selected.",
		rows: []row{
			{"Now", runtimeNow()},
			{"CPU and memory", runtimeMemory()},
			{"Garbage collection and goroutines", runtimeWork()},
			{"Process", runtimeProcess()},
		},
	}
}

func runtimeNow() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		figure(about{
			title: "Instances", unit: units.Short, none: noInstances,
			description: "Series of process_start_time_seconds: instances that send metrics. Fewer than you run: some are down or silent, see Pipeline.",
		}).WithTarget(instant(`count(process_start_time_seconds{$selected,service_name!=""})`, "Instances")),
		figure(about{
			title: "Youngest", unit: units.Seconds, none: noInstances,
			description: "Time since the last start, by process_start_time_seconds. Always minutes: an instance restarts again and again; its log " +
				"and its memory just before tell why.",
		}).WithTarget(instant(`time() - max(process_start_time_seconds{$selected,service_name!=""})`, "Youngest")),
		figure(about{
			title: "CPUs in use", unit: units.Short, none: noInstances,
			description: "instance:process_cpu_time_seconds:rate5m, of all instances; 1 is one CPU all the time.",
		}).Decimals(2).WithTarget(instant("sum(instance:process_cpu_time_seconds:rate5m{$selected})", "CPUs")),
		figure(about{
			title: "CPU of the busiest", unit: units.PercentUnit, none: noInstances,
			description: "instance:process_cpu_time_seconds:rate5m as a share of go_processor_limit (GOMAXPROCS), of the busiest instance. Above 80 % " +
				"requests begin to wait for a CPU: add instances, or profile.",
		}).Thresholds(rising(0.6, 0.8)).
			WithTarget(instant(`max(
  sum by ($identity, service_instance_id) (instance:process_cpu_time_seconds:rate5m{$selected})
  / sum by ($identity, service_instance_id) (go_processor_limit{$selected,service_name!=""})
)`, "CPU")),
		figure(about{
			title: "Memory against its limit", unit: units.PercentUnit, none: "No GOMEMLIMIT",
			description: "instance:go_memory_used_bytes:sum as a share of go_memory_limit_bytes (GOMEMLIMIT), of the fullest instance. Near 100 % the " +
				"garbage collector takes the CPU: raise the limit, or find the leak with a heap profile.",
		}).Thresholds(rising(0.7, 0.9)).
			WithTarget(instant(`max(
  sum by ($identity, service_instance_id) (instance:go_memory_used_bytes:sum{$selected})
  / sum by ($identity, service_instance_id) (go_memory_limit_bytes{$selected,service_name!=""})
)`, "Memory")),
		figure(about{
			title: "Goroutines", unit: units.Short, none: noInstances,
			description: "instance:go_goroutine_count:max, of the instance that has most. OtelmonGoroutineLeak fires when they only grow: a goroutine " +
				"profile shows where they wait.",
		}).WithTarget(instant("max(instance:go_goroutine_count:max{$selected})", "Goroutines")),
		figure(about{
			title: "Descriptors", unit: units.Short, none: noInstances,
			description: "process_unix_file_descriptor_count, of the instance that has most: files and connections. Compare with ulimit -n.",
		}).WithTarget(instant(`max(process_unix_file_descriptor_count{$selected,service_name!=""})`, "Descriptors")),
		figure(about{
			title: "Memory in 4 hours", unit: units.BytesIEC, none: "No history yet",
			description: "instance:go_memory_used_bytes:predict4h, the line through the last hour, of the instance that grows most. OtelmonMemoryForecast " +
				"fires when it is beyond GOMEMLIMIT.",
		}).WithTarget(instant("max(instance:go_memory_used_bytes:predict4h{$selected})", "In 4 hours")),
	}
}

func runtimeMemory() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "CPUs in use by instance", unit: units.Short, none: noInstances,
			description: "instance:process_cpu_time_seconds:rate5m of the 20 busiest instances. One line above the others: its load is not balanced, or it " +
				"is in a loop.",
		}).WithTarget(query(highest(20, "instance:process_cpu_time_seconds:rate5m{$selected}"), instances)),
		graph(about{
			title: "Go memory by instance", unit: units.BytesIEC, none: noInstances,
			description: "instance:go_memory_used_bytes:sum, what counts against GOMEMLIMIT, of the 20 largest instances, and where the largest is in 4 hours " +
				"if it goes on as in the last one. A saw whose teeth climb is a leak.",
		}).
			WithTarget(query(highest(20, "instance:go_memory_used_bytes:sum{$selected}"), instances)).
			WithTarget(query("max(instance:go_memory_used_bytes:predict4h{$selected})", "the largest in 4 hours")).
			WithTarget(query(`min(go_memory_limit_bytes{$selected,service_name!=""})`, "smallest GOMEMLIMIT")),
		stacked(graph(about{
			title: "Go memory by type", unit: units.BytesIEC, none: noInstances,
			description: "go_memory_used_bytes by go_memory_type, of all instances: stacks of goroutines, and all else, mostly the heap.",
		})).WithTarget(query(`sum by (go_memory_type) (go_memory_used_bytes{$selected,service_name!=""})`, "{{go_memory_type}}")),
		graph(about{
			title: "Memory of the process", unit: units.BytesIEC, none: noInstances,
			description: "process_memory_usage_bytes, the resident memory that a container's limit counts, of the 20 largest instances. Much more than " +
				"Go's memory: memory of C libraries, mapped files, or pages not yet returned.",
		}).WithTarget(query(highest(20, `process_memory_usage_bytes{$selected,service_name!=""}`), instances)),
	}
}

func runtimeWork() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph(about{
			title: "Allocated", unit: units.BytesPerSecondIEC, none: noInstances,
			description: "rate of go_memory_allocated_bytes_total, by service. What is allocated has to be collected: fewer bytes a request is less CPU.",
		}).WithTarget(query(`sum by ($identity) (rate(go_memory_allocated_bytes_total{$selected,service_name!=""}[$__rate_interval]))`, "{{service_name}}")),
		graph(about{
			title: "Allocations", unit: units.CountsPerSecond, none: noInstances,
			description: "rate of go_memory_allocations_total, by service: how many objects a second.",
		}).WithTarget(query(`sum by ($identity) (rate(go_memory_allocations_total{$selected,service_name!=""}[$__rate_interval]))`, "{{service_name}}")),
		graph(about{
			title: "Goal of the garbage collector", unit: units.BytesIEC, none: noInstances,
			description: "go_memory_gc_goal_bytes, the size of the heap at which the next collection begins, the largest of each service. It is about twice what " +
				"is in use at GOGC=100: what climbs here is live memory.",
		}).WithTarget(query(`max by ($identity) (go_memory_gc_goal_bytes{$selected,service_name!=""})`, "{{service_name}}")),
		graph(about{
			title: "Goroutines by instance", unit: units.Short, none: noInstances,
			description: "instance:go_goroutine_count:max of the 20 instances that have most. With the requests in flight they should rise and fall.",
		}).WithTarget(query(highest(20, "instance:go_goroutine_count:max{$selected}"), instances)),
	}
}

func runtimeProcess() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		stacked(graph(about{
			title: "CPU by mode", unit: units.Short, none: noInstances,
			description: "rate of process_cpu_time_seconds_total by cpu_mode, of all instances. Much system time: many small reads and writes, or pages " +
				"that come and go.",
		}).Span(8)).WithTarget(query(`sum by (cpu_mode) (rate(process_cpu_time_seconds_total{$selected,service_name!=""}[$__rate_interval]))`, "{{cpu_mode}}")),
		graph(about{
			title: "Descriptors by instance", unit: units.Short, none: noInstances,
			description: "process_unix_file_descriptor_count of the 20 instances that have most. One that only grows: a body or a file that nobody closes.",
		}).Span(8).WithTarget(query(highest(20, `process_unix_file_descriptor_count{$selected,service_name!=""}`), instances)),
		graph(about{
			title: "Threads by instance", unit: units.Short, none: noInstances,
			description: "process_thread_count of the 20 instances that have most. Many more than CPUs: goroutines that are blocked in system calls or in C.",
		}).Span(8).WithTarget(query(highest(20, `process_thread_count{$selected,service_name!=""}`), instances)),
		grid(about{
			title: "Instances now", unit: units.NoUnit, none: noInstances,
			description: "Each instance: CPUs, memory, goroutines, when it started. Sorted by CPU; click a service to open its page.",
		}, append(serviceLabels(),
			label{name: "service_version", title: "Version"},
			label{name: "service_instance_id", title: "Instance"},
		), []column{
			{title: "CPUs", unit: units.Short, expr: "sum by ($identity, service_version, service_instance_id) (instance:process_cpu_time_seconds:rate5m{$selected})"},
			{title: "Go memory", unit: units.BytesIEC, expr: "sum by ($identity, service_version, service_instance_id) (instance:go_memory_used_bytes:sum{$selected})"},
			{title: "Resident", unit: units.BytesIEC, expr: `sum by ($identity, service_version, service_instance_id) (process_memory_usage_bytes{$selected,service_name!=""})`},
			{title: "Goroutines", unit: units.Short, expr: "sum by ($identity, service_version, service_instance_id) (instance:go_goroutine_count:max{$selected})"},
			{title: "Started", unit: "dateTimeFromNow", expr: `max by ($identity, service_version, service_instance_id) (process_start_time_seconds{$selected,service_name!=""}) * 1000`},
		}),
	}
}
