// Pure.

package bench

// costs turns what counters have gained into measures.
type costs struct {
	r       *Report
	w       window
	d       Series  // gained
	gib, gb float64 // of values, that costs are counted by
	known   bool    // there are counters, and something to count by
}

// hoursPerMonth is what price lists take a month for.
const hoursPerMonth = 730

// zoneCrossing is what AWS takes for a GB that goes from one zone of a region to another: a cent at either end.
const zoneCrossing = 0.02

// per adds what a counter has gained for each GiB. A counter that does not exist yet has counted nothing.
func (c costs) per(name, counter string, labels ...string) {
	n, _ := c.d.Sum(counter, labels...)
	c.r.maybe(name, n/c.gib, c.known)
}

// processes adds what the agents' processes have used.
func (c costs) processes() {
	cpu, ok := c.d.Sum("process_cpu_seconds_total")
	c.r.maybe("cpu_s_per_gib", cpu/c.gib, c.known && ok)
	split := c.known && c.w.from.split && c.w.to.split
	c.r.maybe("cpu_user_s_per_gib", (c.w.to.user-c.w.from.user)/c.gib, split)
	c.r.maybe("cpu_system_s_per_gib", (c.w.to.sys-c.w.from.sys)/c.gib, split)
	c.r.maybe("rss_mean_mib", c.w.rss.sum/c.w.rss.n/(1<<20), c.w.rss.n > 0)
	c.r.maybe("rss_max_mib", c.w.rss.max/(1<<20), c.w.rss.n > 0)
	bytes, ok := c.d.Sum("go_memstats_alloc_bytes_total")
	c.r.maybe("allocated_mib_per_gib", bytes/c.gib/(1<<20), c.known && ok)
	objects, ok := c.d.Sum("go_memstats_mallocs_total")
	c.r.maybe("allocations_per_gib", objects/c.gib, c.known && ok)
}

// requests adds requests by class, and dollars.
func (c costs) requests() {
	for _, op := range []string{"put", "get", "list", "delete"} {
		c.per(op+"_per_gib", "varve_s3_requests_total", `op="`+op+`"`)
	}
	read, write := c.units()
	c.r.maybe("wru_per_gib", write/c.gib, c.known)
	c.r.maybe("rru_per_gib", read/c.gib, c.known)
	dollars, ok := c.d.Sum("varve_cost_dollars_total")
	c.r.maybe("dollars_per_gb", dollars/c.gb, c.known && ok)
	c.r.maybe("dollars_per_month", dollars/c.w.took().Hours()*hoursPerMonth, c.known && ok)
	across, zones := c.d.Sum("varve_xzone_bytes_total")
	c.r.maybe("cross_zone_percent", across/(c.gb*1e9)*100, c.known && zones)
	c.r.maybe("cross_zone_dollars_per_gb", across/1e9*zoneCrossing/c.gb, c.known && zones)
	bytes, pairs := crossings(c.d)
	for _, pair := range pairs {
		c.r.maybe("xzone_"+pair+"_mib_per_gib", bytes[pair]/(1<<20)/c.gib, c.known)
	}
	in, _ := c.d.Sum("varve_kafka_received_bytes_total", `api="Produce"`)
	out, _ := c.d.Sum("varve_kafka_sent_bytes_total", `api="Fetch"`)
	seconds := c.w.took().Seconds()
	c.r.maybe("wire_in_mib_per_s", in/(1<<20)/seconds, c.known)
	c.r.maybe("wire_out_mib_per_s", out/(1<<20)/seconds, c.known)
	stored := 0.0 // not what rewriting reads
	for _, purpose := range []string{"tail", "catchup"} {
		n, _ := c.d.Sum("varve_s3_bytes_total", `op="get"`, `purpose="`+purpose+`"`)
		stored += n
	}
	c.r.maybe("served_from_memory_percent", max(0, 1-stored/out)*100, c.known && out > 0)
}

// units are request units of the metastore: reads are charged by another unit than all else.
func (c costs) units() (read, write float64) {
	for _, op := range []string{"get", "query"} {
		n, _ := c.d.Sum("varve_ddb_units_total", `op="`+op+`"`)
		read += n
	}
	all, _ := c.d.Sum("varve_ddb_units_total")
	return read, all - read
}

// flushes adds how the log was written.
func (c costs) flushes() {
	n, ok := c.d.Sum("varve_flush_bytes_count")
	ok = ok && n > 0
	bytes, _ := c.d.Sum("varve_flush_bytes_sum")
	c.r.maybe("flushes_per_s", n/c.w.took().Seconds(), c.known && ok)
	c.r.maybe("flush_mean_kib", bytes/n/(1<<10), c.known && ok)
	waited, _ := c.d.Sum("varve_flush_wait_ms_sum")
	spans, _ := c.d.Sum("varve_flush_wait_ms_count")
	c.r.maybe("flush_interval_mean_ms", waited/spans, c.known && spans > 0)
	commit, _ := c.d.Sum("varve_ddb_units_total", `purpose="commit"`)
	c.r.maybe("wru_per_flush", commit/n, c.known && ok)
	hedges, _ := c.d.Sum("varve_hedge_sent_total", `op="put"`)
	c.r.maybe("hedges_per_100_flushes", hedges/n*100, c.known && ok)
	won, _ := c.d.Sum("varve_hedge_won_total", `op="put"`)
	c.r.maybe("hedges_won_per_100_flushes", won/n*100, c.known && ok)
	put, _ := c.d.Sum("varve_flush_put_ms_sum")
	blocked, _ := c.d.Sum("varve_flush_blocked_ms_sum")
	c.r.maybe("flushes_in_flight", (put+blocked)/1000/c.w.took().Seconds(), c.known && ok) // a mean over time: Little's law
	c.r.maybe("flush_put_mean_ms", put/n, c.known && ok)
	hits, found := c.d.Sum("varve_cache_blocks_total", `result="hit"`)
	misses, _ := c.d.Sum("varve_cache_blocks_total", `result="miss"`)
	c.r.maybe("cache_hit_percent", hits/(hits+misses)*100, c.known && found && hits+misses > 0)
	held, _ := c.w.to.series.Sum(largestItem)
	c.r.maybe("session_item_bytes", held, c.known && held > 0)
}
