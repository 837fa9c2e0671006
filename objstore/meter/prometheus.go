package meter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/objstore"
)

// The series. varve_cost_dollars_total and varve_price_list_info have a second source, metastore/meter: help and labels must be the same there, purpose
// variable and service constant, or a registry refuses the second of them.
var (
	requestsDesc = prometheus.NewDesc("varve_s3_requests_total",
		"Requests to the object store.", []string{"op", "class", "zone", "purpose", "result"}, nil)
	bytesDesc = prometheus.NewDesc("varve_s3_bytes_total",
		"Bytes of objects sent to the object store and received from it.", []string{"op", "class", "zone", "purpose", "result"}, nil)
	secondsDesc = prometheus.NewDesc("varve_s3_request_seconds",
		"Time that requests to the object store took.", []string{"op", "purpose"}, nil)
	dollarsDesc = prometheus.NewDesc("varve_cost_dollars_total",
		"Cost of requests at list prices.", []string{"purpose"}, prometheus.Labels{"service": "s3"})
	pricesDesc = prometheus.NewDesc("varve_price_list_info",
		"1: the price list that dollars are counted by, and its date.", []string{"list", "date"}, prometheus.Labels{"service": "s3"})
)

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	ch <- requestsDesc
	ch <- bytesDesc
	ch <- secondsDesc
	ch <- dollarsDesc
	ch <- pricesDesc
}

// Collect implements prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(pricesDesc, prometheus.GaugeValue, 1, s.prices.Name, s.prices.Date)
	type opPurpose struct {
		op Op
		p  objstore.Purpose
	}
	timed := map[opPurpose]bool{}
	dollars := map[objstore.Purpose]float64{}
	for _, l := range s.Snapshot().Lines {
		labels := []string{l.Op.String(), s.prices.Class, s.zone, string(l.Purpose), l.Result.String()}
		ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(l.Requests), labels...)
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(l.Bytes), labels...)
		timed[opPurpose{l.Op, l.Purpose}] = true
		dollars[l.Purpose] += l.Dollars
	}
	rows := *s.rows.Load()
	for k := range timed {
		count, sum, buckets := rows[k.p][k.op].seconds.read()
		ch <- prometheus.MustNewConstHistogram(secondsDesc, count, sum, buckets, k.op.String(), string(k.p))
	}
	for p, d := range dollars {
		ch <- prometheus.MustNewConstMetric(dollarsDesc, prometheus.CounterValue, d, string(p))
	}
}

// read returns the count, the sum in seconds, and the count up to each bound.
func (h *histogram) read() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(bounds))
	for i := range bounds {
		count += h.buckets[i].Load()
		buckets[bounds[i]] = count
	}
	count += h.buckets[len(bounds)].Load()
	return count, time.Duration(h.nanos.Load()).Seconds(), buckets
}
